import numpy as np
import pytest
from PIL import Image as Picture

from annotools.errors import DatasetError
from annotools.formats import yolo
from annotools.records import Drop
from annotools.weak_labels.buy import read_source
from tests.annotools.formats.yolo_files import (
    BOX,
    BOX_XYXY,
    NAMES,
    POLYGON,
    POLYGON_XYXY,
    boxes_of,
    photo,
    read_one,
    text,
)


def test_no_label_file_is_no_object_and_counted(tmp_path):
    read_one(tmp_path, BOX)
    photo(tmp_path / "images" / "train" / "absent.png")
    photo(tmp_path / "images" / "train" / "empty.png")
    photo(tmp_path / "images" / "train" / "._a.png")
    text(tmp_path / "labels" / "train" / "empty.txt", "\r\n")
    dataset = yolo.read(tmp_path, "train")
    assert boxes_of(dataset) == {
        "a.png": [("cat", BOX_XYXY)],
        "absent.png": [],
        "empty.png": [],
    }
    assert dataset.remarks[1:] == ("1 photos have no file of labels: no object",)


def test_no_label_file_at_all_is_an_error(tmp_path):
    read_one(tmp_path, BOX)
    (tmp_path / "labels" / "train" / "a.txt").unlink()
    with pytest.raises(DatasetError, match="neither this photo nor another has a file of labels"):
        yolo.read(tmp_path, "train")


def test_a_label_file_without_its_photo(tmp_path):
    read_one(tmp_path, BOX)
    path = text(tmp_path / "labels" / "train" / "b.txt", "")
    with pytest.raises(DatasetError, match=r"b.txt: its photo is missing"):
        yolo.read(tmp_path, "train")
    dataset = yolo.read(tmp_path, "train", allow_missing=True)
    assert dataset.drops == (Drop(place=str(path), reason="its photo is missing"),)


@pytest.mark.parametrize(
    ("lines", "box_xyxy"),
    [
        (BOX, BOX_XYXY),
        ("0.0 5e-1 .5 0.4 0.4", BOX_XYXY),
        ("\ufeff\n  0\t0.5  0.5 0.4 0.4  \r\n\r\n", BOX_XYXY),
        ("0 0.5 0.5 1 1", (0, 0, 20, 10)),
        # It reaches out by a hair, as rounded fractions do, and is clipped.
        ("0 0.500001 0.5 1.00001 1", (0, 0, 20, 10)),
        # x from 4.4 to 9.6, y from 1.45 to 3.55.
        ("0 0.35 0.25 0.26 0.21", (4, 1, 10, 4)),
        # Thinner than a pixel: the one in which its middle lies.
        ("0 0.51 0.55 0.001 0.001", (10, 5, 11, 6)),
        # A turned box.
        ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5", POLYGON_XYXY),
    ],
)
def test_boxes_to_the_pixel(tmp_path, lines, box_xyxy):
    assert boxes_of(read_one(tmp_path, lines)) == {"a.png": [("cat", box_xyxy)]}


def test_polygons_are_masks_with_corners(tmp_path):
    dataset = read_one(tmp_path, POLYGON)
    label = dataset.read_label(dataset.images[0])
    expected = np.full((10, 20), 2)
    expected[1:5, 2:10] = 1
    assert label.segment_map.tolist() == expected.tolist()
    assert dataset.count_vertices is not None
    assert dataset.count_vertices(dataset.images[0]) == 4
    assert dataset.read_weak is None


def test_boxes_among_polygons_have_no_mask(tmp_path):
    dataset = read_one(tmp_path, BOX + POLYGON)
    with pytest.raises(DatasetError, match=r"a.txt: line 1: it has no mask"):
        dataset.read_label(dataset.images[0])
    dataset = read_one(tmp_path, BOX + POLYGON, allow_missing=True)
    assert boxes_of(dataset) == {"a.png": [("cat", BOX_XYXY), ("dog", POLYGON_XYXY)]}


def test_keypoints_follow_the_box(tmp_path):
    line = BOX.strip() + " 0.1 0.1 2 0.5 0.6 0"
    dataset = read_one(tmp_path, line, NAMES + "kpt_shape: [2, 3]\n")
    assert boxes_of(dataset) == {"a.png": [("cat", BOX_XYXY)]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2 0.5 0.5 0.4 0.4", "class 2 has no name in "),
        ("-1 0.5 0.5 0.4 0.4", "class -1 has no name in "),
        ("0.5 0.5 0.5 0.4 0.4", "class 0.5 has no name in "),
        ("nan 0.5 0.5 0.4 0.4", "class nan has no name in "),
        ("cat 0.5 0.5 0.4 0.4", "'cat 0.5 0.5 0.4 0.4' is no line of numbers"),
        ("# comment", "'# comment' is no line of numbers"),
        ("0 0.5 0.5 0.4 0.4 0.9", "6 numbers .* the sixth of a prediction is how sure it is"),
        ("0 0.5 0.5 0.4", "4 numbers are neither"),
        ("0", "1 numbers are neither"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "8 numbers are neither"),
        ("0 10 5 8 4", "if these are pixels, divide"),
        ("0 0.1 0.1 0.2 0.2 0.3 nan", "no fraction of the photo"),
        ("0 inf 0.1 0.2 0.2", "no fraction of the photo"),
        ("0 0.5 0.5 0 0.4", "bbox has no area"),
        ("0 1.5 0.5 0.2 0.4", "bbox has no pixel in its image"),
        ("\x89PNG\0\x01", "is no line of numbers"),
    ],
)
def test_impossible_lines(tmp_path, line, reason):
    with pytest.raises(DatasetError, match=f"a.txt: line 2: .*{reason}") as caught:
        read_one(tmp_path, f"{BOX}{line}\n")
    assert "\n" not in str(caught.value)
    dataset = read_one(tmp_path, f"{BOX}{line}\n", allow_missing=True)
    assert boxes_of(dataset) == {"a.png": [("cat", BOX_XYXY)]}
    assert dataset.drops == ()
    (drop,) = read_source(dataset, dataset.images[0]).drops
    assert drop.place.endswith("a.txt: line 2")


def test_fractions_are_of_the_upright_photo(tmp_path):
    text(tmp_path / "classes.txt", "cat\n")
    (tmp_path / "images").mkdir()
    exif = Picture.Exif()
    exif[0x0112] = 6
    Picture.new("RGB", (10, 20)).save(tmp_path / "images" / "a.jpg", exif=exif)
    text(tmp_path / "labels" / "a.txt", BOX)
    dataset = yolo.read(tmp_path, "train")
    assert boxes_of(dataset) == {"a.jpg": [("cat", BOX_XYXY)]}
    assert dataset.read_photo(dataset.images[0]).shape == (10, 20, 3)


def test_turned_boxes_are_told(tmp_path):
    turned = "1 polygons, all with four corners as turned boxes have: masks"
    assert turned in read_one(tmp_path, POLYGON).remarks
    assert turned not in read_one(tmp_path, f"{POLYGON}0 0.1 0.1 0.2 0.2 0.1 0.3").remarks
    assert len(read_one(tmp_path, BOX).remarks) == 1
