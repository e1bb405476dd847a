"""A work folder knows who fills it, with which settings, what is done and what may be removed.

The folder `.state` in it notes who fills it, on which settings its content depends, which files may
be written, and of each item that is done what its files hold. The same run then does what is
missing or damaged and nothing twice, another one is refused, and nothing is ever removed that no
run wrote.
"""

import multiprocessing
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.errors import DatasetError
from annotools.files import (
    files_under,
    flush_files,
    leftover_of,
    remove_files,
    write_json,
)
from annotools.locks import hold, holder
from annotools.read_files import MAX_JSON_BYTES, read_own_json
from annotools.seals import (
    agree,
    note_damaged,
    read_sealed_json,
    seal_table,
    tell_damaged,
    write_sealed_json,
)
from annotools.terminal import tell

STATE_FOLDER = ".state"
MANIFEST_FILE = "manifest.json"
"""Comes last: a folder with a manifest is finished."""

_SETUPS = (f"{STATE_FOLDER}/setup.json", f"{STATE_FOLDER}/setup-again.json")
"""Two files of the same content: if one is damaged, it is still known whose the folder is."""


_LOCK = f"{STATE_FOLDER}/lock"
"""A file that the run holds that fills a folder, and removes when it ends."""


@contextmanager
def filling(
    out: Path,
    written_by: str,
    setup: Mapping[str, Any],
    planned: Sequence[str],
    *,
    overwrite: bool | None = None,
) -> Iterator[None]:
    """Start a folder as `start_folder` does; while the block fills it, other runs are kept out.

    Where it is finished already, that is told on stderr.

    Raises:
        DatasetError: when another run is writing there, and for what `start_folder` refuses.
        OSError: when the folder cannot be written.
    """
    _check_is_folder(out)
    lock = out / _LOCK
    made = [place for place in (lock.parent, out, *out.parents) if not place.exists()]
    with hold(lock) as is_ours:
        if not is_ours:
            raise DatasetError(
                f"{out}: another run is writing here ({holder(lock) or 'which has just ended'}): "
                "wait until it ends, or give another folder"
            )
        try:
            start_folder(out, written_by, setup, planned, overwrite=overwrite)
            if (out / MANIFEST_FILE).is_file():
                tell_finished(out)
            yield
        finally:
            lock.unlink(missing_ok=True)
            # Of a folder that was refused, or is finished for good, nothing is left behind.
            with suppress(OSError):
                for place in made:
                    place.rmdir()


def start_folder(
    out: Path,
    written_by: str,
    setup: Mapping[str, Any],
    planned: Sequence[str],
    *,
    overwrite: bool | None = None,
) -> None:
    """Make a folder ready to be filled; what a run with the same setup did is kept.

    Args:
        out: the folder.
        written_by: the command; a folder of another one is nothing that we may remove.
        setup: everything on which the content depends, as JSON can hold it.
        planned: all files that may be written, relative to `out`; the manifest, the setup and what
            lies in folders of `.state` may be left out.
        overwrite: remove what a run wrote here, finished or not; None where the command has no
            such option.

    Raises:
        DatasetError: when the folder holds anything that this run may not resume or remove.
        OSError: when it cannot be written.
    """
    _check_is_folder(out)
    if overwrite:
        _clear(out, written_by)
    else:
        before = refuse_other_work(out, written_by, setup, overwrite=overwrite)
        if before is not None:
            _write_setup(out, before)
            return
    # A run that was killed before it noted its setup left that half written.
    remove_files(out, [name for name in files_under(out) if leftover_of(name) in _SETUPS])
    # This is noted before any file is written, so that the work of a killed run is known.
    content = {"written_by": written_by, "setup": setup, "files": list(planned)}
    _write_setup(out, seal_table(content))


