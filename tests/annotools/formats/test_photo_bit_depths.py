import cv2
import numpy as np
import pytest

from annotools.formats.photo_pixels import stretch
from tests.annotools.formats.photo_bytes import make_tiff, read


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 4095], [0, 255]),
        ([100, 200, 300], [0, 128, 255]),  # 127.5 goes up
        ([7, 7, 7], [0, 0, 0]),
        ([65535], [0]),
        ([1000, 1001, 1003], [0, 85, 255]),
    ],
)
@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32, np.float64])
def test_values_of_more_bits_are_stretched(values, expected, kind):
    assert stretch(np.array(values, kind)).tolist() == expected


def test_what_is_no_number_is_left_out_of_the_range():
    values = np.array([np.nan, -np.inf, np.inf, 1.0, 2.0, 6.0], np.float32)
    assert stretch(values).tolist() == [0, 0, 255, 0, 51, 255]
    assert stretch(np.full(3, np.nan)).tolist() == [0, 0, 0]
    assert stretch(np.array([-1.7e308, 1.7e308])).dtype == np.uint8


def test_a_hot_and_a_dead_pixel_leave_the_others_their_range():
    values = np.full(20_000, 1500, np.uint16)
    values[:10_000] = 1000
    values[10_000:15_000] = 2000
    # Two of 20 000 values at either end are left out.
    values[:2], values[-2:] = 0, 65535
    assert np.unique(stretch(values[2:-2])).tolist() == [0, 128, 255]
    stretched = stretch(values)
    assert stretched[[0, 5, 12_000, 17_000, -1]].tolist() == [0, 0, 255, 128, 255]
    # A single bright value on an even ground is all there is to see.
    even = np.full(20_000, 1000, np.uint16)
    even[5] = 4000
    assert stretch(even)[[4, 5]].tolist() == [0, 255]


GREY_16 = np.array([[100, 200, 300], [4095, 100, 1000]], np.uint16)
# 255 x (value - 100) / 3995, to the nearest
GREY_8 = [[0, 6, 13], [255, 0, 57]]


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_greys_of_16_bits_are_stretched(tmp_path, ending):
    data = cv2.imencode(ending, GREY_16)[1].tobytes()
    photo = read(tmp_path, "a" + ending, data, (3, 2))
    assert [photo[:, :, c].tolist() for c in range(3)] == [GREY_8] * 3


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_share_one_range(tmp_path, ending, channels):
    rgb = np.array([[[0, 1000, 2000], [500, 1500, 2550]]], np.uint16)
    bgr = rgb[:, :, ::-1]
    if channels == 4:
        bgr = np.dstack([bgr, np.array([[0, 65535]], np.uint16)])
    data = cv2.imencode(ending, bgr)[1].tobytes()
    # A tenth of each value.
    expected = [[[0, 100, 200], [50, 150, 255]]]
    assert read(tmp_path, "a" + ending, data, (2, 1)).tolist() == expected


def test_greys_of_12_bits_in_a_packed_tiff(tmp_path):
    # Two values in three bytes: 0x123 and 0x456, 0xFFF and 0x123.
    rows = bytes([0x12, 0x34, 0x56, 0xFF, 0xF1, 0x23])
    data = make_tiff(rows, 2, 2, {258: 12})
    # 255 x (0x456 - 0x123) / (0xFFF - 0x123) = 54.8
    expected = np.array([[0, 55], [255, 0]])
    assert (read(tmp_path, "a.tif", data, (2, 2)) == expected[:, :, None]).all()
    negative = make_tiff(rows, 2, 2, {258: 12, 262: 0})
    assert (read(tmp_path, "a.tif", negative, (2, 2)) == 255 - expected[:, :, None]).all()


def test_real_numbers_and_turns_in_a_tiff(tmp_path):
    rows = np.array([[0.0, 0.5, 1.0], [np.nan, 0.2, 0.4]], "<f4").tobytes()
    data = make_tiff(rows, 3, 2, {258: 32, 339: 3, 274: 6})
    photo = read(tmp_path, "a.tif", data, (2, 3))
    assert photo[:, :, 2].tolist() == [[0, 0], [51, 128], [102, 255]]
    stored = read(tmp_path, "a.tif", data, (3, 2))
    assert stored[:, :, 2].tolist() == [[0, 128, 255], [0, 51, 102]]
