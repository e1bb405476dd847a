import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotools.errors import DatasetError
from annotools.formats.photo_heads import PhotoHead
from annotools.formats.photo_pixels import decode_photo
from annotools.formats.photos import check_photo, read_photo, read_photo_head
from annotools.records import Image
from tests.annotools.formats.photo_bytes import (
    NOISE,
    RGB,
    make_tiff,
    refusal_of,
    save,
    turned,
    write,
)

# name -> a photo of 48 x 32 pixels, of every decoder and way of packing
WHOLE = {
    "a.jpg": save(RGB, ".jpg"),
    "turned.jpg": turned(".jpg", 3),
    "progressive.jpg": save(RGB, ".jpg", progressive=True),
    "cmyk.jpg": save(RGB, ".jpg", "CMYK"),
    "a.png": save(RGB, ".png"),
    "palette.png": save(RGB, ".png", "P"),
    "deep.png": cv2.imencode(".png", RGB[:, :, 0].astype(np.uint16) * 257)[1].tobytes(),
    "a.webp": save(RGB, ".webp", lossless=False),
    "lossless.webp": save(RGB, ".webp"),
    "turned.webp": turned(".webp", 3),
    "a.bmp": save(RGB, ".bmp"),
    "palette.bmp": save(RGB, ".bmp", "P"),
    "lzw.tif": save(RGB, ".tif", compression="tiff_lzw"),
    "jpeg.tif": save(RGB, ".tif", compression="jpeg"),
    "deflate.tif": save(RGB, ".tif", compression="tiff_adobe_deflate"),
    "deep.tif": cv2.imencode(".tif", RGB.astype(np.uint16) * 257)[1].tobytes(),
    "real.tif": cv2.imencode(".tif", RGB.astype(np.float32))[1].tobytes(),
}