def refuse_other_work(
    out: Path, written_by: str, setup: Mapping[str, Any], *, overwrite: bool | None = None
) -> dict[str, Any] | None:
    """Make sure that a folder is free, or has work of this very setup; nothing is written.

    Args:
        out: the folder, which need not be there.
        written_by: the command.
        setup: as `start_folder` takes it.
        overwrite: None where the command has no such option.

    Returns:
        What such a run noted before; None where nothing did.

    Raises:
        DatasetError: when the folder holds anything else.
    """
    before = _read_setup(out, written_by)
    if before is not None and before.get("setup") == setup:
        return before
    remedy = "give another folder" if overwrite is None else "give another folder, or --overwrite"
    if before is not None:
        raise DatasetError(
            f"{out}: holds work of {written_by} with different {_difference(before, setup)}: "
            f"repeat it as it was to go on, or {remedy}"
        )
    # What a run left that was killed before it noted its setup does not count as content.
    if any(not _is_ours(name, set(), is_started=False) for name in _visible(out)):
        wrote = "" if overwrite is None else f" if {written_by} wrote it"
        raise DatasetError(f"{out}: is not empty: {remedy}{wrote}")
    return None


def is_unfinished(out: Path, written_by: str) -> bool:
    """Return whether a run of this command has begun to fill a folder and not finished it."""
    return not (out / MANIFEST_FILE).is_file() and _read_setup(out, written_by) is not None


def tell_finished(out: Path) -> None:
    """Say on stderr that an earlier run finished a folder; workers do not talk."""
    if multiprocessing.parent_process() is None:
        tell(f"{out}: is finished")


def finish_folder(out: Path, written_by: str) -> None:
    """Remove what killed runs left half written, and tell how much that was damaged was made again.

    What is done stays known, so that a run can be repeated at no cost.
    """
    listed = _listed(_read_setup(out, written_by))
    state = f"{STATE_FOLDER}/"
    left = [(name, leftover_of(name)) for name in files_under(out)]
    remove_files(
        out, [n for n, w in left if w in listed or (w is not None and w.startswith(state))]
    )
    tell_damaged(out)


def write_manifest(
    out: Path,
    written_by: str,
    packages: Iterable[str],
    asked: Mapping[str, Any],
    found: Mapping[str, Any],
) -> None:
    """Write the manifest, which comes last: a folder that has one is whole.

    Args:
        out: the folder.
        written_by: the command.
        packages: those whose versions the content may depend on.
        asked: what the content was made from: the source and the options.
        found: what came of it: how many images, and more.

    Raises:
        OSError: when it cannot be written.
    """
    versions = {"python": platform.python_version()} | {name: version(name) for name in packages}
    content = {"written_by": written_by, **asked, "versions": versions, **found}
    write_json(out / MANIFEST_FILE, content)


def forget_state(out: Path) -> None:
    """Remove all that is known of the run: the folder is finished for good."""
    shutil.rmtree(out / STATE_FOLDER, ignore_errors=True)


def check_apart(out: Path, root: Path, source_files: Iterable[Path]) -> None:
    """Make sure that filling or clearing a folder cannot touch what is read.

    Args:
        out: the folder.
        root: of the source.
        source_files: that are read; some may lie outside the root.

    Raises:
        DatasetError: when the folder is the root, contains it, or holds one of the files.
    """
    folder = out.resolve()
    if root.resolve().is_relative_to(folder):
        raise DatasetError(f"{out}: is or contains the source {root}: give --out another folder")
    if not out.is_dir():
        return
    for path in source_files:
        if path.resolve().is_relative_to(folder):
            raise DatasetError(f"{out}: holds {path} of the source: give --out another folder")


def check_outside(option: str, place: Path, folders: Iterable[Path]) -> None:
    """Make sure that nothing is written into a folder that is read.

    Args:
        option: that names the place, for the message.
        place: file or folder to write.
        folders: that are read; what is no folder is left to others.

    Raises:
        DatasetError: when the place is one of them, or lies in one.
    """
    for folder in folders:
        if folder.is_dir() and place.resolve().is_relative_to(folder.resolve()):
            raise DatasetError(f"{place}: lies in {folder}, which is read: give {option} elsewhere")


def mark_done(out: Path, item: str, key: str, result: Any, files: Iterable[str] = ()) -> None:
    """Remember from what an item was made, what came of it, and what its files hold.

    Args:
        out: the folder.
        item: its name.
        key: names what it was made from.
        result: what came of it, as JSON can hold it.
        files: of the item, relative to `out`; they are on disk before the mark is.

    Raises:
        OSError: when a file cannot be brought to disk, or the mark not be written.
    """
    mark = {"item": item, "key": key, "result": result, "files": flush_files(out, files)}
    write_sealed_json(_mark_path(out, item), mark)


