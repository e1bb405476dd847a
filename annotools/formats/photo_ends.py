"""Tell whether a photo's file is cut short, its pixels not decoded.

Sources: as for `annotools.formats.photo_heads`; BITMAPINFOHEADER, Microsoft.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO

from annotools.errors import DatasetError
from annotools.formats.jpeg_segments import JPEG_END
from annotools.formats.photo_heads import PhotoHead
from annotools.formats.pictures import HEAD_BYTES, picture_size
from annotools.formats.tiff_tags import (
    STRIP_BYTES,
    STRIP_PLACES,
    TILE_BYTES,
    TILE_PLACES,
    read_tags,
)

_LAST_BYTES = 2**16
"""Where the end of a large picture is looked for, thumbnails far before it."""

_PNG_END = b"IEND"

_BMP_UNPACKED = (0, 3, 6)
"""Compressions of a BMP that store every pixel: none, and none with masks of the colours."""


def refuse_cut_photo(file: BinaryIO, head: PhotoHead, path: Path) -> None:
    """Make sure that a photo's file is not cut short, as far as its head and its end tell.

    Only its beginning and its last bytes are read, or all of it where its end is not among these.
    A packed BMP does not say where it ends.

    Args:
        file: of the photo.
        head: what it says.
        path: named in messages.

    Raises:
        DatasetError: when it is truncated or, where a small PNG's checksums show it, damaged.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if head.kind in ("JPEG", "PNG"):
        _check_end(file, path, JPEG_END if head.kind == "JPEG" else _PNG_END)
        return
    try:
        end = _END_OF[head.kind](file, head)
    except ValueError as error:
        raise DatasetError(
            f"{path}: the {head.kind} is damaged ({error}): copy it again"
        ) from error
    if end > size:
        raise DatasetError(f"{path}: the file is truncated: copy it again")


def _check_end(file: BinaryIO, path: Path, end: bytes) -> None:
    start = file.read(HEAD_BYTES)
    # What was read is the whole file.
    if len(start) < HEAD_BYTES:
        picture_size(start, path)
        return
    file.seek(-_LAST_BYTES, os.SEEK_END)
    if end not in file.read():
        # It is truncated, or another program has put more behind it.
        file.seek(0)
        picture_size(file.read(), path)


def _webp_end(file: BinaryIO, head: PhotoHead) -> int:  # noqa: ARG001
    start, size = struct.unpack("<4sI", file.read(8))
    return len(start) + 4 + int(size)


def _bmp_end(file: BinaryIO, head: PhotoHead) -> int:
    start = file.read(34).ljust(34, b"\0")
    place, head_bytes = struct.unpack("<II", start[10:18])
    is_short = head_bytes == 12  # that of OS/2
    bits, packing = struct.unpack("<HI", start[24:26] + bytes(4) if is_short else start[28:34])
    if packing not in _BMP_UNPACKED:
        return 0
    width, height = head.stored_wh
    # Rows end on whole groups of four bytes.
    return int(place) + height * (-(-width * int(bits) // 32) * 4)


def _tiff_end(file: BinaryIO, head: PhotoHead) -> int:  # noqa: ARG001
    tags = read_tags(file, (STRIP_PLACES, STRIP_BYTES, TILE_PLACES, TILE_BYTES))
    ends = [0]
    for places, sizes in ((STRIP_PLACES, STRIP_BYTES), (TILE_PLACES, TILE_BYTES)):
        if places in tags and sizes in tags:
            # Lists of different lengths are damage that decoding finds.
            pairs = zip(tags[places].values, tags[sizes].values, strict=False)
            ends += [place + size for place, size in pairs]
    return max(ends)


_END_OF = {"WebP": _webp_end, "BMP": _bmp_end, "TIFF": _tiff_end}
