"""Reading a dataset's files: JSON, photos and label maps, with one clear line for what is wrong.

Paths that leave the dataset, truncated files and pictures that unpack to more than memory holds
are refused before anything is decoded.
"""

import io
import json
import struct
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from annotools.errors import DatasetError
from annotools.records import Image, Photo

Value = TypeVar("Value", int, str)

MAX_PIXELS = 2**27
"""Pictures of more pixels (134 million) are taken for damage or malice."""

_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_SIZE_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        DatasetError: when it cannot be read.
    """
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path}: cannot be read ({reason}): check the file") from error


def read_json(path: Path, others: str) -> Any:
    """Return the content of a JSON file.

    Args:
        path: of the file.
        others: pattern of files in its folder to name when it is missing.

    Raises:
        DatasetError: when it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        present = ", ".join(sorted(p.name for p in path.parent.glob(others))) or "none"
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror}): check root and split; the folder has "
            f"{present}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not valid JSON ({error}): download it again") from error


def entries(path: Path, content: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a list in a COCO file, each after its place for messages.

    Raises:
        DatasetError: when the list is missing or holds something else.
    """
    listed = content.get(key) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise DatasetError(f"{path}: {key} is missing or not a list: give a COCO file")
    for number, entry in enumerate(listed):
        place = f"{path}: {key}[{number}]"
        if not isinstance(entry, dict):
            raise DatasetError(f"{place}: is not an object: give a COCO file")
        yield place, entry


def take(place: str, entry: dict[str, Any], key: str, kind: type[Value]) -> Value:
    """Return a value of an object in a JSON file.

    Raises:
        DatasetError: when it is missing or of another type.
    """
    value = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        name = "a whole number" if kind is int else "text"
        raise DatasetError(f"{place}: {key} is missing or not {name}: correct the file")
    return value


def check_inside(place: str, file_name: str, folder: Path) -> None:
    """Make sure that a file name that a file gives stays in its folder.

    Raises:
        DatasetError: for an empty or absolute name, or one with `..`.
    """
    # As a Windows path it shows drives, backslashes and leading slashes alike.
    parts = PureWindowsPath(file_name)
    if parts.anchor or ".." in parts.parts or not parts.parts or "\0" in file_name:
        raise DatasetError(
            f"{place}: file_name {file_name!r} leaves the photo folder: "
            f"give it relative to {folder}"
        )


def picture_size(data: bytes, path: Path) -> tuple[int, int]:
    """Return (width, height) from the head of a whole PNG or JPEG file.

    Args:
        data: the file's content.
        path: named in messages.

    Raises:
        DatasetError: for other content, a truncated file or an impossible size.
    """
    if data.startswith(_PNG_START) and len(data) >= 33:
        width, height = struct.unpack(">II", data[16:24])
        whole = _PNG_END in data[-64:]
    elif data.startswith(_JPEG_START):
        width, height = _jpeg_size(data, path)
        whole = _JPEG_END in data[-4096:]
    else:
        raise DatasetError(f"{path}: not a PNG or JPEG file: replace it")
    if not whole:
        raise DatasetError(f"{path}: the file is truncated: copy it again")
    if not 0 < width * height <= MAX_PIXELS:
        raise DatasetError(
            f"{path}: claims {width} x {height} pixels, more than {MAX_PIXELS}: replace it"
        )
    return width, height


def decode_map(path: Path) -> NDArray[Any]:
    """Return the pixels of a label PNG as stored: (H, W) or (H, W, 3) in RGB order.

    Palette PNGs, which OpenCV would turn into colours, come as the palette's indices.

    Raises:
        DatasetError: when the file is missing, damaged or not a PNG.
    """
    data = read_bytes(path)
    picture_size(data, path)
    if not data.startswith(_PNG_START):
        raise DatasetError(f"{path}: label maps are PNG files: replace it")
    if data[25] == 3:  # the colour type in the PNG's head: indices into a palette
        return _decode_palette(data, path)
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DatasetError(f"{path}: the PNG is damaged: copy it again")
    return np.asarray(pixels if pixels.ndim == 2 else pixels[:, :, 2::-1])


def read_photo(image: Image) -> Photo:
    """Return an image's photo: (H, W, 3) RGB.

    Raises:
        DatasetError: when it is missing, damaged, or of another size than its image.
    """
    assert image.path is not None
    data = read_bytes(image.path)
    width, height = picture_size(data, image.path)
    # Annotations are drawn on the stored pixels, so a turn noted in the file's EXIF is left undone.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    if pixels is None:
        raise DatasetError(f"{image.path}: not a photo that OpenCV can decode: replace the file")
    if (width, height) != (image.width, image.height):
        raise DatasetError(
            f"{image.path}: is {width} x {height} pixels, the annotation file says "
            f"{image.width} x {image.height}: restore the photo that was annotated"
        )
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _decode_palette(data: bytes, path: Path) -> NDArray[np.uint8]:

    try:
        with Picture.open(io.BytesIO(data)) as picture:
            return np.array(picture, dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(f"{path}: the PNG is damaged ({error}): copy it again") from error


def _jpeg_size(data: bytes, path: Path) -> tuple[int, int]:
    """Walk the segments of a JPEG file to the one that holds its size."""
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:
            break
        marker = data[place + 1]
        if marker in _JPEG_SIZE_MARKERS:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            place += 1 if marker == 0xFF else 2
            continue
        place += 2 + struct.unpack(">H", data[place + 2 : place + 4])[0]
    raise DatasetError(f"{path}: the JPEG is damaged: copy it again")
