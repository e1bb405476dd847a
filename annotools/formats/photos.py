"""Read photos as cameras and tools leave them, upright or as stored, as their labels need them.

Photos of 8 bits a value come as stored. Those of more bits, or of real numbers, are stretched by
`stretch`. Grey gives three equal channels, a palette its colours, CMYK the RGB that Pillow makes of
it. Opacity is left out: pixels have their stored colours, whether they can be seen or not. Of
several pages or frames the first counts. Damage is an error, and what decoders print is caught.
"""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from annotools.errors import DatasetError
from annotools.formats.jpeg_segments import jpeg_size
from annotools.formats.json_values import read_bytes
from annotools.formats.photo_ends import refuse_cut_photo
from annotools.formats.photo_heads import PhotoHead, photo_head, read_photo_head, turn_of
from annotools.formats.pictures import picture_size
from annotools.formats.tiff_tags import BITS, INK, ORIENTATION, read_tags, without_turn
from annotools.records import Image, Photo
from annotools.stderr import catch_stderr, pass_on

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""Suffixes, in small letters, of the files that `read_photo` reads; their content decides."""

_STRETCHED_SHARE = 10_000
"""One in so many values may be hot or dead at either end of a photo's range."""

_OPENCV_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION

_DAMAGE = ("Corrupt JPEG data: ", "Premature end of JPEG file", "Inconsistent progression")
"""How libjpeg's complaints about damage begin: it goes on with wrong pixels."""

_CHATTER = (
    *("Invalid SOS parameters", "Unknown Adobe color", "Warning: unknown JFIF"),
    *("libpng ", "[ WARN:", "[ERROR:", ">"),
)
"""How other lines of decoders begin: the pixels are right, or there are none."""

_TURNS: dict[int, Callable[[Photo], Photo]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: stored.transpose(1, 0, 2)[:, ::-1],
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: stored.transpose(1, 0, 2)[::-1],
}
"""What makes a stored photo upright, by EXIF orientation."""


def read_photo(image: Image) -> Photo:
    """Return an image's photo: (H, W, 3) RGB, of the image's size.

    The photo is turned upright as its EXIF says where it then has the image's size, also where it
    has this size as stored, because annotation tools and browsers show photos upright. Where it has
    the image's size only as stored, it is left so: labels were drawn on its stored pixels.

    Raises:
        DatasetError: when it is missing, damaged, cannot be decoded, or is of another size than
            its image either way.
    """
    assert image.path is not None
    data = read_bytes(image.path)
    head = photo_head(io.BytesIO(data), image.path)
    _check_size(image, head)
    stored = _decode(data, head, image.path)
    if turn_of(head, image.size_wh) == "stored":
        return stored
    return np.ascontiguousarray(_TURNS[head.orientation](stored))


def check_photo(image: Image) -> None:
    """Make sure that a photo has its image's size and is not cut short, its pixels not decoded.

    Raises:
        DatasetError: when it is missing, truncated, or of another size than its image, both upright
            and as stored.
    """
    assert image.path is not None
    head = read_photo_head(image.path)
    refuse_cut_photo(image.path, head)
    _check_size(image, head)


