import io
import struct

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageOps

from annotools.errors import DatasetError
from annotools.formats.photo_heads import PhotoHead, turn_of
from annotools.formats.photos import check_photo, read_photo, read_photo_head
from tests.annotools.formats.photo_bytes import RGB, SIZE_WH, read, save, turned, write

WITH_EXIF = [".jpg", ".png", ".webp", ".tif"]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", WITH_EXIF)
def test_every_turn_is_the_one_that_pillow_makes(tmp_path, ending, orientation):
    data = turned(ending, orientation)
    head = read_photo_head(write(tmp_path, "a" + ending, data).path)
    upright_wh = SIZE_WH if orientation < 5 else SIZE_WH[::-1]
    assert (head.stored_wh, head.orientation) == (SIZE_WH, orientation)
    assert head.upright_wh == upright_wh

    upright = np.asarray(ImageOps.exif_transpose(Picture.open(io.BytesIO(data))))
    photo = read(tmp_path, "a" + ending, data, upright_wh)
    assert np.abs(photo.astype(int) - upright).max() <= 2
    if orientation >= 5:
        stored = read(tmp_path, "a" + ending, data, SIZE_WH)
        assert np.abs(stored.astype(int) - RGB).max() <= 8


def test_turns_by_hand(tmp_path):
    # EXIF names where row 0 and column 0 of the stored pixels lie in the upright photo.
    grey = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    upright = {
        1: [[1, 2, 3], [4, 5, 6]],
        2: [[3, 2, 1], [6, 5, 4]],  # row 0 at the top, column 0 at the right
        3: [[6, 5, 4], [3, 2, 1]],  # bottom, right
        4: [[4, 5, 6], [1, 2, 3]],  # bottom, left
        5: [[1, 4], [2, 5], [3, 6]],  # left, top
        6: [[4, 1], [5, 2], [6, 3]],  # right, top
        7: [[6, 3], [5, 2], [4, 1]],  # right, bottom
        8: [[3, 6], [2, 5], [1, 4]],  # left, bottom
    }
    for orientation, expected in upright.items():
        data = turned(".png", orientation, grey, mode="L")
        size_wh = (len(expected[0]), len(expected))
        assert read(tmp_path, "a.png", data, size_wh)[:, :, 1].tolist() == expected


@pytest.mark.parametrize(
    ("orientation", "size_wh", "turn"),
    [
        (1, (3, 2), "upright"),
        (3, (3, 2), "either"),
        (6, (2, 3), "upright"),
        (6, (3, 2), "stored"),
        (6, (3, 3), None),
        (1, (2, 3), None),
    ],
)
def test_sizes_tell_how_labels_were_drawn(orientation, size_wh, turn):
    head = PhotoHead(kind="JPEG", stored_wh=(3, 2), orientation=orientation)
    assert turn_of(head, size_wh) == turn


def test_a_square_photo_with_a_turn_is_upright(tmp_path):
    grey = np.array([[1, 2], [3, 4]], np.uint8)
    photo = read(tmp_path, "a.png", turned(".png", 6, grey, mode="L"), (2, 2))
    assert photo[:, :, 0].tolist() == [[3, 1], [4, 2]]
    assert turn_of(read_photo_head(tmp_path / "a.png"), (2, 2)) == "either"


def test_a_size_that_fits_neither_way_is_refused_with_the_turn(tmp_path):
    image = write(tmp_path, "a.jpg", turned(".jpg", 6), (50, 30))
    for function in (read_photo, check_photo):
        with pytest.raises(DatasetError) as caught:
            function(image)
        assert str(caught.value) == (
            f"{image.path}: is 48 x 32 pixels (32 x 48 as its EXIF turns it), the annotation file "
            "says 50 x 30: restore the photo that was annotated"
        )


def exif_of(entry, order="<"):
    start = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + start + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize(
    ("exif", "orientation"),
    [
        (exif_of(struct.pack("<HHIHH", 274, 3, 1, 6, 0)), 6),
        (exif_of(struct.pack(">HHIHH", 274, 3, 1, 8, 0), ">"), 8),
        (exif_of(struct.pack("<HHII", 274, 4, 1, 7)), 7),  # a LONG, as some tools write it
        (exif_of(struct.pack("<HHIHH", 274, 3, 1, 9, 0)), 1),
        (exif_of(struct.pack("<HHIHH", 274, 3, 1, 0, 0)), 1),
        (exif_of(struct.pack("<HHIHH", 274, 2, 1, 6, 0)), 1),  # a text
        (exif_of(struct.pack("<HHIHH", 274, 3, 1, 6, 0))[:20], 1),
        (b"Exif\0\0junk", 1),
        (b"Exif\0\0", 1),
        (b"http://ns.adobe.com/xap/1.0/\0<x/>", 1),
    ],
)
def test_exif_of_any_make_gives_a_turn_or_none(tmp_path, exif, orientation):
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    data = save(RGB, ".jpg")
    xmp = b"\xff\xe1" + struct.pack(">H", 8) + b"http:x"
    image = write(tmp_path, "a.jpg", data[:2] + xmp + segment + data[2:])
    assert read_photo_head(image.path).orientation == orientation


def test_bytes_that_fill_up_and_markers_without_content_are_passed_over(tmp_path):
    data = turned(".jpg", 6)
    image = write(tmp_path, "a.jpg", data[:2] + b"\xff\x01\xff\xff" + data[2:])
    head = read_photo_head(image.path)
    assert (head.stored_wh, head.orientation) == (SIZE_WH, 6)
