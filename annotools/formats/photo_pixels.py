"""Decode photos of every kind to RGB bytes, without a word on stderr.

Photos of 8 bits a value come as stored. Those of more bits, or of real numbers, are stretched by
`stretch`. Grey gives three equal channels, a palette its colours, CMYK the RGB that Pillow makes of
it. Opacity is left out: pixels have their stored colours, whether they can be seen or not. Of
several pages or frames the first counts.
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
from annotools.formats.opencv import decode_by_opencv
from annotools.formats.photo_heads import PhotoHead
from annotools.formats.pictures import picture_size
from annotools.formats.tiff_tags import BITS, INK, ORIENTATION, read_tags, without_turn
from annotools.records import Photo
from annotools.stderr import catch_stderr

_STRETCHED_SHARE = 10_000
"""One in so many values may be hot or dead at either end of a photo's range."""

_OPENCV_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION

_DAMAGE = ("Corrupt JPEG data: ", "Premature end of JPEG file", "Inconsistent progression")
"""How libjpeg's complaints about damage begin: it goes on with wrong pixels."""


def decode_photo(data: bytes, head: PhotoHead, path: Path) -> Photo:
    """Return the pixels of a photo as stored: (H, W, 3) RGB.

    Args:
        data: the file's content.
        head: what its head says.
        path: named in messages.

    Raises:
        DatasetError: when it is truncated or damaged or cannot be decoded.
    """
    if head.kind in ("JPEG", "PNG"):
        # OpenCV would also decode files that are cut short, and PNGs with a wrong checksum.
        picture_size(data, path)
        pixels = _decode_common(data, head, path)
    elif head.kind == "TIFF":
        pixels = _decode_tiff(data, path)
    else:
        reader = BmpImageFile if head.kind == "BMP" else WebPImageFile
        pixels = _decode_by_pillow(reader, data, path)
    if (pixels.shape[1], pixels.shape[0]) != head.stored_wh:
        raise DatasetError(f"{path}: the {head.kind} is damaged (its size): copy it again")
    return pixels


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
    # The range of senseless numbers, such as damage makes of real ones, may exceed all numbers.
    with np.errstate(over="ignore", invalid="ignore"):
        clipped = np.clip(np.nan_to_num(values.astype(np.float64), nan=low), low, high)
        return np.floor((clipped - low) / (high - low) * 255 + 0.5).astype(np.uint8)


def _decode_common(data: bytes, head: PhotoHead, path: Path) -> Photo:
    pixels, lines = decode_by_opencv(data, _OPENCV_FLAGS)
    # All else that decoders print is about files that give no pixels, or give the right ones.
    damage = [line for line in lines if line.startswith(_DAMAGE)]
    if damage:
        reason = damage[0].removeprefix(_DAMAGE[0])
        raise DatasetError(f"{path}: the JPEG is damaged ({reason}): copy it again")
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
    try:
        tags = read_tags(io.BytesIO(data), (BITS, INK, ORIENTATION))
    except ValueError as error:
        raise DatasetError(f"{path}: the TIFF is damaged ({error}): copy it again") from error
    if ORIENTATION in tags:
        data = without_turn(data, tags[ORIENTATION])
    if BITS not in tags or max(tags[BITS].values) <= 8:
        return _decode_by_pillow(TiffImageFile, data, path)
    pixels, _ = decode_by_opencv(data, cv2.IMREAD_UNCHANGED)
    # Of kinds that OpenCV does not know it may keep 8 bits alone.
    if pixels is None or pixels.dtype == np.uint8:
        raise DatasetError(f"{path}: the TIFF is damaged, or of a rare kind: save it as PNG")
    if pixels.ndim == 3:
        # OpenCV gives BGR, or BGRA: the slice turns the colours round and leaves opacity out.
        return stretch(pixels[:, :, 2::-1])
    grey = stretch(pixels)
    is_negative = INK in tags and tags[INK].values[0] == 0
    return np.dstack([255 - grey if is_negative else grey] * 3)


def _decode_by_pillow(
    reader: Callable[[io.BytesIO], Pillow.Image], data: bytes, path: Path
) -> Photo:
    """Return the pixels of the first picture in a file, as stored."""
    with catch_stderr(), warnings.catch_warnings():
        # They are about what is beside the pixels; damage in these is an error.
        warnings.simplefilter("ignore")
        try:
            with reader(io.BytesIO(data)) as picture:
                return np.array(picture.convert("RGB"))
        # Of damaged files Pillow raises whatever goes wrong in its decoders.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetError(
                f"{path}: cannot be decoded ({reason}): copy it again or save it as PNG"
            ) from error
