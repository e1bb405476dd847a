"""Find what two splits have both: what was learnt from is no test of what was learnt."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from annotools.errors import DatasetError
from annotools.read_files import read_bytes
from annotools.records import Image

Place = TypeVar("Place", str, Path)

TAIL_BYTES = 4096
"""So many last bytes of two photos are compared before their whole content."""


def find_shared(
    listed: Iterable[tuple[object, str, Place]],
) -> Iterator[tuple[str, Place, str, Place]]:
    """Yield split and place of what another split has first, with that one's split and place.

    Args:
        listed: what there is, its split and its place; None is nothing.
    """
    first_of: dict[object, tuple[str, Place]] = {}
    for key, split, place in listed:
        first_split, first_place = first_of.setdefault(key, (split, place))
        if first_split != split and key is not None:
            yield split, place, first_split, first_place


def find_shared_photos(
    images: Iterable[tuple[str, Image]],
) -> Iterator[tuple[str, Path, str, Path]]:
    """Yield photos whose content another split has first, as `find_shared` does.

    Args:
        images: each with its split; those without a photo, or with one that is missing, are passed
            over.
    """
    photos = [(split, image.path) for split, image in images if image.path is not None]
    # Only photos of one size in bytes that end alike can be the same, so few are read as a whole.
    for of_size in _alike(photos, _size_of):
        for ending in _alike(of_size, _tail_of):
            yield from find_shared((_digest_of(path), split, path) for split, path in ending)


def _alike(
    photos: Iterable[tuple[str, Path]], key_of: Callable[[Path], object]
) -> list[list[tuple[str, Path]]]:
    """Return the photos of one key together, of keys that two splits have; None is no key."""
    groups: defaultdict[object, list[tuple[str, Path]]] = defaultdict(list)
    for split, path in photos:
        groups[key_of(path)].append((split, path))
    groups.pop(None, None)
    return [group for group in groups.values() if len({split for split, _ in group}) > 1]


def _size_of(path: Path) -> int | None:
    """Return a file's size in bytes, None where there is no such file."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return None


def _tail_of(path: Path) -> bytes | None:
    """Return a file's last bytes, None where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read()
    except OSError:
        return None


def _digest_of(path: Path) -> bytes | None:
    """Return a file's SHA-256 digest, None where it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(path)).digest()
    except DatasetError:
        return None
