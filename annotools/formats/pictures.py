"""Read photos and label maps, and say in one clear line what is wrong with them.

Truncated files, and pictures that unpack to more than memory holds, are refused before anything is
decoded.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.errors import DatasetError
from annotools.formats.json_values import read_bytes
from annotools.formats.png_damage import has_all_pixels
from annotools.records import Image, Photo

MAX_PIXELS = 2**27
"""Pictures of more pixels (134 million) are taken for damage or malice."""

_PNG_HEAD_BYTES = 33
_JPEG_HEAD_BYTES = 2**18
"""Where a JPEG's size is looked for: thumbnails and colour profiles come before it."""

_LAST_BYTES = 2**16
"""Where the end of a large picture is looked for, thumbnails far before it."""

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND"
_PNG_DEPTH = 8
"""Where a PNG's head, its first chunk, has the bits of a value."""

_GREY, _PALETTE = b"\0", b"\3"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
# C4 and CC hold coding tables and C8 is reserved: of these markers they alone have no size.
_JPEG_SIZES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_JPEG_SCAN = frozenset({0xDA})
_JPEG_WITHOUT_CONTENT = {0x01, *range(0xD0, 0xD9)}


def is_possible_size(width: int, height: int) -> bool:
    """Tell whether a picture may have this size in pixels."""
    return min(width, height) > 0 and width * height <= MAX_PIXELS


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
    if data.startswith(_PNG_START):
        _png_chunks(data, path)
    # A thumbnail's end comes before the scan; inside a scan its two bytes do not occur.
    elif _JPEG_END not in data[_walk_jpeg(data, path, _JPEG_SCAN) :]:
        raise DatasetError(f"{path}: the file is truncated: copy it again")
    return size


def read_picture_size(path: Path) -> tuple[int, int]:
    """Return (width, height) from the head of a PNG or JPEG file, the rest of it not read.

    Raises:
        DatasetError: when the head cannot be read, is no PNG's or JPEG's, or claims an
            impossible size.
    """
    head = read_bytes(path, _PNG_HEAD_BYTES)
    if head.startswith(_JPEG_START):
        head = read_bytes(path, _JPEG_HEAD_BYTES)
    return _size_in_head(head, path)


