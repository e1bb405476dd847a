"""Read files that somebody gives: regular ones, no longer than sense allows, and JSON in them.

Whatever a file holds, the error is one that callers turn into their own line.
"""

import gc
import json
import math
import re
import reprlib
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from annotools.errors import DatasetError

MAX_LEVELS = 100
"""Values nested deeper are damage or malice: no file of ours or of a dataset has ten levels."""

MAX_JSON_BYTES = 2**32
"""The longest lists of public datasets have less than a fifth of it."""

MAX_OWN_BYTES = 2**24
"""Rows, settings and state of ours have some kilobytes."""

WHOLE_BITS = 63
"""Whole numbers of settings fit so many bits and a sign, as TOML has it."""

TOO_DEEP = f"it is nested more than {MAX_LEVELS} levels deep"
"""The reason in messages."""

BEYOND = f"a whole number of more than {WHOLE_BITS} bits"

_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80
_LONG_NUMBER = re.compile(r"Exceeds the limit \((\d+) digits\).*")


def read_bytes(path: Path, most: int = -1) -> bytes:
    """Return a file's content, or as many bytes of its beginning as `most` says.

    Raises:
        DatasetError: when it cannot be read, or is no regular file and so may never end.
    """
    try:
        _refuse_irregular(path)
        with path.open("rb") as file:
            return file.read(most)
    # A path with a null byte raises ValueError and no OSError.
    except (OSError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path}: cannot be read ({reason}): check the file") from error


def read_short(path: Path, most: int) -> bytes:
    """Return the content of a file that is no longer than `most` bytes.

    Raises:
        DatasetError: when it is longer, or cannot be read.
    """
    # The one byte more tells a file that is too long from one that just fits.
    data = read_bytes(path, most + 1)
    if len(data) > most:
        raise DatasetError(f"{path}: is longer than {most} bytes: replace it")
    return data


def read_text(path: Path, most: int = MAX_OWN_BYTES) -> str:
    """Return the text of a file that is no longer than `most` bytes.

    Raises:
        DatasetError: when it is longer, is not UTF-8, or cannot be read.
    """
    try:
        # Some editors begin a file with a mark of the byte order.
        return read_short(path, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: is not UTF-8: save it as such") from error


def read_lines(path: Path, most: int) -> list[str]:
    """Return the lines of a file that is no longer than `most` bytes, however it is encoded.

    What is not UTF-8 becomes U+FFFD, so that a line can be named; a mark of the byte order, which
    some editors write, is no part of the first one.

    Raises:
        DatasetError: when it is longer, or cannot be read.
    """
    return read_short(path, most).decode("utf-8-sig", errors="replace").splitlines()


def read_long(path: Path, most: int = MAX_JSON_BYTES) -> bytes:
    """Return the content of a file that may be long, as `read_short` does.

    Its size is asked for first, because memory for `most` bytes would be much.

    Raises:
        DatasetError: when it is longer, or cannot be read.
        OSError: when it is not there.
    """
    if path.stat().st_size > most:
        raise DatasetError(f"{path}: is longer than {most} bytes: replace it")
    return read_bytes(path)


def parse_json(data: bytes) -> Any:
    """Return the value that JSON has.

    Raises:
        ValueError: with a reason in few words, for what is no JSON, or nested too deep.
    """
    # Values of JSON make no circles; to look for some as they grow takes as long as reading them.
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    except ValueError as error:
        reason = _LONG_NUMBER.sub(r"a number of more than \1 digits", str(error))
        raise ValueError(reason) from error
    finally:
        if is_collecting:
            gc.enable()
    # Brackets in texts may be counted too; only the value itself then tells how deep it is.
    if _most_open(data) > MAX_LEVELS:
        for _ in _walk(value):
            pass
    return value


def parse_own_json(data: bytes) -> Any:
    """Return the value that JSON of ours has, as `parse_json` does, without senseless numbers.

    Raises:
        ValueError: with a reason in few words, also for a whole number beyond 64 bits, and for what
            is infinite or no number, which JSON does not have and none of our files has.
    """
    value = parse_json(data)
    refuse_senseless(value)
    for name, inner in _walk(value):
        if isinstance(inner, float) and not math.isfinite(inner):
            raise ValueError(f"{name or 'it'} has {inner}, which is no number")
    return value


def read_own_json(path: Path, most: int = MAX_OWN_BYTES) -> Any | None:
    """Return what a file of ours holds; None where there is none, it is damaged or too long.

    It is for what is then made again: what a user must repair is told instead.
    """
    try:
        return parse_own_json(read_long(path, most))
    except (OSError, ValueError):
        return None


def refuse_senseless(value: Any) -> None:
    """Make sure that a value of a settings file is not nested too deep, nor has huge numbers.

    Raises:
        ValueError: with a reason in few words.
    """
    for name, inner in _walk(value):
        if isinstance(inner, int) and inner.bit_length() > WHOLE_BITS:
            raise ValueError(f"{name or 'it'} has {BEYOND}")


def shown(value: Any) -> str:
    """Return a value as messages have it: in one short piece, however long or deep it is."""
    return _SHORT.repr(value)


def _refuse_irregular(path: Path) -> None:
    mode = path.stat().st_mode
    # A folder has a reason of the system's own.
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DatasetError(f"{path}: is no regular file and may never end: give a file")


def _most_open(data: bytes) -> int:
    """Return how many brackets are open at once, those in texts counted too."""
    brackets = np.frombuffer(data.translate(None, delete=_NOT_BRACKETS), dtype=np.uint8)
    # Of the four brackets those that close have the third bit.
    return int(np.cumsum(1 - ((brackets & 4) >> 1).astype(np.int32)).max(initial=0))


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a value and all inside it, each after the name that it has, if it has one.

    Raises:
        ValueError: when they are nested deeper than `MAX_LEVELS`.
    """
    # Level by level: to recurse into what is too deep would be the fault that is looked for.
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(MAX_LEVELS):
        yield from level
        level = [pair for name, outer in level for pair in _inside(name, outer)]
        if not level:
            return
    if any(isinstance(inner, dict | list) for _, inner in level):
        raise ValueError(TOO_DEEP)
    yield from level


def _inside(name: str, outer: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(outer, dict):
        return outer.items()
    return ((name, inner) for inner in outer) if isinstance(outer, list) else ()
