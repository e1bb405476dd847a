"""Find photos where tools leave them: the folder of a dataset's photos, and a photo in it.

A list names photos as its tool knew them, with backslashes, percent signs, or folders that are not
on this machine. A name is tried as it is; then in plain form; then without its first folders.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from annotools.errors import DatasetError
from annotools.formats.photos import PHOTO_SUFFIXES

_TRIED_NAMES = 20
"""So many names, spread over the list, decide in which folder the photos are."""

_HASH = re.compile(r"[0-9a-f]{8}-")
"""Label Studio puts this in front of the names of photos that were uploaded."""

_DRIVE = re.compile(r"^/?[A-Za-z]:")
"""What absolute paths begin with on Windows, also in addresses of local files."""

_CITYSCAPES = "_gtFine_leftImg8bit"
"""The official panoptic lists of Cityscapes name photos with this, and no photo has it."""


@dataclass(frozen=True, kw_only=True)
class PhotoFolder:
    """Where photos are: `folder` is None where none was found, in all the folders `looked_in`."""

    folder: Path | None
    looked_in: tuple[Path, ...] = ()

    def find(self, file_name: str) -> Path | None:
        """Return the path of a photo, or where it would be; None where there is no folder."""
        if self.folder is None:
            return None
        return _find(self.folder, file_name) or self.folder / plain_name(file_name)


def choose_folder(folders: Sequence[Path], names: Sequence[str], given: Path | None) -> PhotoFolder:
    """Return the folder that has the photos of a list.

    It is the first of those with most of some names. Where none has any of them, a folder that
    was given or is the first one of the format's own counts if it is there: its photos are missing.

    Args:
        folders: where photos may be, the format's own place first.
        names: of photos, as the list has them.
        given: by the user, in place of all these.

    Raises:
        DatasetError: when the given folder is not there.
    """
    if given is not None:
        check_given(given)
        return PhotoFolder(folder=given)
    possible = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    tried = names[:: len(names) // _TRIED_NAMES + 1]
    counts = [sum(_find(folder, name) is not None for name in tried) for folder in possible]
    looked_in = tuple(dict.fromkeys(folders))
    if any(counts):
        return PhotoFolder(folder=possible[counts.index(max(counts))], looked_in=looked_in)
    has_own = possible[:1] != [] and possible[0] == folders[0]
    return PhotoFolder(folder=folders[0] if has_own else None, looked_in=looked_in)


def check_given(folder: Path) -> None:
    """Make sure that the folder of photos that a user gives is there.

    Raises:
        DatasetError: when it is not.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder: give --photos the folder of the photos")


def visible_files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, by name, without those that systems hide among photos.

    Some of these have the suffix of the photo that they are about.
    """
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not is_hidden and path.is_file():
            yield path


def find_by_stem(folder: Path, name: str) -> Path | None:
    """Return the photo of a name without suffix, None where there is none."""
    paths = (folder / f"{name}{s}" for suffix in PHOTO_SUFFIXES for s in (suffix, suffix.upper()))
    return next((path for path in paths if path.is_file()), None)


def plain_name(file_name: str) -> str:
    """Return a name relative to the folder of the photos, with slashes; empty where it has none."""
    if _is_inside(file_name) and "\\" not in file_name:
        return file_name
    return "/".join(_parts(file_name))


def without_hash(name: str) -> str:
    """Return a file's name without what Label Studio puts in front of it."""
    return _HASH.sub("", name, count=1) if _HASH.match(name) else name


def describe_folder(folder: Path, pattern: str = "*", most: int = 5) -> str:
    """Return the names of the first entries of a folder, for messages."""
    paths = sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
    shown = ", ".join(f"{p.name}/" if p.is_dir() else p.name for p in paths[:most])
    return f"{shown}, ..." if len(paths) > most else shown or "nothing"


def is_there(path: Path) -> bool:
    """Tell whether there is a file of this path, which may be one that no file can have."""
    return exists(path) and path.is_file()


def exists(path: Path) -> bool:
    """Tell whether there is a file or folder of this path, which may be one that none can have."""
    try:
        return path.exists()
    # Names may be too long, or not to be written in the letters of this system.
    except (OSError, ValueError):
        return False


def _find(folder: Path, file_name: str) -> Path | None:
    paths = (folder / name for name in _spellings(_possible_names(file_name)))
    return next((path for path in paths if is_there(path)), None)


def _possible_names(file_name: str) -> Iterator[str]:
    """Yield the names under which a photo may be in its folder, the likeliest first."""
    if _is_inside(file_name):
        yield file_name
    parts = _parts(file_name)
    for first in range(len(parts)):
        yield "/".join(parts[first:])
    if parts and (uploaded := without_hash(parts[-1])) != parts[-1]:
        yield uploaded
    if _CITYSCAPES in file_name:
        name = parts[-1].replace(_CITYSCAPES, "_leftImg8bit")
        yield f"{name.partition('_')[0]}/{name}"


def _spellings(names: Iterable[str]) -> Iterator[str]:
    """Yield names, each followed by what other systems make of it.

    Some write letters with accents as two characters, some do not tell capital letters of a suffix
    from small ones.
    """
    for name in names:
        yield name
        if not name.isascii():
            yield from (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
        stem, point, suffix = name.rpartition(".")
        yield from (stem + point + other for other in (suffix.lower(), suffix.upper()))


def _parts(file_name: str) -> tuple[str, ...]:
    """Return the folders and the name that a file's name consists of, in whatever form it has."""
    # Label Studio puts the name of a local file behind a question mark; else an address ends there.
    text = file_name.rpartition("?d=")[2].partition("?")[0]
    text = unquote(text.partition("://")[2] or text).replace("\\", "/")
    parts = _DRIVE.sub("", text).split("/")
    return tuple(part for part in parts if part not in ("", ".", "..") and "\0" not in part)


def _is_inside(file_name: str) -> bool:
    """Tell whether a name is relative and stays in its folder, on any system."""
    parts = file_name.replace("\\", "/").split("/")
    is_path = "://" not in file_name and "?d=" not in file_name and "\0" not in file_name
    is_relative = parts[0] != "" and not _DRIVE.match(file_name)
    return is_path and is_relative and "." not in parts and ".." not in parts