def stretch(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return values of more than 8 bits as bytes, stretched linearly over 0 to 255.

    The lowest value becomes 0 and the highest 255, all between are rounded to the nearest. Of
    10 000 values one at either end is left out of this, so that hot and dead pixels of a sensor do
    not darken all others: it becomes 0 or 255. The channels of a colour photo share one range.
    Where lowest and highest are equal after that, all values count; if these are equal too, all
    become 0. What is not a number becomes 0, infinity 0 or 255, and neither counts in the range.

    Args:
        values: numbers of any kind and shape.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.zeros(values.shape, dtype=np.uint8)
    left_out = finite.size // _STRETCHED_SHARE
    ends = np.partition(finite, (left_out, finite.size - 1 - left_out))
    low, high = float(ends[left_out]), float(ends[-1 - left_out])
    if low == high:
        low, high = float(finite.min()), float(finite.max())
    if low == high:
        return np.zeros(values.shape, dtype=np.uint8)
    if values.dtype == np.uint16:
        # A table of all values needs far less memory than a large photo's real numbers.
        return np.asarray(_scale(np.arange(2**16), low, high)[values])
    return _scale(values, low, high)


def _scale(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    clipped = np.clip(np.nan_to_num(values.astype(np.float64), nan=low), low, high)
    return np.floor((clipped - low) / (high - low) * 255 + 0.5).astype(np.uint8)


def _check_size(image: Image, head: PhotoHead) -> None:
    if turn_of(head, image.size_wh) is None:
        width, height = head.stored_wh
        upright = "{} x {}".format(*head.upright_wh)
        turn = f" ({upright} as its EXIF turns it)" if head.orientation != 1 else ""
        raise DatasetError(
            f"{image.path}: is {width} x {height} pixels{turn}, the annotation file says "
            f"{image.width} x {image.height}: restore the photo that was annotated"
        )


def _decode(data: bytes, head: PhotoHead, path: Path) -> Photo:
    """Return the stored pixels of a photo."""
    if head.kind in ("JPEG", "PNG"):
        # OpenCV would also decode files that are cut short.
        picture_size(data, path)
        return _decode_common(data, head, path)
    if head.kind == "TIFF":
        return _decode_tiff(data, path)
    return _decode_by_pillow(BmpImageFile if head.kind == "BMP" else WebPImageFile, data, path)


def _decode_common(data: bytes, head: PhotoHead, path: Path) -> Photo:
    pixels, damage = _decode_by_opencv(data, _OPENCV_FLAGS)
    if damage:
        raise DatasetError(f"{path}: the JPEG is damaged ({damage}): copy it again")
    if pixels is None and head.kind == "PNG":
        raise DatasetError(f"{path}: the PNG is damaged: copy it again")
    if pixels is None:
        raise DatasetError(f"{path}: not a photo that OpenCV can decode: replace the file")
    size = jpeg_size(data) if head.kind == "JPEG" else None
    # OpenCV takes all CMYK for Adobe's, in which full ink is 0.
    if size is not None and size[2] == 4:
        return _decode_by_pillow(JpegImageFile, data, path)
    return pixels if pixels.dtype == np.uint8 else stretch(pixels)


def _decode_tiff(data: bytes, path: Path) -> Photo:
    tags = read_tags(io.BytesIO(data), (BITS, INK, ORIENTATION))
    if ORIENTATION in tags:
        data = without_turn(data, tags[ORIENTATION])
    if BITS not in tags or max(tags[BITS].values) <= 8:
        return _decode_by_pillow(TiffImageFile, data, path)
    pixels, _ = _decode_by_opencv(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise DatasetError(f"{path}: the TIFF is damaged, or of a rare kind: save it as PNG")
    if pixels.ndim == 3:
        # OpenCV gives BGR, or BGRA: the slice turns the colours round and leaves opacity out.
        return stretch(pixels[:, :, 2::-1])
    grey = stretch(pixels)
    is_negative = INK in tags and tags[INK].values[0] == 0
    return np.dstack([255 - grey if is_negative else grey] * 3)


def _decode_by_opencv(data: bytes, flags: int) -> tuple[NDArray[Any] | None, str]:
    """Return decoded pixels, None where there are none, and what libjpeg says of damage."""
    pixels = None
    with catch_stderr() as printed:
        try:
            pixels = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
        except cv2.error:
            pixels = None
    if not printed:
        return pixels, ""
    lines = printed.decode(errors="replace").splitlines(keepends=True)
    for line in lines:
        if line.strip() and not line.startswith(_DAMAGE + _CHATTER):
            pass_on(line.encode())
    damage = [line.strip() for line in lines if line.startswith(_DAMAGE)]
    return pixels, damage[0].removeprefix(_DAMAGE[0]) if damage else ""


def _decode_by_pillow(
    reader: Callable[[io.BytesIO], Pillow.Image], data: bytes, path: Path
) -> Photo:
    """Return the pixels of the first picture in a file, as stored."""
    with warnings.catch_warnings():
        # They are about damage beside the pixels; damage in these is an error.
        warnings.simplefilter("ignore")
        try:
            with reader(io.BytesIO(data)) as picture:
                return np.array(picture.convert("RGB"))
        # Of damaged files Pillow raises whatever goes wrong in its decoders.
        except Exception as error:
            raise DatasetError(
                f"{path}: cannot be decoded ({error}): copy it again or save it as PNG"
            ) from error
