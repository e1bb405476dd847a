"""Find what a JPEG file says of itself before its pixels: size, number of colours, EXIF.

Source: ITU-T T.81 (1992), annex B; Exif 2.32, sec. 4.5.4 (the segment APP1).
"""

import struct

JPEG_START = b"\xff\xd8"
JPEG_END = b"\xff\xd9"

# C4 and CC hold coding tables and C8 is reserved: of these markers they alone have no size.
_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SCAN = frozenset({0xDA})
_APP1 = frozenset({0xE1})
_WITHOUT_CONTENT = {0x01, *range(0xD0, 0xD9)}
_EXIF_START = b"Exif\0\0"


def jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """Return width, height and number of colours from the beginning of a JPEG file.

    None where it does not reach so far, or is damaged before them.
    """
    place = _find(data, _SIZES)
    if place is None:
        return None
    # Between the marker and the size are the segment's length and the bits of a sample.
    height, width, colours = struct.unpack(">HHB", data[place + 5 : place + 10])
    return width, height, colours


def has_jpeg_end(data: bytes) -> bool:
    """Tell whether a whole JPEG file has its end, and is not truncated."""
    scan = _find(data, _SCAN)
    # A thumbnail's end comes before the scan; inside a scan its two bytes do not occur.
    # Looked for from behind it is found at once, in a scan full of half such ends it is not.
    return scan is not None and data.rfind(JPEG_END) >= scan


def jpeg_exif(data: bytes) -> bytes | None:
    """Return the EXIF data in the beginning of a JPEG file, which are a TIFF file, or None."""
    start = len(JPEG_START)
    while (place := _find(data, _APP1 | _SCAN, start)) is not None:
        if data[place + 1] in _SCAN:
            return None
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        content = data[place + 4 : end]
        # Another program's XMP may come in a segment of the same kind.
        if content.startswith(_EXIF_START):
            return content[len(_EXIF_START) :]
        start = end
    return None


def _find(data: bytes, markers: frozenset[int], place: int = len(JPEG_START)) -> int | None:
    """Return where the first segment with one of these markers begins, None where none does."""
    # Ten bytes hold all of a size, so that callers need not look whether it is there.
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in markers:
            return place
        if marker == 0xFF:  # a byte that fills up
            place += 1
        elif marker in _WITHOUT_CONTENT:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None