@pytest.mark.parametrize("name", WHOLE)
def test_photos_cut_anywhere_are_refused_in_silence(tmp_path, name, capfd):
    data = WHOLE[name]
    assert refusal_of(write(tmp_path, name, data)) is None
    # A TIFF may end with the place of its next page, which nobody needs.
    for length in {*range(0, len(data) - 4, max(1, len(data) // 150)), len(data) - 5}:
        assert refusal_of(write(tmp_path, name, data[:length])) is not None, length
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", WHOLE)
def test_photos_with_any_bytes_changed_are_read_or_refused_in_silence(tmp_path, name, capfd):
    rng = np.random.default_rng(1)
    for _ in range(100):
        data = bytearray(WHOLE[name])
        for place in rng.integers(0, len(data), size=rng.integers(1, 4)):
            data[place] = rng.integers(256)
        image = write(tmp_path, name, bytes(data))
        for function in (read_photo, check_photo):
            refusal_of(image, function)
    assert capfd.readouterr() == ("", "")


def test_damage_inside_a_jpeg_is_an_error_and_no_line_of_libjpeg(tmp_path, capfd):
    data = bytearray(save(NOISE, ".jpg"))
    middle = len(data) // 2
    data[middle : middle + 20] = b"\xff\xd9" * 10
    image = write(tmp_path, "a.jpg", bytes(data), (500, 400))
    assert refusal_of(image) == (
        f"{image.path}: the JPEG is damaged (premature end of data segment): copy it again"
    )
    assert capfd.readouterr() == ("", "")
    image = write(tmp_path, "b.jpg", save(NOISE, ".jpg"), (500, 400))
    assert refusal_of(image) is None


def chunk(name, content):
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def test_what_libpng_only_warns_of_is_read_in_silence(tmp_path, capfd):
    data = save(RGB, ".png")
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(50)))
    image = write(tmp_path, "a.png", data[:33] + profile + data[33:])
    np.testing.assert_array_equal(read_photo(image), RGB)
    assert capfd.readouterr() == ("", "")


def test_a_png_without_all_its_pixels_is_refused_in_silence(tmp_path, capfd):
    head = struct.pack(">IIBBBBB", 48, 32, 8, 2, 0, 0, 0)
    scan = zlib.compress(bytes(145 * 31))
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", scan) + chunk(b"IEND", b"")
    image = write(tmp_path, "a.png", b"\x89PNG\r\n\x1a\n" + chunks)
    assert refusal_of(image) == f"{image.path}: the PNG is damaged: copy it again"
    assert capfd.readouterr() == ("", "")


def test_a_head_of_another_size_than_the_pixels_is_damage(tmp_path):
    head = PhotoHead(kind="PNG", stored_wh=(32, 48), orientation=1)
    with pytest.raises(DatasetError, match=r"a\.png: the PNG is damaged \(its size\)"):
        decode_photo(save(RGB, ".png"), head, tmp_path / "a.png")


def test_a_tiff_of_a_rare_kind_is_refused_with_a_remedy(tmp_path, capfd):
    for samples in (2, 5):
        data = make_tiff(bytes(20 * samples), 5, 2, {258: 16, 277: samples})
        image = write(tmp_path, "a.tif", data, (5, 2))
        with pytest.raises(DatasetError, match=r"a\.tif: the TIFF is damaged, or of a rare kind: "):
            read_photo(image)
    assert capfd.readouterr() == ("", "")


def with_size(name, size):
    """A photo that claims another size."""
    data, number = bytearray(WHOLE[name]), struct.pack
    if name == "a.webp":
        data[26:30] = number("<HH", 16383, 16383)
    elif name == "lossless.webp":
        data[21:25] = number("<I", 0x0FFFFFFF)
    elif name == "turned.webp":
        data[24:30] = b"\xff" * 6
    elif name == "a.bmp":
        data[18:26] = number("<ii", size, -size)
    elif name == "a.png":
        data[16:24] = number(">II", size, size)
        data[29:33] = number(">I", zlib.crc32(data[12:29]))
    else:
        place = data.index(number(">HH", 32, 48))
        data[place : place + 4] = b"\xff" * 4
    return bytes(data)


@pytest.mark.parametrize(
    "name", ["a.webp", "lossless.webp", "turned.webp", "a.bmp", "a.png", "a.jpg"]
)
def test_impossible_sizes_are_refused_before_decoding(tmp_path, name):
    image = write(tmp_path, name, with_size(name, 60_000))
    for function in (read_photo, check_photo):
        assert "claims " in (refusal_of(image, function) or "")
    huge = make_tiff(bytes(12), 60_000, 60_000, {258: 8})
    assert "claims 60000 x 60000 pixels" in (refusal_of(write(tmp_path, "b.tif", huge)) or "")


def test_other_files_are_refused(tmp_path):
    for data in (b"", b"GIF89a" + bytes(50), b"BM", b"II*\0", b"RIFF\0\0\0\0WEBPxxxx", b"\xff\xd8"):
        image = write(tmp_path, "a.jpg", data)
        for function in (read_photo, check_photo):
            assert refusal_of(image, function) is not None
        with pytest.raises(DatasetError, match=r"a\.jpg: "):
            read_photo_head(image.path)
    missing = replace(image, path=tmp_path / "b.jpg")
    for function in (read_photo, check_photo):
        assert "cannot be read (No such file" in (refusal_of(missing, function) or "")
    with pytest.raises(DatasetError, match=r"b\.jpg: cannot be read"):
        read_photo_head(Path(missing.path))


def test_a_damaged_photo_is_refused(tmp_path):
    path = tmp_path / "a.png"
    data = bytearray(save(NOISE[:7, :9], ".png"))
    data[60] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"a\.png: the PNG is damaged \(a checksum is wrong\)"):
        read_photo(Image(image_id=1, file_name="a.png", width=9, height=7, path=path))


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_large_photo_is_known_by_its_size_and_its_end(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    data = save(NOISE, ending, **({"quality": 100} if ending == ".jpg" else {}))
    image = Image(image_id=1, file_name=path.name, width=500, height=400, path=path)
    assert len(data) > 300_000
    for whole in (data, data + b"junk" * 50_000):
        path.write_bytes(whole)
        check_photo(image)
    for length in (len(data) - 13, len(data) // 2, 290_000, 9_000, 5, 0):
        path.write_bytes(data[:length])
        with pytest.raises(DatasetError, match=path.name):
            check_photo(image)
    path.write_bytes(data)
    with pytest.raises(DatasetError, match="is 500 x 400 pixels, the annotation file says 400 x 5"):
        check_photo(replace(image, width=400, height=500))
