"""Writing files too long for memory: piece by piece, there whole at the end or not at all."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def open_whole(path: Path) -> Iterator[IO[str]]:
    """Open a text file for writing under another name; it gets its own when the block ends well.

    Raises:
        OSError: with the file's name, when it cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        # A full disk is reported without a name.
        raise OSError(error.errno, error.strerror, error.filename or str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


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