def read_done(out: Path, item: str, key: str) -> Any | None:
    """Return what came of an item, None unless it was made from what the key names and is whole."""
    path = _mark_path(out, item)
    mark = read_sealed_json(path)
    if mark is not None and mark.get("item") != item:
        note_damaged([path])
        return None
    if mark is None or mark["key"] != key or not agree(out, mark["files"]):
        return None
    return mark["result"]


def files_done(out: Path, item: str) -> dict[str, str]:
    """Return the SHA-256 of each file of an item that is done, by its name."""
    mark = read_sealed_json(_mark_path(out, item))
    return {} if mark is None else dict(mark["files"])


def _check_is_folder(out: Path) -> None:
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise DatasetError(f"{place}: is a file: give --out a folder")


def _mark_path(out: Path, item: str) -> Path:
    return out / STATE_FOLDER / "done" / f"{item}.json"


def _read_setup(out: Path, written_by: str) -> dict[str, Any] | None:
    """Return what this command noted before it wrote a file, None where it did not."""
    found = [read_sealed_json(out / name) for name in _SETUPS]
    return next((one for one in found if _is_own(one, written_by)), None)


def _write_setup(out: Path, sealed: Mapping[str, Any]) -> None:
    """Note who fills a folder, and how, wherever that is not noted already."""
    for name in _SETUPS:
        if read_sealed_json(out / name) != sealed:
            write_json(out / name, sealed)


def _difference(before: Mapping[str, Any], setup: Mapping[str, Any]) -> str:
    """Return the name of the first setting that differs."""
    known = before.get("setup")
    known = known if isinstance(known, dict) else {}
    return next((key for key in setup if known.get(key) != setup[key]), "setup")


def _visible(out: Path) -> list[str]:
    """Return the files of a folder without those that file browsers and git hide in it."""
    return [name for name in files_under(out) if "/" in name or not name.startswith(".")]


def _clear(out: Path, written_by: str) -> None:
    """Remove all files that runs of this command wrote.

    Raises:
        DatasetError: when there are others; then nothing is removed.
    """
    manifest, setup = out / MANIFEST_FILE, _read_setup(out, written_by)
    lists = {manifest, *(out / name for name in _SETUPS)}
    listed = {*_listed(read_manifest(manifest, written_by)), *_listed(setup)}
    # The lock keeps others out also while the folder is cleared.
    found = [name for name in files_under(out) if name != _LOCK]
    for name in found:
        if not _is_ours(name, listed, is_started=setup is not None):
            raise DatasetError(
                f"{out}: holds {name!r}, which {written_by} did not write: give another folder"
            )
    # The lists go last: until then a killed run can be cleared again.
    remove_files(out, sorted(found, key=lambda name: out / name in lists))


def _is_ours(name: str, listed: set[str], *, is_started: bool) -> bool:
    """Return whether a run wrote a file, or left it half written.

    Args:
        name: relative to the folder.
        listed: files that a run may have written.
        is_started: whether a run of ours has noted its setup.
    """
    whole = leftover_of(name) or name
    in_state = is_started and Path(name).parts[0] == STATE_FOLDER and len(Path(name).parts) > 2
    # A run that was killed before it noted its setup left that half written and nothing else.
    is_setup = whole in _SETUPS and (is_started or whole != name)
    return name in listed or whole in listed or in_state or is_setup or name == _LOCK


def _listed(content: Mapping[str, Any] | None) -> set[str]:
    files = content.get("files") if content is not None else None
    if not isinstance(files, list | dict):
        return set()
    return {MANIFEST_FILE, *(name for name in files if isinstance(name, str))}


def read_manifest(path: Path, written_by: str) -> dict[str, Any] | None:
    """Return the manifest of this command, None for anything else."""
    content = read_own_json(path, MAX_JSON_BYTES)
    return content if _is_own(content, written_by) else None


def _is_own(content: Any, written_by: str) -> bool:
    return isinstance(content, dict) and content.get("written_by") == written_by
