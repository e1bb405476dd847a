"""The folder that a run fills with pseudo-labels: whose it is, what is done, what may be removed.

Labels of the last round lie in the folder itself, those of the rounds before in `rounds/0`,
`rounds/1` and so on. `.state` says with which settings and which files it is filled, and from what
each label was made, so that the same run does what is missing and nothing twice.
"""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotools.errors import DatasetError
from annotools.files import files_under, leftover_of, remove_files, write_whole
from annotools.formats.panoptic_folder import MANIFEST_FILE, map_files

STATE_FOLDER = ".state"
WRITTEN_BY = "annotools pseudo-label"

_SETUP_FILE = "setup.json"


@dataclass(frozen=True, kw_only=True)
class RoundFolder:
    """Where the labels of one round go, of all that are made in `out`; `number` is from 0."""

    out: Path
    number: int
    is_last: bool

    @property
    def path(self) -> Path:
        """The folder of its maps and its manifest."""
        return self.out if self.is_last else self.out / "rounds" / str(self.number)

    def list_files(self, names: Iterable[str]) -> list[str]:
        """Return all that is written there for images of these names, relative to `out`."""
        listed = [MANIFEST_FILE, *(file_name for name in names for file_name in map_files(name))]
        place = self.path.relative_to(self.out)
        return [(place / file_name).as_posix() for file_name in listed]


def round_folders(out: Path, num_rounds: int) -> tuple[RoundFolder, ...]:
    """Return the folder of the first labels and of those of each round after, in order."""
    numbers = range(num_rounds + 1)
    return tuple(RoundFolder(out=out, number=n, is_last=n == num_rounds) for n in numbers)


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


def is_made(folder: RoundFolder, name: str, key: str) -> bool:
    """Return whether the maps of an image are there, made with this key."""
    path = _key_path(folder, name)
    return (
        path.is_file()
        and path.read_text(encoding="utf-8") == key
        and all((folder.path / file_name).is_file() for file_name in map_files(name))
    )


def mark_made(folder: RoundFolder, name: str, key: str) -> None:
    """Remember from what the maps of an image were made; they are there by then.

    Raises:
        OSError: when that cannot be written.
    """
    write_whole(_key_path(folder, name), key.encode())


def remove_leftovers(out: Path, planned: Sequence[str]) -> None:
    """Remove what killed runs left half written."""
    listed = set(planned)
    remove_files(out, [name for name in files_under(out) if leftover_of(name) in listed])


def _key_path(folder: RoundFolder, name: str) -> Path:
    return folder.out / STATE_FOLDER / "keys" / str(folder.number) / f"{name}.txt"


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
