"""Read photos as cameras and tools leave them, upright or as stored, as their labels need them.

Damage is an error that names the photo, and what decoders print never reaches the terminal.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from annotools.errors import DatasetError
from annotools.formats.photo_ends import refuse_cut_photo
from annotools.formats.photo_heads import PhotoHead, photo_head, turn_of
from annotools.formats.photo_pixels import decode_photo
from annotools.formats.pictures import HEAD_BYTES
from annotools.read_files import read_bytes
from annotools.records import Image, Photo

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
"""Suffixes, in small letters, of the files that `read_photo` reads; their content decides."""

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


def read_photo_head(path: Path) -> PhotoHead:
    """Return what the head of a photo says of its size and its EXIF turn, its pixels not read.

    Raises:
        DatasetError: when the file cannot be read or is of another kind, or its head is damaged or
            claims an impossible size.
    """
    with _open(path) as file:
        return photo_head(file, path)


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
    file = io.BytesIO(data)
    head = photo_head(file, image.path)
    refuse_cut_photo(file, head, image.path)
    _check_size(image, head)
    stored = decode_photo(data, head, image.path)
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
    with _open(image.path) as file:
        head = photo_head(file, image.path)
        refuse_cut_photo(file, head, image.path)
    _check_size(image, head)


def _open(path: Path) -> BinaryIO:
    """Return a photo's file, in memory where it is small."""
    start = read_bytes(path, HEAD_BYTES)
    # It was opened before, so that opening it again raises no error.
    return io.BytesIO(start) if len(start) < HEAD_BYTES else path.open("rb")


def _check_size(image: Image, head: PhotoHead) -> None:
    if turn_of(head, image.size_wh) is None:
        width, height = head.stored_wh
        upright = "{} x {}".format(*head.upright_wh)
        turn = f" ({upright} as its EXIF turns it)" if head.orientation != 1 else ""
        raise DatasetError(
            f"{image.path}: is {width} x {height} pixels{turn}, the annotation file says "
            f"{image.width} x {image.height}: restore the photo that was annotated"
        )
