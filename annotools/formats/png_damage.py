"""Find damage inside a PNG whose checksums are right, before a decoder prints its own complaint.

Source: PNG Specification (Third Edition), W3C 2025, sec. 8, 9 and 11.2.1.
"""

import struct
from collections.abc import Sequence

import numpy as np
from zlib_ng import zlib_ng

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Numbers of a pixel by colour type: grey, RGB, palette, grey and RGB with opacity."""

_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}

_WHOLE = ((0, 0, 1, 1),)
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""First column and row of each pass over an interlaced picture, and its steps along both."""

_PASSES = {0: _WHOLE, 1: _ADAM7}
_NUM_FILTERS = 5


def has_all_pixels(chunks: Sequence[tuple[bytes, bytes]]) -> bool:
    """Tell whether a PNG has a possible head, and data that inflate to the pixels it claims.

    Args:
        chunks: name and content of each chunk of a PNG, checksums and size verified.
    """
    heads = [place for place, (name, _) in enumerate(chunks) if name == b"IHDR"]
    if heads != [0] or len(chunks[0][1]) != 13:
        return False
    width, height, depth, colour, packing, filters, interlace = struct.unpack(
        ">IIBBBBB", chunks[0][1]
    )
    if depth not in _DEPTHS.get(colour, ()) or packing or filters or interlace not in _PASSES:
        return False
    rows = []
    for x, y, x_step, y_step in _PASSES[interlace]:
        columns = -(-max(width - x, 0) // x_step)
        # Each row begins with the byte of its filter and ends on a whole byte.
        row_bytes = 1 + -(-columns * depth * _CHANNELS[colour] // 8)
        # In a small picture a pass may have no column; then it has no rows, not even their filters.
        rows.append((-(-max(height - y, 0) // y_step) if columns else 0, row_bytes))
    return _inflates_to(b"".join(content for name, content in chunks if name == b"IDAT"), rows)


def _inflates_to(scan: bytes, rows: Sequence[tuple[int, int]]) -> bool:
    """Tell whether data hold rows, each with its filter first: pairs of number and bytes a row."""
    size = sum(number * row_bytes for number, row_bytes in rows)
    try:
        # One byte more, so that the checksum at the end is read as well.
        inflater = zlib_ng.decompressobj()
        data = inflater.decompress(scan, size + 1)
    except zlib_ng.error:  # type: ignore[misc]  # its stub says it is an instance
        return False
    # A decoder takes more data than that, or a second stream behind it, and complains.
    if len(data) != size or not inflater.eof or inflater.unused_data:
        return False
    place = 0
    for number, row_bytes in rows:
        part = np.frombuffer(data, dtype=np.uint8, count=number * row_bytes, offset=place)
        if number and part[::row_bytes].max() >= _NUM_FILTERS:
            return False
        place += number * row_bytes
    return True
