"""Read whole numbers from the first directory of a TIFF file; EXIF data are one too.

Source: TIFF 6.0 (Adobe 1992), sec. 2; BigTIFF as libtiff describes it.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

WIDTH, HEIGHT, BITS, INK, ORIENTATION = 256, 257, 258, 262, 274
STRIP_PLACES, STRIP_BYTES, TILE_PLACES, TILE_BYTES = 273, 279, 324, 325

_ORDERS = {b"II": "<", b"MM": ">"}
_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""Types of whole numbers: BYTE, SHORT, LONG and LONG8."""

_MOST_VALUES = 2**22
"""More strips or tiles than this are taken for damage."""


@dataclass(frozen=True, kw_only=True)
class Tag:
    """Values of a tag; `place` is where the file has them, counted in bytes from its beginning."""

    values: tuple[int, ...]
    place: int
    layout: str


def read_tags(file: BinaryIO, wanted: Iterable[int]) -> dict[int, Tag]:
    """Return those of the wanted tags that the file's first directory has as whole numbers.

    Raises:
        ValueError: when the file is no TIFF, damaged or truncated.
    """
    try:
        return _read_tags(file, frozenset(wanted))
    except struct.error as error:
        raise ValueError("the TIFF is truncated") from error


def without_turn(data: bytes, orientation: Tag) -> bytes:
    """Return a TIFF file without its turn, which decoders else apply unasked."""
    size = struct.calcsize(orientation.layout)
    upright = struct.pack(orientation.layout, *(1 for _ in orientation.values))
    return data[: orientation.place] + upright + data[orientation.place + size :]


def _read_tags(file: BinaryIO, wanted: frozenset[int]) -> dict[int, Tag]:
    start = file.read(16)
    order = _ORDERS.get(start[:2])
    if order is None:
        raise ValueError("not a TIFF")
    (version,) = struct.unpack(order + "H", start[2:4])
    is_big = version == 43
    if is_big:
        (place,) = struct.unpack(order + "Q", start[8:16])
    else:
        (place,) = struct.unpack(order + "I", start[4:8])
    count_layout, entry_layout = ("Q", "HHQ8s") if is_big else ("H", "HHI4s")
    _go_to(file, place)
    (count,) = _take(file, order + count_layout)
    place += struct.calcsize(order + count_layout)
    tags = {}
    for _ in range(count):
        _go_to(file, place)
        tag, kind, number, content = _take(file, order + entry_layout)
        end = place + struct.calcsize(order + entry_layout)
        if tag in wanted and kind in _NUMBERS and 0 < number <= _MOST_VALUES:
            layout = f"{order}{number}{_NUMBERS[kind]}"
            # Values that do not fit stand elsewhere, and their place stands here.
            values_at = end - len(content)
            if struct.calcsize(layout) > len(content):
                (values_at,) = struct.unpack(order + ("Q" if is_big else "I"), content)
            _go_to(file, values_at)
            tags[tag] = Tag(values=_take(file, layout), place=values_at, layout=layout)
        place = end
    return tags


def _go_to(file: BinaryIO, place: int) -> None:
    if place >= 2**63:
        raise ValueError("the TIFF is damaged")
    file.seek(place)


def _take(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
