"""Photos of every kind as bytes of a file, and what is read of them."""

import io
import struct

import numpy as np
from PIL import Image as Picture

from annotools.errors import DatasetError
from annotools.formats.photos import check_photo, read_photo
from annotools.records import Image

KIND_OF = {
    **{".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WebP"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"},
}
# Blocks of one colour survive a JPEG's blocks of 16 x 16 pixels.
BLOCKS = np.array(
    [[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[90, 90, 90], [250, 250, 0], [0, 0, 0]]], np.uint8
)
RGB = BLOCKS.repeat(16, axis=0).repeat(16, axis=1)
SIZE_WH = (48, 32)
NOISE = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)


def save(pixels, ending, mode="RGB", **options):
    """A photo as Pillow writes it, with little loss."""
    if ending in (".jpg", ".jpeg"):
        options = {"quality": 95, "subsampling": 0} | options
    if ending == ".webp":
        options = {"lossless": True} | options
    file = io.BytesIO()
    picture = Picture.fromarray(pixels)
    picture = picture if picture.mode == mode else picture.convert(mode)
    picture.save(file, KIND_OF[ending], **options)
    return file.getvalue()


def turned(ending, orientation, pixels=RGB, **options):
    exif = Picture.Exif()
    exif[0x0112] = orientation
    return save(pixels, ending, exif=exif, **options)


def write(tmp_path, name, data, size_wh=SIZE_WH):
    path = tmp_path / name
    path.write_bytes(data)
    width, height = size_wh
    return Image(image_id=1, file_name=name, width=width, height=height, path=path)


def read(tmp_path, name, data, size_wh):
    image = write(tmp_path, name, data, size_wh)
    check_photo(image)
    photo = read_photo(image)
    assert photo.dtype == np.uint8
    assert photo.shape == (size_wh[1], size_wh[0], 3)
    assert photo.flags["C_CONTIGUOUS"]
    return photo


def make_tiff(rows, width, height, tags):
    """An unpacked TIFF of one strip with SHORT tags."""
    entries = {256: width, 257: height, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    entries |= {279: len(rows)} | tags
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(entries.items())
    )
    rows += bytes(len(rows) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(rows)) + rows + directory + bytes(4)


def refusal_of(image, function=read_photo):
    """The error of a photo, None where it is read."""
    message = None
    try:
        function(image)
    except DatasetError as error:
        message = str(error)
    if message is not None:
        assert message.startswith(f"{image.path}: ")
        assert "\n" not in message
    return message
