import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from annotools.errors import DatasetError
from annotools.formats.pictures import read_png_chunks
from annotools.formats.png_runs import BAND_ROWS, find_png_runs
from annotools.label_maps import find_runs
from tests.segment_maps import paint_ellipses

FILTERS = (PLAIN, SUB, UP, AVERAGE, PAETH) = range(5)


def filter_row(kind, row, above):
    """What a row (W, 3) adds to its guesses, byte by byte as the specification says."""
    left, upper_left = (np.vstack([np.zeros((1, 3), int), r[:-1]]) for r in (row, above))
    if kind == PAETH:
        near = [abs(above - upper_left), abs(left - upper_left), abs(left + above - 2 * upper_left)]
        guess = np.choose(np.argmin(near, axis=0), [left, above, upper_left])
    else:
        guess = [0, left, above, (left + above) // 2][kind]
    return bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()


def scan_lines(rgb, filters):
    rows = rgb.astype(int)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    return b"".join(map(filter_row, filters, rows, above))


def chunks_of(shape, stream, head_end=b"\x08\x02\0\0\0"):
    height, width = shape[:2]
    half = len(stream) // 2
    return [
        (b"IHDR", struct.pack(">II", width, height) + head_end),
        (b"tEXt", b"of no interest"),
        (b"IDAT", stream[:half]),
        (b"IDAT", stream[half:]),
        (b"IEND", b""),
    ]


def to_rgb(segment_map):
    shifted = [segment_map >> shift & 255 for shift in (0, 8, 16)]
    return np.stack(shifted, axis=-1).astype(np.uint8)


def check_runs(chunks, segment_map):
    found, expected = find_png_runs(chunks), find_runs(segment_map)
    assert found is not None
    assert (found.height, found.width) == segment_map.shape
    np.testing.assert_array_equal(found.starts, expected.starts)
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    np.testing.assert_array_equal(found.ids, expected.ids)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.sampled_from(FILTERS), min_size=1, max_size=70) | st.just([UP, PAETH]),
    st.sampled_from([0.0, 0.01, 1.0]),
)
def test_any_map_with_any_filters(seed, filters, noise):
    segment_map = paint_ellipses(seed)
    generator = np.random.default_rng(seed)
    noisy = generator.random(segment_map.shape) < noise
    segment_map[noisy] = generator.integers(0, 2**24, np.count_nonzero(noisy))
    of_rows = np.resize(filters, len(segment_map)).tolist()
    stream = zlib.compress(scan_lines(to_rgb(segment_map), of_rows))
    check_runs(chunks_of(segment_map.shape, stream), segment_map)


@pytest.mark.parametrize("height", [1, BAND_ROWS, BAND_ROWS + 1])
def test_bands_end_where_they_should(height):
    segment_map = np.arange(height * 3, dtype=np.int32).reshape(height, 3) // 2
    for kind in (PLAIN, PAETH):
        stream = zlib.compress(scan_lines(to_rgb(segment_map), [kind] * height))
        check_runs(chunks_of(segment_map.shape, stream), segment_map)


CV2_FILTERS = [(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH), ()]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_files_as_libraries_write_them(tmp_path_factory, seed):
    segment_map = paint_ellipses(seed)
    rgb = to_rgb(segment_map)
    path = tmp_path_factory.mktemp("png") / "a.png"
    for settings_of_pillow in ({}, {"optimize": True}, {"compress_level": 0}):
        Picture.fromarray(rgb).save(path, dpi=(72, 72), **settings_of_pillow)
        check_runs(read_png_chunks(path), segment_map)
    for settings_of_opencv in CV2_FILTERS:
        path.write_bytes(cv2.imencode(".png", rgb[:, :, ::-1], settings_of_opencv)[1].tobytes())
        check_runs(read_png_chunks(path), segment_map)


def test_kinds_that_have_to_be_decoded(tmp_path):
    path = tmp_path / "a.png"
    for mode in ("1", "L", "P", "LA", "RGBA", "I;16"):
        Picture.new(mode, (5, 4)).save(path)
        assert find_png_runs(read_png_chunks(path)) is None
    deep = np.zeros((4, 5, 3), dtype=np.uint16)
    path.write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    assert find_png_runs(read_png_chunks(path)) is None
    interlaced = b"\x08\x02\0\0\1"
    assert find_png_runs(chunks_of((1, 1), zlib.compress(bytes(4)), interlaced)) is None


LINES = scan_lines(to_rgb(paint_ellipses(4)), [UP] * len(paint_ellipses(4)))
STREAM = zlib.compress(LINES)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"no stream",
        STREAM[:-9],
        STREAM[:-1],
        STREAM[:-4] + b"\0\0\0\0",
        STREAM + b"more",
        zlib.compress(LINES[:-1]),
        zlib.compress(LINES + b"\0"),
        zlib.compress(bytes([5]) + LINES[1:]),
    ],
)
def test_streams_that_a_decoder_has_to_judge(stream):
    assert find_png_runs(chunks_of(paint_ellipses(4).shape, STREAM)) is not None
    assert find_png_runs(chunks_of(paint_ellipses(4).shape, stream)) is None


def test_more_than_the_head_says_is_not_inflated():
    bomb = zlib.compress(bytes(2**25), 9)
    assert find_png_runs(chunks_of((1, 1), bomb)) is None


def test_damaged_files_are_refused(tmp_path):
    path = tmp_path / "a.png"
    Picture.fromarray(to_rgb(paint_ellipses(3))).save(path)
    data = path.read_bytes()
    for damaged in (data[: len(data) // 2], data[:80] + b"?" + data[81:], b"\xff\xd8\xff", b""):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"a\.png: "):
            read_png_chunks(path)
