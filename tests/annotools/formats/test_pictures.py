import contextlib
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from annotools.errors import DatasetError
from annotools.formats import pictures
from annotools.formats.json_values import refuse_gaps
from annotools.formats.pictures import (
    MAX_PIXELS,
    decode_map,
    picture_size,
    read_picture_size,
)
from annotools.records import Drop

GREY, RGB, PALETTE = 0, 2, 3
PIXELS = np.arange(7 * 9, dtype=np.uint8).reshape(7, 9)


def chunk(name, content):
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def make_png(width, height, depth, colour, rows, others=b"", interlace=0):
    """A PNG of packed rows, without filters."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    scan = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    chunks = chunk(b"IHDR", head) + others + chunk(b"IDAT", scan) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def encode(ending, pixels, *settings):
    return cv2.imencode(ending, pixels, settings)[1].tobytes()


def decode(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    return decode_map(path)


@pytest.mark.parametrize("pixels", [PIXELS, PIXELS.astype(np.uint16) * 999])
def test_maps_come_as_stored(tmp_path, pixels):
    decoded = decode(tmp_path, encode(".png", pixels))

    assert decoded.dtype == pixels.dtype
    np.testing.assert_array_equal(decoded, pixels)


def test_colour_maps_come_as_rgb_without_opacity(tmp_path):
    for depth in (3, 4):
        bgr = np.arange(2 * 3 * depth, dtype=np.uint8).reshape(2, 3, depth)
        np.testing.assert_array_equal(decode(tmp_path, encode(".png", bgr)), bgr[:, :, [2, 1, 0]])


@pytest.mark.parametrize("colour", [GREY, PALETTE])
@pytest.mark.parametrize(
    ("depth", "row", "expected"),
    [
        (1, [0b01101000], [0, 1, 1, 0, 1]),
        (2, [0b00011011, 0b01000000], [0, 1, 2, 3, 1]),
        (4, [0x0F, 0x12, 0x30], [0, 15, 1, 2, 3]),
        (8, [0, 5, 63, 1, 2], [0, 5, 63, 1, 2]),
    ],
)
def test_indices_of_any_depth_come_as_stored(tmp_path, colour, depth, row, expected):
    transparent = chunk(b"tRNS", b"\0\5" if colour == GREY else b"\0" * 3)
    others = (b"" if colour == GREY else make_palette(2**depth)) + transparent

    decoded = decode(tmp_path, make_png(5, 2, depth, colour, [row, row], others))
    assert decoded.tolist() == [expected] * 2


def make_palette(size):
    return chunk(b"PLTE", bytes(255 - i % 256 for i in range(3 * size)))


def test_interlaced_maps(tmp_path):
    # Of a 2 x 2 picture, Adam7's passes 1, 6 and 7 hold pixel 0, pixel 1, and the second row.
    data = make_png(2, 2, 8, GREY, [[10], [11], [12, 13]], interlace=1)
    assert decode(tmp_path, data).tolist() == [[10, 11], [12, 13]]
    data = make_png(2, 2, 8, PALETTE, [[10], [11], [12, 13]], make_palette(64), interlace=1)
    assert decode(tmp_path, data).tolist() == [[10, 11], [12, 13]]


def test_a_picture_of_pillow_s(tmp_path):
    picture = Picture.fromarray(PIXELS).convert("P")
    picture.putpalette([i % 251 for i in range(768)])
    picture.save(tmp_path / "a.png", transparency=3, dpi=(72, 72))

    np.testing.assert_array_equal(decode_map(tmp_path / "a.png"), np.array(picture))


WHOLE = {
    "grey.png": encode(".png", PIXELS),
    "palette.png": make_png(9, 7, 8, PALETTE, PIXELS, make_palette(64)),
    "photo.jpg": encode(".jpg", np.dstack([PIXELS] * 3)),
    "progressive.jpg": encode(".jpg", np.dstack([PIXELS] * 3), cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
}


@pytest.mark.parametrize("name", WHOLE)
def test_pictures_cut_anywhere_are_refused(tmp_path, name):
    path = tmp_path / name
    assert picture_size(WHOLE[name], path) == (9, 7)

    for length in range(len(WHOLE[name])):
        with pytest.raises(DatasetError, match=rf"{name}: ") as caught:
            picture_size(WHOLE[name][:length], path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["grey.png", "palette.png"])
def test_a_png_with_any_byte_changed_is_refused(tmp_path, name):
    whole = WHOLE[name]
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 0x10
        with pytest.raises(DatasetError, match=r"a\.png: "):
            decode(tmp_path, bytes(data))


@pytest.mark.parametrize("colour", [GREY, PALETTE])
def test_pixels_that_end_early_are_refused(tmp_path, colour, capfd):
    data = make_png(9, 7, 8, colour, PIXELS[:5], make_palette(64) if colour == PALETTE else b"")

    with pytest.raises(DatasetError, match="the PNG is damaged"):
        decode(tmp_path, data)
    assert capfd.readouterr().err == ""


HEAD = struct.pack(">IIBBBBB", 9, 7, 8, GREY, 0, 0, 0)
SCAN = zlib.compress(b"".join(b"\0" + bytes(row) for row in PIXELS))


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"IHDR", HEAD), (b"IDAT", b"")],
        [(b"IHDR", HEAD), (b"IDAT", SCAN[:-1] + b"!")],
        [(b"IHDR", HEAD), (b"IDAT", b"no deflated data")],
        [(b"IHDR", HEAD), (b"IDAT", zlib.compress(b"\5" + bytes(69)))],
        [(b"IHDR", HEAD[:8] + b"\3" + HEAD[9:]), (b"IDAT", SCAN)],
        [(b"IHDR", HEAD[:9] + b"\5" + HEAD[10:]), (b"IDAT", SCAN)],
        [(b"IHDR", HEAD[:10] + b"\1" + HEAD[11:]), (b"IDAT", SCAN)],
        [(b"IHDR", HEAD[:12] + b"\2"), (b"IDAT", SCAN)],
        [(b"IHDR", HEAD[:12] + b"\1"), (b"IDAT", SCAN)],
        [(b"IHDR", HEAD), (b"IHDR", HEAD), (b"IDAT", SCAN)],
        [(b"IHDR", HEAD + b"\0"), (b"IDAT", SCAN)],
    ],
)
def test_damage_behind_right_checksums_is_refused_in_silence(tmp_path, chunks, capfd):
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in [*chunks, (b"IEND", b"")])

    with pytest.raises(DatasetError, match="the PNG is damaged: copy it again"):
        decode(tmp_path, data)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 5), (5, 2), (8, 8), (9, 17)])
def test_interlaced_maps_of_any_size_hold_what_the_passes_hold(tmp_path, width, height):
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)]
    starts += [(0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    pixels = np.arange(width * height, dtype=np.uint8).reshape(height, width)
    passes = [pixels[y::dy, x::dx] for x, y, dx, dy in starts]
    rows = [row for part in passes if part.size for row in part]

    data = make_png(width, height, 8, GREY, rows, interlace=1)
    assert decode(tmp_path, data).tolist() == pixels.tolist()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(WHOLE)), st.binary(max_size=40), st.integers(0, 60))
def test_any_content_is_a_size_or_an_error(tmp_path, name, junk, place):
    data = WHOLE[name][:place] + junk + WHOLE[name][place + len(junk) :]
    with contextlib.suppress(DatasetError):
        width, height = picture_size(data, tmp_path / name)
        assert 0 < width * height <= MAX_PIXELS


def test_what_follows_the_end_does_no_harm(tmp_path):
    for data in WHOLE.values():
        assert picture_size(data + b"junk" * 5000, tmp_path) == (9, 7)


def with_thumbnail(data, thumbnail):
    """A JPEG with a smaller one in its EXIF segment."""
    content = b"Exif\0\0" + thumbnail
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]


def test_the_end_of_a_thumbnail_is_not_the_picture_s(tmp_path):
    inner = encode(".jpg", np.zeros((4, 5, 3), np.uint8))
    data = with_thumbnail(WHOLE["photo.jpg"], inner)
    path = tmp_path / "a.jpg"
    assert picture_size(data, path) == (9, 7)
    for length in range(len(data)):
        with pytest.raises(DatasetError, match=r"a\.jpg: .*truncated"):
            picture_size(data[: max(length, 2)], path)


@pytest.mark.parametrize(
    "data",
    [
        make_png(60_000, 60_000, 8, GREY, [[0]]),
        make_png(2**31 - 1, 2**31 - 1, 16, RGB, [[0]]),
        make_png(0, 5, 8, GREY, [[0]]),
        WHOLE["photo.jpg"].replace(struct.pack(">HH", 7, 9), b"\xff\xff\xff\xff"),
    ],
)
def test_impossible_sizes_are_refused_before_decoding(tmp_path, data, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    # Whoever decoded it would call these.
    for decoder in ("decode_by_opencv", "has_all_pixels"):
        monkeypatch.setattr(pictures, decoder, None)
    for read in (decode_map, read_picture_size):
        with pytest.raises(DatasetError, match=r"a\.png: claims \d+ x \d+ pixels"):
            read(path)


def test_other_files_are_refused(tmp_path):
    for data in (b"", b"GIF89a" + bytes(50), b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd8\xff"):
        with pytest.raises(DatasetError, match=r"a\.png: "):
            decode(tmp_path, data)
    with pytest.raises(DatasetError, match=r"a\.png: label maps are PNG files"):
        decode(tmp_path, WHOLE["photo.jpg"])
    with pytest.raises(DatasetError, match=r"b\.png: cannot be read \(No such file"):
        decode_map(tmp_path / "b.png")


@pytest.mark.parametrize("name", WHOLE)
def test_the_head_tells_the_size(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(WHOLE[name][:-9])
    assert read_picture_size(path) == (9, 7)
    path.write_bytes(WHOLE[name][:20])
    with pytest.raises(DatasetError, match=name):
        read_picture_size(path)


def test_gaps_are_counted_in_one_line():
    gaps = [Drop(place=f"{name}.png", reason="it is missing") for name in "abc"]

    refuse_gaps(gaps, allow_missing=True)
    refuse_gaps([], allow_missing=False)
    with pytest.raises(DatasetError) as caught:
        refuse_gaps(gaps, allow_missing=False)
    assert str(caught.value) == (
        "a.png: it is missing (and 2 more images lack a file): "
        "download it again, or leave such images out (--allow-missing, in a study "
        "dataset.allow_missing)"
    )
    with pytest.raises(DatasetError, match=r"^a\.png: it is missing: download"):
        refuse_gaps(gaps[:1], allow_missing=False)
