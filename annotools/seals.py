"""A seal is a digest that is written with a file's content, so that damage to the file shows later.

What a run takes over from an earlier one, it takes by these functions. A file that is ours alone
has its seal behind its content (`write_sealed`); one of JSON has it among its names
(`write_sealed_json`). Files that others read are as their format has them: the mark of the item to
which they belong, in `annotools.work_folder`, has their digests and is sealed itself. What does not
agree with its seal is not there: it is made again, and the run says how many such parts there were.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from annotools.files import digest, hash_file, write_json, write_whole
from annotools.read_files import parse_json, read_long
from annotools.terminal import tell

SEAL = "sha256"
"""The name of the seal in a JSON object."""

_damaged: set[Path] = set()
"""Files that this process has found damaged and not told of."""


def write_sealed(path: Path, content: bytes, *, flush: bool = True) -> None:
    """Write a file that `read_sealed` reads; arguments and errors are those of `write_whole`."""
    write_whole(path, content + _seal(path, content), flush=flush)


def read_sealed(path: Path) -> bytes | None:
    """Return the content that `write_sealed` wrote under this name, None if it is not there whole.

    So a decoder never sees what was not written by us.
    """
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError:
        found = b""
    size = hashlib.sha256().digest_size
    content, seal = found[:-size], found[-size:]
    if seal != _seal(path, content):
        note_damaged([path])
        return None
    return content


def seal_table(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with its seal, in place of one that it has."""
    # As it is read again: there, keys are texts and tuples are lists.
    plain = json.loads(json.dumps(table))
    plain.pop(SEAL, None)
    return {**plain, SEAL: digest(plain)}


def is_sealed(table: Mapping[str, Any]) -> bool:
    """Return whether a JSON object that was read is as `seal_table` gave it."""
    rest = {name: value for name, value in table.items() if name != SEAL}
    return table.get(SEAL) == digest(rest)


def write_sealed_json(path: Path, table: Mapping[str, Any]) -> None:
    """Write a JSON object with its seal, as `write_json` writes it."""
    write_json(path, seal_table(table))


def read_sealed_json(path: Path) -> dict[str, Any] | None:
    """Return what `write_sealed_json` wrote, with its seal; None if it is not there whole."""
    try:
        table = parse_json(read_long(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        table = None
    if isinstance(table, dict) and is_sealed(table):
        return table
    note_damaged([path])
    return None


def agree(folder: Path, digest_of: Mapping[str, str]) -> bool:
    """Return whether files are there as they were when they were marked; note which are not.

    Args:
        folder: in which they are.
        digest_of: the SHA-256 of each, by its path relative to the folder.
    """
    wrong = differing(folder, digest_of)
    note_damaged(wrong)
    return not wrong


def differing(folder: Path, digest_of: Mapping[str, str]) -> list[Path]:
    """Return the files that are not there as they were when these digests were taken."""
    return [folder / name for name, told in digest_of.items() if _hash(folder / name) != told]


def note_damaged(paths: Iterable[Path]) -> None:
    """Note files that are damaged, or missing where they should be."""
    _damaged.update(paths)


def found_damaged() -> frozenset[Path]:
    """Return what this process has noted: a worker gives it to the process that tells."""
    return frozenset(_damaged)


def tell_damaged(folder: Path) -> None:
    """Say on stderr how many damaged parts were made again in a folder, if there were any."""
    if _damaged:
        parts = (
            "1 damaged part was" if len(_damaged) == 1 else f"{len(_damaged)} damaged parts were"
        )
        tell(f"{folder}: {parts} made again")
    _damaged.clear()


def _seal(path: Path, content: bytes) -> bytes:
    # With the name: files of one kind may be swapped, which leaves each whole.
    named = path.name.encode("utf-8", "surrogatepass")
    return hashlib.sha256(named + b"\0" + content).digest()


def _hash(path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None
