import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotools.categories import IGNORE_INDEX
from annotools.errors import DatasetError
from annotools.formats.panoptic_folder import (
    describe_classes,
    describe_labels,
    name_images,
    read_label_folder,
    read_maps,
    write_maps,
)
from annotools.records import Image
from tests.builders import make_categories

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))  # ids 30; 10 and 20
ROAD, SKY, CAR, NO = 0, 1, 2, IGNORE_INDEX
CLASSES = np.array([[ROAD, SKY, CAR, CAR], [NO, CAR, CAR, ROAD]], dtype=np.uint8)
INSTANCES = np.array([[0, 0, 1, 700], [0, 0, 1, 0]], dtype=np.int32)
PHOTO = Image(image_id=7, file_name="b/ä 1.png", width=4, height=2)


def image_named(file_name: str, image_id: int = 1) -> Image:
    return Image(image_id=image_id, file_name=file_name, width=4, height=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_maps(tmp_path, "b/ä 1", CLASSES, INSTANCES)
    manifest = {
        "classes": describe_classes(CATEGORIES),
        "labels": describe_labels([7], ["b/ä 1"], ["boxes"]),
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def test_maps_come_back_as_they_were(folder: Path) -> None:
    classes, instances = read_maps(folder, "b/ä 1")
    np.testing.assert_array_equal(classes, CLASSES)
    np.testing.assert_array_equal(instances, INSTANCES)
    stored = cv2.imread(str(folder / "instances/b/ä 1.png"), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored, INSTANCES)


def test_a_label_has_a_segment_for_each_class_and_instance(folder: Path) -> None:
    label = read_label_folder(folder).read_label(PHOTO, CATEGORIES)
    found = {(s.category_id, s.area, s.is_group) for s in label.segments}
    assert found == {(10, 2, False), (20, 1, False), (30, 2, False), (30, 1, False), (30, 1, True)}
    assert (label.segment_map == 0).tolist() == (CLASSES == NO).tolist()


def test_the_manifest_tells_what_the_maps_mean(folder: Path) -> None:
    read = read_label_folder(folder)
    assert read.category_ids == (10, 20, 30)
    assert read.kind_of == {7: "boxes"}
    read.check_categories(CATEGORIES)
    with pytest.raises(DatasetError, match="classes are not those of this dataset"):
        read.check_categories(make_categories(things=("car",), stuff=("road",)))


def test_an_image_without_a_label_or_of_another_size_is_refused(folder: Path) -> None:
    read = read_label_folder(folder)
    with pytest.raises(DatasetError, match="no label of image 1"):
        read.read_label(image_named("a.png"), CATEGORIES)
    other = Image(image_id=7, file_name="b/ä 1.png", width=2, height=4)
    with pytest.raises(DatasetError, match="4 x 2 pixels, its image 2 x 4"):
        read.read_label(other, CATEGORIES)


def test_damaged_folders_are_refused(folder: Path) -> None:
    write_maps(folder, "b/ä 1", np.full((2, 4), 3, dtype=np.uint8), INSTANCES)
    with pytest.raises(DatasetError, match="class map has 3: use 0 to 2, or 255"):
        read_label_folder(folder).read_label(PHOTO, CATEGORIES)
    (folder / "semantic/b/ä 1.png").write_bytes((folder / "instances/b/ä 1.png").read_bytes())
    with pytest.raises(DatasetError, match="not an 8-bit class map"):
        read_maps(folder, "b/ä 1")
    labels = describe_labels([7], ["../b"], ["boxes"])
    (folder / "manifest.json").write_text(json.dumps({"classes": [], "labels": labels}))
    with pytest.raises(DatasetError, match="leaves"):
        read_label_folder(folder)
    (folder / "manifest.json").write_text(json.dumps({"classes": [], "labels": [{"name": "b"}]}))
    with pytest.raises(DatasetError, match="image_id is missing"):
        read_label_folder(folder)


def test_more_instances_than_16_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="do not fit 16 bits"):
        write_maps(tmp_path, "a", CLASSES, np.full((2, 4), 65536, dtype=np.int32))


def test_names_keep_folders_and_only_clashing_ones_their_suffix(tmp_path: Path) -> None:
    images = [image_named("a/x.png"), image_named("b/x.jpg", 2)]
    assert name_images(images, tmp_path) == ["a/x", "b/x"]
    images = [image_named("x.png"), image_named("x.jpg", 2), image_named("y.png", 3)]
    assert name_images(images, tmp_path) == ["x.png", "x.jpg", "y.png"]


def test_hostile_and_equal_names_are_refused(tmp_path: Path) -> None:
    for name in ("../x.png", "/x.png", "C:\\x.png"):
        with pytest.raises(DatasetError, match="leaves"):
            name_images([image_named(name)], tmp_path)
    with pytest.raises(DatasetError, match=r"image 2: another image has the file name 'x\.png'"):
        name_images([image_named("x.png"), image_named("x.png", 2)], tmp_path)
