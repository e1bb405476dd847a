"""The folder that a run fills with pseudo-labels: whose it is, what is done, what may be removed.

`.state` in it says with which settings and which files it is filled, and from what each image's
label was made, so that the same run does what is missing and nothing twice.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotools.errors import DatasetError
from annotools.files import files_under, leftover_of, remove_files, write_whole

STATE_FOLDER = ".state"
WRITTEN_BY = "annotools pseudo-label"

_SETUP_FILE = "setup.json"


def start_folder(
    out: Path, setup: Mapping[str, Any], planned: Sequence[str], *, overwrite: bool
) -> None:
    """Make a folder ready to be filled; what a run with the same setup did is kept.

    Args:
        out: the folder.
        setup: the settings on which all labels depend, as JSON can hold it.
        planned: all files that may be written beside `.state`, relative to `out`.
        overwrite: remove what a run wrote here before.

    Raises:
        DatasetError: when the folder holds anything that this run may not resume or remove.
        OSError: when it cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out}: is a file: give --out a folder")
    before = _read_setup(out)
    if before is not None and before["setup"] == setup and not overwrite:
        return
    if before is None and out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out}: is not empty, and not of {WRITTEN_BY}: give another folder")
    if before is not None:
        if not overwrite:
            changed = [name for name in setup if before["setup"].get(name) != setup[name]]
            raise DatasetError(
                f"{out}: holds labels with different {(changed or ['setup'])[0]}: give another "
                "folder, or --overwrite to start over"
            )
        _clear(out, set(before["files"]))
    content = {"written_by": WRITTEN_BY, "setup": setup, "files": list(planned)}
    write_whole(out / STATE_FOLDER / _SETUP_FILE, json.dumps(content).encode())


def is_made(out: Path, name: str, files: Sequence[str], key: str) -> bool:
    """Return whether the files of an image are there, made with this key."""
    path = _key_path(out, name)
    return (
        path.is_file()
        and path.read_text(encoding="utf-8") == key
        and all((out / file_name).is_file() for file_name in files)
    )


def mark_made(out: Path, name: str, key: str) -> None:
    """Remember from what the files of an image were made; they are there by then.

    Raises:
        OSError: when that cannot be written.
    """
    write_whole(_key_path(out, name), key.encode())


def remove_leftovers(out: Path, planned: Sequence[str]) -> None:
    """Remove what killed runs left half written."""
    listed = set(planned)
    remove_files(out, [name for name in files_under(out) if leftover_of(name) in listed])


def _key_path(out: Path, name: str) -> Path:
    return out / STATE_FOLDER / "keys" / f"{name}.txt"


def _read_setup(out: Path) -> dict[str, Any] | None:
    """Return what a run noted when it began, None in a folder of anybody else."""
    try:
        content = json.loads((out / STATE_FOLDER / _SETUP_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    ours = isinstance(content, dict) and content.get("written_by") == WRITTEN_BY
    return content if ours else None


def _clear(out: Path, listed: set[str]) -> None:
    """Remove all that runs wrote.

    Raises:
        DatasetError: when there is anything else; then nothing is removed.
    """
    found = [name for name in files_under(out) if not name.startswith(f"{STATE_FOLDER}/")]
    for name in found:
        if name not in listed and leftover_of(name) not in listed:
            raise DatasetError(
                f"{out}: holds {name!r}, which {WRITTEN_BY} did not write: give another folder"
            )
    remove_files(out, found)
    # It goes last: until then a killed run can be cleared again.
    shutil.rmtree(out / STATE_FOLDER)
