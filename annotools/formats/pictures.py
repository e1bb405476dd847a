"""Read label maps and sizes of pictures, and say in one clear line what is wrong with them.

Truncated files, and pictures that unpack to more than memory holds, are refused before anything is
decoded.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.errors import DatasetError
from annotools.formats.jpeg_segments import JPEG_START, has_jpeg_end, jpeg_size
from annotools.formats.opencv import decode_by_opencv
from annotools.formats.png_damage import has_all_pixels
from annotools.read_files import read_bytes

MAX_PIXELS = 2**27
"""Pictures of more pixels (134 million) are taken for damage or malice."""

_PNG_HEAD_BYTES = 33
HEAD_BYTES = 2**18
"""Where a JPEG's size is looked for: thumbnails and colour profiles come before it."""

PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH = 8
"""Where a PNG's head, its first chunk, has the bits of a value."""

_GREY, _PALETTE = b"\0", b"\3"


def is_possible_size(width: int, height: int) -> bool:
    """Tell whether a picture may have this size in pixels."""
    return min(width, height) > 0 and width * height <= MAX_PIXELS


def refuse_impossible(width: int, height: int, path: Path) -> None:
    """Make sure that a picture may have the size that its file claims.

    Raises:
        DatasetError: when it may not; `path` is named.
    """
    if not is_possible_size(width, height):
        raise DatasetError(
            f"{path}: claims {width} x {height} pixels, not 1 to {MAX_PIXELS}: replace it"
        )


def picture_size(data: bytes, path: Path) -> tuple[int, int]:
    """Return (width, height) of a whole PNG or JPEG file, its pixels not decoded.

    Args:
        data: the file's content.
        path: named in messages.

    Raises:
        DatasetError: for other content, a file that is truncated or, where a PNG's checksums
            show it, damaged, or an impossible size.
    """
    size = _size_in_head(data, path)
    if data.startswith(PNG_START):
        png_chunks(data, path)
    elif not has_jpeg_end(data):
        raise DatasetError(f"{path}: the file is truncated: copy it again")
    return size


def read_picture_size(path: Path) -> tuple[int, int]:
    """Return (width, height) from the head of a PNG or JPEG file, the rest of it not read.

    Raises:
        DatasetError: when the head cannot be read, is no PNG's or JPEG's, or claims an
            impossible size.
    """
    head = read_bytes(path, _PNG_HEAD_BYTES)
    if head.startswith(JPEG_START):
        head = read_bytes(path, HEAD_BYTES)
    return _size_in_head(head, path)


def read_png_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Return the name and content of each chunk of a label PNG, checksums and size verified.

    Raises:
        DatasetError: when the file is missing, damaged or not a PNG.
    """
    data = read_bytes(path)
    if not data.startswith(PNG_START):
        picture_size(data, path)
        raise DatasetError(f"{path}: label maps are PNG files: replace it")
    _size_in_head(data, path)
    return png_chunks(data, path)


def png_chunks(data: bytes, path: Path) -> list[tuple[bytes, bytes]]:
    """Return the name and content of each chunk of a PNG file, checksums verified.

    Args:
        data: the file's content.
        path: named in messages.

    Raises:
        DatasetError: when a checksum is wrong or the end is missing.
    """
    chunks = []
    place = len(PNG_START)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        name, content = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        end = place + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise DatasetError(f"{path}: the PNG is damaged (a checksum is wrong): copy it again")
        chunks.append((name, content))
        if name == b"IEND":
            return chunks
        place = end + 4
    raise DatasetError(f"{path}: the file is truncated: copy it again")


def decode_map(path: Path) -> NDArray[Any]:
    """Return the pixels of a label PNG as stored: (H, W) or (H, W, 3) in RGB order.

    A palette PNG gives the palette's indices, not its colours.

    Raises:
        DatasetError: when the file is missing, damaged or not a PNG.
    """
    chunks = read_png_chunks(path)
    pixels = None
    if has_all_pixels(chunks):
        pixels, _ = decode_by_opencv(_bare_png(chunks), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DatasetError(f"{path}: the PNG is damaged: copy it again")
    if pixels.ndim == 3:
        # OpenCV gives BGR, or BGRA: the slice turns the colours round and leaves opacity out.
        return np.asarray(pixels[:, :, 2::-1])
    depth = chunks[0][1][_PNG_DEPTH]
    # OpenCV stretches values of fewer than 8 bits to the full range of a byte.
    return np.asarray(pixels if depth >= 8 else pixels // (255 // (2**depth - 1)))


def _size_in_head(data: bytes, path: Path) -> tuple[int, int]:
    if data.startswith(PNG_START) and len(data) >= _PNG_HEAD_BYTES:
        width, height = struct.unpack(">II", data[16:24])
    elif data.startswith(JPEG_START):
        found = jpeg_size(data)
        if found is None:
            raise DatasetError(f"{path}: the JPEG is damaged or truncated: copy it again")
        width, height, _ = found
    else:
        raise DatasetError(f"{path}: not a PNG or JPEG file: replace it")
    refuse_impossible(width, height, path)
    return width, height


def _bare_png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return a PNG file of the stored numbers alone, a palette's indices as grey values."""
    kept = []
    for name, content in chunks:
        if name == b"IHDR" and content[9:10] == _PALETTE:
            content = content[:9] + _GREY + content[10:]
        # Chunks about transparency or colour could make the decoder change the stored numbers.
        if name in (b"IHDR", b"IDAT", b"IEND"):
            checksum = struct.pack(">I", zlib.crc32(name + content))
            kept.append(struct.pack(">I", len(content)) + name + content + checksum)
    return PNG_START + b"".join(kept)
