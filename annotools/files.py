"""Write files so that they are there whole or not at all, and name what they hold.

Every file that the product writes goes through `write_whole` or `open_whole`. It is on disk before
it has its name: after a power cut a name never stands for half a file.
"""

import dataclasses
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from annotools.errors import DatasetError
from annotools.parallel import map_ahead

_FLUSHES = 16
"""Files that are brought to disk at the same time: the disk writes its journal once for them."""

_LEFTOVER = re.compile(r"\.(.+)\.\d+")  # how `_whole_file` names a file before it is whole


def write_whole(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Write a file under another name and rename it; folders on the way are made.

    Args:
        path: of the file.
        content: all of it.
        flush: whether it is on disk when it has its name. Many files of one item need not wait for
            the disk one by one: `mark_done` flushes them.

    Raises:
        OSError: with the file's name, when it cannot be written; nothing is left behind.
    """
    with _whole_file(path, flush=flush) as partial:
        partial.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that people may read.

    Raises:
        OSError: with the file's name, when it cannot be written; nothing is left behind.
    """
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def compact_json(content: Any) -> str:
    """Return JSON in one line, without blanks."""
    return json.dumps(content, separators=(",", ":"))


def digest(*parts: Any) -> str:
    """Return 64 hexadecimal digits that name some content: equal parts have equal digests.

    Args:
        parts: dataclasses, arrays, paths and what JSON can hold; the order of a mapping's keys
            does not matter.
    """
    text = json.dumps(parts, sort_keys=True, default=_as_json)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def stamp(path: Path) -> str:
    """Return a text that changes when a file does.

    A copy may bring a time of modification with it, or a program set it; no program sets the time
    of the last change of the file's entry.
    """
    found = path.stat()
    return f"{found.st_size}\t{found.st_mtime_ns}\t{found.st_ctime_ns}"


@contextmanager
def open_whole(path: Path) -> Iterator[IO[str]]:
    """Open a text file for writing under another name; it gets its own when the block ends well.

    Raises:
        OSError: with the file's name, when it cannot be written; nothing is left behind.
    """
    with _whole_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        yield file


class JsonList:
    """The last list of a JSON object, written item by item; `count` says how many there are."""

    def __init__(self, file: IO[str]) -> None:
        self.count = 0
        self._file = file

    def add(self, text: str) -> None:
        """Append an item that is JSON already."""
        self._file.write(f"{',' if self.count else ''}\n{text}")
        self.count += 1

    def add_numbered(self, text: str) -> None:
        """Append a non-empty JSON object with an `id` before its other keys: 1, 2, ..."""
        self.add(f'{{"id":{self.count + 1},{text[1:]}')


@contextmanager
def write_json_lists(
    path: Path, head: Mapping[str, Any], lists: Mapping[str, Iterable[Any]], last: str
) -> Iterator[JsonList]:
    """Write one JSON object; the block fills its last list, and the file appears when it ends.

    Args:
        path: of the file.
        head: values that come first, each on a line.
        lists: lists that come next, an item a line.
        last: the name of the list that the block fills.
    """
    with open_whole(path) as file:
        file.write("{\n")
        for key, value in head.items():
            file.write(f"{json.dumps(key)}: {json.dumps(value)},\n")
        for key, items in lists.items():
            file.write(f"{json.dumps(key)}: [")
            written = JsonList(file)
            for item in items:
                written.add(json.dumps(item))
            file.write("\n],\n")
        file.write(f"{json.dumps(last)}: [")
        yield JsonList(file)
        file.write("\n]\n}\n")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits.

    Raises:
        OSError: when it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Bring files to disk, with the folders in which they have their names.

    Args:
        folder: in which they are.
        names: paths with `/`, relative to the folder.

    Returns:
        The SHA-256 of each file by its name.

    Raises:
        OSError: when one is not there, or cannot be brought to disk.
    """
    listed = list(names)

    def flush(name: str) -> str:
        _flush(folder / name)
        return hash_file(folder / name)

    hashes = map_ahead(flush, listed, min(_FLUSHES, len(listed)) or 1)
    found = dict(zip(listed, hashes, strict=True))
    for place in sorted({folder / parent for name in listed for parent in Path(name).parents}):
        _flush_folder(place)
    return found


def hash_files(root: Path, paths: Iterable[Path]) -> dict[str, Any]:
    """Return how many files there are, and a SHA-256 over their names below `root` and contents.

    Raises:
        DatasetError: when one cannot be read.
    """
    total = hashlib.sha256()
    count = 0
    for path in dict.fromkeys(paths):
        try:
            content = hash_file(path)
        except OSError as error:
            raise DatasetError(
                f"{path}: cannot be read any more ({error.strerror}): check the file"
            ) from error
        below = path != root and path.is_relative_to(root)
        name = path.relative_to(root).as_posix() if below else path.name
        # Python gives names that are not UTF-8 as lone surrogates, which plain UTF-8 refuses.
        total.update(f"{content} {name}\n".encode("utf-8", "surrogatepass"))
        count += 1
    return {"files": count, "sha256": total.hexdigest()}


def leftover_of(name: str) -> str | None:
    """Return the final name of a temporary file, or None for any other file.

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
    # The deepest come first: a folder is empty only when those inside it are gone.
    for parent in sorted(parents, key=lambda parent: -len(parent.parts)):
        if not any(parent.iterdir()):
            parent.rmdir()


@contextmanager
def _whole_file(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Give a file to write in place of this one, which takes its name when the block ends well."""
    # The file is in the same folder, because a rename across file systems is not one step. The
    # number keeps writers apart; a process id would not, of machines that share the folder.
    partial = path.with_name(f".{path.name}.{secrets.randbelow(10**12)}")
    try:
        made = [place for place in (path.parent, *path.parent.parents) if not place.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if flush:
            _flush(partial)
        partial.replace(path)
        for place in {path.parent, *(place.parent for place in made)} if flush else ():
            _flush_folder(place)
    except OSError as error:
        # A full disk is reported without a name, a block may fail on another file.
        name = None if error.filename == str(partial) else error.filename
        raise OSError(error.errno, error.strerror, name or str(path)) from error
    finally:
        # What goes wrong here, as a name that is too long, has been told above.
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until what a file holds is on disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        # A disk may be found full, or broken, only now, and then no file is named.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(file)


def _flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk, where a file system can say so."""
    with suppress(OSError):
        _flush(folder)


def _as_json(part: Any) -> Any:
    """Return what stands for a part that JSON cannot hold."""
    if dataclasses.is_dataclass(part):
        return {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    if isinstance(part, np.ndarray):
        return [part.shape, str(part.dtype), hashlib.sha256(part.tobytes()).hexdigest()]
    if isinstance(part, Path):
        return str(part)
    raise TypeError(f"{type(part).__name__} has no digest")
