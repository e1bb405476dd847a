import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from annotools.errors import DatasetError
from annotools.formats.photo_heads import PhotoHead
from annotools.formats.photos import PHOTO_SUFFIXES, check_photo, read_photo, read_photo_head
from tests.annotools.formats.photo_bytes import (
    KIND_OF,
    NOISE,
    RGB,
    SIZE_WH,
    read,
    refusal_of,
    save,
    turned,
    write,
)


@pytest.mark.parametrize("ending", PHOTO_SUFFIXES)
def test_photos_of_every_kind_are_rgb(tmp_path, ending):
    data = save(RGB, ending)
    photo = read(tmp_path, "a" + ending, data, SIZE_WH)
    tolerance = {".jpg": 8, ".jpeg": 8}.get(ending, 0)
    assert np.abs(photo.astype(int) - RGB).max() <= tolerance
    head = read_photo_head(tmp_path / ("a" + ending))
    assert head == PhotoHead(kind=KIND_OF[ending], stored_wh=SIZE_WH, orientation=1)
    # The content decides, not the name.
    np.testing.assert_array_equal(read(tmp_path, "b.jpg", data, SIZE_WH), photo)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{"subsampling": 2}, {"progressive": True, "quality": 60}])
def test_jpegs_of_eight_bits_have_the_pixels_of_opencv(tmp_path, mode, options):
    data = save(NOISE, ".jpg", mode, **options)
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(read(tmp_path, "a.jpg", data, (500, 400)), bgr[:, :, ::-1])


def test_a_size_behind_much_else_is_found(tmp_path):
    data = save(RGB, ".jpg")
    profile = b"\xff\xe2" + struct.pack(">H", 65_000) + bytes(64_998)
    image = write(tmp_path, "a.jpg", data[:2] + profile * 6 + data[2:])
    assert read_photo_head(image.path).stored_wh == SIZE_WH
    check_photo(image)
    assert read_photo(image).shape == (32, 48, 3)


@pytest.mark.parametrize(
    ("ending", "mode"),
    [
        *((".png", mode) for mode in ("1", "L", "LA", "P", "RGBA")),
        *((".tif", mode) for mode in ("1", "L", "P", "RGBA", "CMYK", "YCbCr")),
        *((".bmp", mode) for mode in ("1", "L", "P")),
        *((".jpg", mode) for mode in ("L", "CMYK")),
    ],
)
def test_modes_of_colour_are_those_of_pillow(tmp_path, ending, mode):
    data = save(RGB, ending, mode)
    expected = np.asarray(Picture.open(io.BytesIO(data)).convert("RGB"))
    photo = read(tmp_path, "a" + ending, data, SIZE_WH)
    tolerance = 2 if (ending, mode) == (".jpg", "L") else 0
    assert np.abs(photo.astype(int) - expected).max() <= tolerance


def test_a_cmyk_jpeg_keeps_its_colours(tmp_path):
    # Pillow writes Adobe's inverted values and marks them; without the mark 255 is full ink.
    data = save(RGB, ".jpg", "CMYK", quality=95)
    assert b"Adobe" in data
    assert np.abs(read(tmp_path, "a.jpg", data, SIZE_WH).astype(int) - RGB).max() < 16
    start = data.index(b"\xff\xee")
    length = 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    unmarked = data[:start] + data[start + length :]
    expected = np.asarray(Picture.open(io.BytesIO(unmarked)).convert("RGB"))
    np.testing.assert_array_equal(read(tmp_path, "b.jpg", unmarked, SIZE_WH), expected)


@pytest.mark.parametrize("ending", [".png", ".webp", ".tif"])
def test_opacity_is_left_out_and_hidden_colours_are_kept(tmp_path, ending):
    rgba = np.array([[[10, 20, 30, 0], [40, 50, 60, 128], [70, 80, 90, 255]]], np.uint8)
    options = {"exact": True} if ending == ".webp" else {}
    data = save(rgba, ending, "RGBA", **options)
    assert read(tmp_path, "a" + ending, data, (3, 1)).tolist() == rgba[:, :, :3].tolist()


def test_a_palette_gives_its_colours_and_the_first_page_counts(tmp_path):
    picture = Picture.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    picture.putpalette([9, 8, 7, 60, 50, 40, 255, 0, 1])
    colours = [[[9, 8, 7], [60, 50, 40]], [[255, 0, 1], [60, 50, 40]]]
    for ending in (".png", ".tif", ".bmp"):
        file = io.BytesIO()
        picture.save(file, KIND_OF[ending], **({"transparency": 1} if ending == ".png" else {}))
        assert read(tmp_path, "a" + ending, file.getvalue(), (2, 2)).tolist() == colours
    others = [Picture.new("RGB", (2, 2), (200, 0, 0))]
    for ending in (".tif", ".webp"):
        file = io.BytesIO()
        frames = {"save_all": True, "append_images": others, "lossless": True}
        picture.convert("RGB").save(file, KIND_OF[ending], **frames)
        assert read(tmp_path, "a" + ending, file.getvalue(), (2, 2)).tolist() == colours


def test_a_large_tiff_has_places_of_eight_bytes(tmp_path):
    data = turned(".tif", 5, big_tiff=True)
    assert data[2] == 43
    expected = RGB.transpose(1, 0, 2)
    np.testing.assert_array_equal(read(tmp_path, "a.tif", data, SIZE_WH[::-1]), expected)
    np.testing.assert_array_equal(read(tmp_path, "a.tif", data, SIZE_WH), RGB)
    # The directory cannot lie so far away.
    far = data[:8] + b"\xff" * 8 + data[16:]
    with pytest.raises(DatasetError, match="the TIFF is damaged or truncated"):
        read_photo_head(write(tmp_path, "b.tif", far).path)


def test_an_old_and_an_upside_down_bmp(tmp_path):
    old = b"BM" + struct.pack("<IHHI", 34, 0, 0, 26) + struct.pack("<IHHHH", 12, 1, 2, 1, 24)
    rows = bytes([1, 2, 3, 0, 4, 5, 6, 0])
    data = old + rows
    # Rows come from the bottom up, colours as blue, green, red.
    assert read(tmp_path, "a.bmp", data, (1, 2)).tolist() == [[[6, 5, 4]], [[3, 2, 1]]]
    assert refusal_of(write(tmp_path, "a.bmp", data[:-1], (1, 2)), check_photo) is not None
    new = struct.pack("<IiiHHIIiiII", 40, 1, -2, 1, 24, 0, 8, 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHI", 62, 0, 0, 54) + new + rows
    assert read(tmp_path, "a.bmp", data, (1, 2)).tolist() == [[[3, 2, 1]], [[6, 5, 4]]]
