"""Read lists of image names, as Pascal VOC has them in `ImageSets` and SBD next to its masks."""

from pathlib import Path, PurePosixPath, PureWindowsPath

from annotools.errors import DatasetError
from annotools.read_files import read_bytes


def read_names(path: Path) -> tuple[str, ...]:
    """Return the image names of a text file that lists one a line; empty lines do not count.

    A name is the whole line without spaces around it. It may hold spaces and lie in subfolders.

    Raises:
        DatasetError: when it cannot be read, a name could leave its folder or comes twice.
    """
    if not path.is_file():
        present = ", ".join(sorted(p.name for p in path.parent.glob("*.txt"))) or "none"
        raise DatasetError(f"{path}: no such file: check the path; the folder has {present}")
    # What is not UTF-8 becomes U+FFFD, which `_is_plain_path` refuses, so the line can be named.
    # A mark of the byte order, which some editors write, is no part of the first name.
    lines = read_bytes(path).decode("utf-8-sig", errors="replace").splitlines()
    names: dict[str, None] = {}
    for number, name in enumerate(map(str.strip, lines), start=1):
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
