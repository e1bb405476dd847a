"""The folder of a conversion: one run fills it, the next resumes it, another may overwrite it.

While it is being filled it has a folder `.partial` that says with which options and which files
it will end up with; a finished one has a manifest that lists its files. Nothing else is ever
removed.
"""

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotools.errors import DatasetError
from annotools.files import files_under, leftover_of, remove_files, write_whole

PARTIAL_FOLDER = ".partial"
MANIFEST_FILE = "manifest.json"
WRITTEN_BY = "annotools convert"
"""What a manifest says under `written_by`: another program's is nothing that we may remove."""

_STATE_FILE = "state.json"
_PARTIAL_FILE = re.compile(r"state\.json|\d{6}\.jsonl")


def shard_path(out: Path, number: int) -> Path:
    """Return where the partial result of a shard lies."""
    return out / PARTIAL_FOLDER / f"{number:06d}.jsonl"


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


def start_folder(
    out: Path, setup: Mapping[str, Any], planned: Sequence[str], *, overwrite: bool
) -> None:
    """Make a folder ready to be filled; what an unfinished run with the same setup did is kept.

    Args:
        out: the folder.
        setup: everything on which the result depends, as JSON can hold it.
        planned: all files that may be written, relative to `out`, the manifest left out.
        overwrite: remove what a conversion wrote here, finished or not.

    Raises:
        DatasetError: when the folder holds anything that this run may not resume or remove.
        OSError: when it cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out}: is a file: give --out a folder")
    state = _read_own(out / PARTIAL_FOLDER / _STATE_FILE)
    if not overwrite:
        if state is not None and state.get("setup") == setup:
            return
        _check_unused(out, state, setup)
    _clear(out)
    content = {"written_by": WRITTEN_BY, "setup": setup, "files": list(planned)}
    write_whole(out / PARTIAL_FOLDER / _STATE_FILE, json.dumps(content).encode())


def finish_folder(out: Path) -> None:
    """Remove the partial results, and what a killed run left half written."""
    state = _read_own(out / PARTIAL_FOLDER / _STATE_FILE)
    listed = _listed(state)
    remove_files(out, [name for name in files_under(out) if leftover_of(name) in listed])
    shutil.rmtree(out / PARTIAL_FOLDER)


def _check_unused(out: Path, state: dict[str, Any] | None, setup: Mapping[str, Any]) -> None:
    if state is not None:
        before = state.get("setup")
        before = before if isinstance(before, dict) else {}
        other = [key for key in setup if before.get(key) != setup[key]] or ["setup"]
        raise DatasetError(
            f"{out}: holds an unfinished conversion with different {other[0]}: "
            "repeat it as it was to resume it, or give --overwrite to start over"
        )
    if out.exists() and any(path.name != PARTIAL_FOLDER for path in out.iterdir()):
        raise DatasetError(
            f"{out}: is not empty: give another folder, or --overwrite if a conversion wrote it"
        )


def _clear(out: Path) -> None:
    """Remove all files that a conversion wrote.

    Raises:
        DatasetError: when there are others; then nothing is removed.
    """
    lists = (out / MANIFEST_FILE, out / PARTIAL_FOLDER / _STATE_FILE)
    contents = [_read_own(path) for path in lists]
    listed = {name for content in contents for name in _listed(content)}
    found = files_under(out)
    foreign = [name for name in found if not _is_ours(name, listed)]
    if foreign:
        raise DatasetError(
            f"{out}: holds {foreign[0]!r}, which no conversion wrote: give another folder"
        )
    # The lists go last: until then a killed run can be cleared again.
    remove_files(out, sorted(found, key=lambda name: out / name in lists))


def _is_ours(name: str, listed: set[str]) -> bool:
    whole = leftover_of(name) or name
    if name in listed or whole in listed:
        return True
    folder, _, last = whole.rpartition("/")
    return folder == PARTIAL_FOLDER and _PARTIAL_FILE.fullmatch(last) is not None


def _listed(content: Mapping[str, Any] | None) -> set[str]:
    files = content.get("files") if content is not None else None
    if not isinstance(files, list):
        return set()
    return {MANIFEST_FILE, *(name for name in files if isinstance(name, str))}


def _read_own(path: Path) -> dict[str, Any] | None:
    """Return the content of a list of files that a conversion wrote, None for anything else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    ours = isinstance(content, dict) and content.get("written_by") == WRITTEN_BY
    return content if ours else None
