import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageOps

from annotools.errors import DatasetError
from annotools.formats.photo_heads import PhotoHead, turn_of
from annotools.formats.photo_pixels import decode_photo, stretch
from annotools.formats.photos import PHOTO_SUFFIXES, check_photo, read_photo, read_photo_head
from annotools.records import Image

KIND_OF = {
    **{".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WebP"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".bmp": "BMP"},
}
WITH_EXIF = [".jpg", ".png", ".webp", ".tif"]
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


def test_a_size_behind_much_else_is_found(tmp_path):
    data = save(RGB, ".jpg")
    profile = b"\xff\xe2" + struct.pack(">H", 65_000) + bytes(64_998)
    image = write(tmp_path, "a.jpg", data[:2] + profile * 6 + data[2:])
    assert read_photo_head(image.path).stored_wh == SIZE_WH
    check_photo(image)
    assert read_photo(image).shape == (32, 48, 3)


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


def make_tiff(rows, width, height, tags):
    """An unpacked TIFF of one strip with SHORT tags."""
    entries = {256: width, 257: height, 259: 1, 262: 1, 273: 8, 277: 1, 278: height}
    entries |= {279: len(rows)} | tags
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in sorted(entries.items())
    )
    rows += bytes(len(rows) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(rows)) + rows + directory + bytes(4)


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
