"""Read lists of image names, as Pascal VOC has them in `ImageSets` and SBD next to its masks."""

from pathlib import Path, PurePosixPath, PureWindowsPath

from annotools.errors import DatasetError
from annotools.read_files import read_lines

MAX_LIST_BYTES = 2**28
"""A list of millions of names is shorter."""


def read_names(path: Path) -> tuple[str, ...]:
    """Return the image names of a text file that lists one a line; empty lines do not count.

    A name is the whole line without spaces around it. It may hold spaces and lie in subfolders.

    Raises:
        DatasetError: when it cannot be read, a name could leave its folder or comes twice.
    """
    if not path.is_file():
        present = ", ".join(sorted(p.name for p in path.parent.glob("*.txt"))) or "none"
        raise DatasetError(f"{path}: no such file: check the path; the folder has {present}")
    names: dict[str, None] = {}
    # `_is_plain_path` refuses what is not UTF-8.
    for number, name in enumerate(map(str.strip, read_lines(path, MAX_LIST_BYTES)), start=1):
        if not name:
            continue
        if not _is_plain_path(name):
            raise DatasetError(
                f"{path}: line {number}: {name!r} is no image name: give a name without suffix, "
                "relative to the folders of its files, without '..'"
            )
        if name in names:
            raise DatasetError(f"{path}: line {number}: {name} comes twice: drop one")
        names[name] = None
    if not names:
        raise DatasetError(f"{path}: lists no image: restore it")
    return tuple(names)


def _is_plain_path(name: str) -> bool:
    """Tell whether a name stays in its folder on any system and has no other spelling."""
    parts = PureWindowsPath(name)
    is_inside = not parts.anchor and parts.parts != () and ".." not in parts.parts
    is_text = "\0" not in name and "\ufffd" not in name
    return is_inside and is_text and str(PurePosixPath(name)) == name
