"""Writing files so that they are there whole or not at all."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

_LEFTOVER = re.compile(r"\.(.+)\.\d+")  # how `write_whole` names a file before it is whole


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name and rename it; folders on the way are made.

    Raises:
        OSError: with the file's name, when it cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        # A full disk is reported without a name.
        raise OSError(error.errno, error.strerror, str(path)) from error


def leftover_of(name: str) -> str | None:
    """Return the file that a half-written one would have become, None for any other file.

    Args:
        name: path with `/`, relative to any folder; so is the result.
    """
    folder, slash, last = name.rpartition("/")
    match = _LEFTOVER.fullmatch(last)
    return f"{folder}{slash}{match[1]}" if match else None


def files_under(folder: Path) -> list[str]:
    """Return everything that is not a folder, relative to this one; links are not followed."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return [path.relative_to(folder).as_posix() for path in paths]


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove files, in this order, and the folders under `folder` that are empty without them."""
    removed = list(names)
    for name in removed:
        (folder / name).unlink()
    parents = {folder / parent for name in removed for parent in Path(name).parents} - {folder}
    for parent in sorted(parents, key=lambda parent: -len(parent.parts)):
        if not any(parent.iterdir()):
            parent.rmdir()