def read_png_chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Return the name and content of each chunk of a label PNG, checksums and size verified.

    Raises:
        DatasetError: when the file is missing, damaged or not a PNG.
    """
    data = read_bytes(path)
    if not data.startswith(_PNG_START):
        picture_size(data, path)
        raise DatasetError(f"{path}: label maps are PNG files: replace it")
    _size_in_head(data, path)
    return _png_chunks(data, path)


def decode_map(path: Path) -> NDArray[Any]:
    """Return the pixels of a label PNG as stored: (H, W) or (H, W, 3) in RGB order.

    A palette PNG gives the palette's indices, not its colours.

    Raises:
        DatasetError: when the file is missing, damaged or not a PNG.
    """
    chunks = read_png_chunks(path)
    # What OpenCV cannot decode it also complains about, on a line of its own.
    is_whole = has_all_pixels(chunks)
    pixels = cv2.imdecode(_bare_png(chunks), cv2.IMREAD_UNCHANGED) if is_whole else None
    if pixels is None:
        raise DatasetError(f"{path}: the PNG is damaged: copy it again")
    if pixels.ndim == 3:
        # OpenCV gives BGR, or BGRA: the slice turns the colours round and leaves opacity out.
        return np.asarray(pixels[:, :, 2::-1])
    depth = chunks[0][1][_PNG_DEPTH]
    # OpenCV stretches values of fewer than 8 bits to the full range of a byte.
    return np.asarray(pixels if depth >= 8 else pixels // (255 // (2**depth - 1)))


def read_photo(image: Image) -> Photo:
    """Return an image's photo: (H, W, 3) RGB.

    Raises:
        DatasetError: when it is missing, damaged, or of another size than its image.
    """
    assert image.path is not None
    data = read_bytes(image.path)
    size = picture_size(data, image.path)
    # Annotations are drawn on the stored pixels, so a turn noted in the file's EXIF is left undone.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if pixels is None:
        raise DatasetError(f"{image.path}: not a photo that OpenCV can decode: replace the file")
    _check_size(image, size)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def check_photo(image: Image) -> None:
    """Make sure that a photo has its image's size and is not cut short, its pixels not decoded.

    Only its beginning and its last bytes are read, or all of it where its end is not among these.

    Raises:
        DatasetError: when it is missing, truncated, or of another size than its image.
    """
    assert image.path is not None
    head = read_bytes(image.path, _JPEG_HEAD_BYTES)
    end = _JPEG_END if head.startswith(_JPEG_START) else _PNG_END
    # The head that was read is the whole file.
    if len(head) < _JPEG_HEAD_BYTES:
        size = picture_size(head, image.path)
    elif end in _read_last_bytes(image.path):
        size = _size_in_head(head, image.path)
    else:  # It is truncated, or another program has put more behind it.
        size = picture_size(read_bytes(image.path), image.path)
    _check_size(image, size)


def _check_size(image: Image, size_wh: tuple[int, int]) -> None:
    if size_wh != image.size_wh:
        raise DatasetError(
            f"{image.path}: is {size_wh[0]} x {size_wh[1]} pixels, the annotation file says "
            f"{image.width} x {image.height}: restore the photo that was annotated"
        )


def _read_last_bytes(path: Path) -> bytes:
    """Return the end of a file of at least `_LAST_BYTES`; it was opened before."""
    with path.open("rb") as file:
        file.seek(-_LAST_BYTES, os.SEEK_END)
        return file.read()


def _size_in_head(data: bytes, path: Path) -> tuple[int, int]:
    if data.startswith(_PNG_START) and len(data) >= _PNG_HEAD_BYTES:
        width, height = struct.unpack(">II", data[16:24])
    elif data.startswith(_JPEG_START):
        place = _walk_jpeg(data, path, _JPEG_SIZES)
        # Between the marker and the size are the segment's length and the bits of a sample.
        height, width = struct.unpack(">HH", data[place + 5 : place + 9])
    else:
        raise DatasetError(f"{path}: not a PNG or JPEG file: replace it")
    if not is_possible_size(width, height):
        raise DatasetError(
            f"{path}: claims {width} x {height} pixels, not 1 to {MAX_PIXELS}: replace it"
        )
    return width, height


def _png_chunks(data: bytes, path: Path) -> list[tuple[bytes, bytes]]:
    """Return the name and content of each chunk of a PNG file, checksums verified."""
    chunks = []
    place = len(_PNG_START)
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


def _bare_png(chunks: list[tuple[bytes, bytes]]) -> NDArray[np.uint8]:
    """Return a PNG file of the stored numbers alone, a palette's indices as grey values."""
    kept = []
    for name, content in chunks:
        if name == b"IHDR" and content[9:10] == _PALETTE:
            content = content[:9] + _GREY + content[10:]
        # Chunks about transparency or colour could make the decoder change the stored numbers.
        if name in (b"IHDR", b"IDAT", b"IEND"):
            checksum = struct.pack(">I", zlib.crc32(name + content))
            kept.append(struct.pack(">I", len(content)) + name + content + checksum)
    return np.frombuffer(_PNG_START + b"".join(kept), dtype=np.uint8)


def _walk_jpeg(data: bytes, path: Path, markers: frozenset[int]) -> int:
    """Return where the first segment with one of these markers begins in a JPEG file."""
    place = len(_JPEG_START)
    # Nine bytes hold all of a size, so that callers need not look whether it is there.
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in markers:
            return place
        if marker == 0xFF:  # a byte that fills up
            place += 1
        elif marker in _JPEG_WITHOUT_CONTENT:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    raise DatasetError(f"{path}: the JPEG is damaged or truncated: copy it again")
