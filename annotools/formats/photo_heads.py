"""Read a photo's size and its EXIF turn from its head, and tell which way labels were drawn.

Sources: PNG Specification (Third Edition), W3C 2025, sec. 11.3.4.5 (eXIf); WebP Container
Specification, Google; Exif 2.32, sec. 4.6.4 (Orientation).
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from annotools.errors import DatasetError
from annotools.formats.jpeg_segments import JPEG_START, jpeg_exif, jpeg_size
from annotools.formats.pictures import HEAD_BYTES, PNG_START, refuse_impossible
from annotools.formats.tiff_tags import HEIGHT, ORIENTATION, WIDTH, read_tags

Kind = Literal["JPEG", "PNG", "WebP", "TIFF", "BMP"]

Turn = Literal["upright", "stored", "either"]
"""How labels were drawn: on the photo as EXIF turns it, as stored, or on either: both fit."""

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EXIF_START = b"Exif\0\0"
_WEBP_WITH_EXIF = 0x08


@dataclass(frozen=True, kw_only=True)
class PhotoHead:
    """What the head of a photo says: width and height of the stored pixels, and its EXIF turn.

    `orientation` is EXIF's, 1 to 8; 1 where the file has none or an impossible one.
    """

    kind: Kind
    stored_wh: tuple[int, int]
    orientation: int = 1

    @property
    def upright_wh(self) -> tuple[int, int]:
        """Width and height of the photo as EXIF turns it."""
        width, height = self.stored_wh
        # These turns lay the photo on its side.
        return (height, width) if self.orientation >= 5 else (width, height)


def photo_head(file: BinaryIO, path: Path) -> PhotoHead:
    """Return what the head of an open photo says, its pixels not read.

    EXIF counts in a JPEG's first segments, in a PNG's chunks before its pixels, in a WebP's chunks
    and in a TIFF's first directory. A BMP has none, and a turn in XMP does not count.

    Args:
        file: at its beginning.
        path: named in messages.

    Raises:
        DatasetError: when the file is of another kind, or its head is damaged or claims an
            impossible size.
    """
    start = file.read(HEAD_BYTES)
    kind = _kind_of(start)
    if kind is None:
        raise DatasetError(f"{path}: {_name_other(start)}")
    try:
        (width, height), exif = _read_head(kind, start, file)
    except (struct.error, KeyError, ValueError) as error:
        raise DatasetError(f"{path}: the {kind} is damaged or truncated: copy it again") from error
    refuse_impossible(width, height, path)
    return PhotoHead(kind=kind, stored_wh=(width, height), orientation=_orientation_in(exif))


def turn_of(head: PhotoHead, size_wh: tuple[int, int]) -> Turn | None:
    """Tell how labels on an image of this size were drawn on its photo; None where it has another.

    A photo without an EXIF turn is upright as it is stored.
    """
    is_upright, is_stored = head.upright_wh == size_wh, head.stored_wh == size_wh
    if is_upright and is_stored and head.orientation != 1:
        return "either"
    if is_upright:
        return "upright"
    return "stored" if is_stored else None


def _name_other(start: bytes) -> str:
    """Return what a file is that is no photo of a known kind, and what to do."""
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of git-lfs and no photo: run git lfs pull"
    if start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif", b"ftypmsf1"):
        return "is HEIC or AVIF, not JPEG, PNG, WebP, TIFF or BMP: export it as JPEG"
    return "not a JPEG, PNG, WebP, TIFF or BMP file: replace it"


def _kind_of(start: bytes) -> Kind | None:
    if start.startswith(JPEG_START):
        return "JPEG"
    if start.startswith(PNG_START):
        return "PNG"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP"
    if start.startswith(_TIFF_STARTS):
        return "TIFF"
    return "BMP" if start.startswith(b"BM") else None


def _read_head(kind: Kind, start: bytes, file: BinaryIO) -> tuple[tuple[int, int], BinaryIO | None]:
    """Return the stored size, and the EXIF data, which are a TIFF file, where there are any.

    Raises:
        ValueError, struct.error, KeyError: for a damaged head.
    """
    if kind == "TIFF":
        file.seek(0)
        tags = read_tags(file, (WIDTH, HEIGHT))
        file.seek(0)
        return (tags[WIDTH].values[0], tags[HEIGHT].values[0]), file
    if kind == "BMP":
        return _bmp_size(start), None
    if kind == "JPEG":
        # Other programs may have put much before the size.
        if jpeg_size(start) is None:
            start += file.read()
        found = jpeg_size(start)
        if found is None:
            raise ValueError("no size")
        size, exif = found[:2], jpeg_exif(start)
    else:
        size, exif = _png_head(start) if kind == "PNG" else _webp_head(start, file)
    return size, None if exif is None else io.BytesIO(exif.removeprefix(_EXIF_START))


def _orientation_in(exif: BinaryIO | None) -> int:
    if exif is None:
        return 1
    try:
        tags = read_tags(exif, (ORIENTATION,))
    # Damage in EXIF does not hurt the pixels, and other programs look over it as well.
    except ValueError:
        return 1
    orientation = tags[ORIENTATION].values[0] if ORIENTATION in tags else 1
    return orientation if 1 <= orientation <= 8 else 1


def _png_head(start: bytes) -> tuple[tuple[int, int], bytes | None]:
    width, height = struct.unpack(">II", start[16:24])
    place = len(PNG_START)
    while place + 8 <= len(start):
        length, name = struct.unpack(">I4s", start[place : place + 8])
        if name == b"eXIf":
            return (width, height), start[place + 8 : place + 8 + length]
        if name == b"IDAT":
            break
        place += 12 + length
    return (width, height), None


def _webp_head(start: bytes, file: BinaryIO) -> tuple[tuple[int, int], bytes | None]:
    chunk = start[12:16]
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", start[26:30])
        # The two upper bits say how to scale the picture up.
        return (width & 0x3FFF, height & 0x3FFF), None
    if chunk == b"VP8L":
        (bits,) = struct.unpack("<I", start[21:25])
        return ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), None
    if chunk != b"VP8X" or len(start) < 30:
        raise ValueError("no picture")
    size = (
        int.from_bytes(start[24:27], "little") + 1,
        int.from_bytes(start[27:30], "little") + 1,
    )
    return size, _webp_exif(file) if start[20] & _WEBP_WITH_EXIF else None


def _webp_exif(file: BinaryIO) -> bytes | None:
    place = 12
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return None
        name, length = struct.unpack("<4sI", head)
        if name == b"EXIF":
            return file.read(length)
        # Chunks begin at even places.
        place += 8 + length + length % 2


def _bmp_size(start: bytes) -> tuple[int, int]:
    (head_bytes,) = struct.unpack("<I", start[14:18])
    if head_bytes == 12:  # that of OS/2
        width, height = struct.unpack("<HH", start[18:22])
    else:
        # Rows that come from the top down have a negative number.
        width, height = struct.unpack("<ii", start[18:26])
    return width, abs(height)
