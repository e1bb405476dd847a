import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX
from annotools.errors import DatasetError
from annotools.formats import read_dataset
from annotools.formats.panoptic_folder import (
    join_maps,
    label_from_maps,
    name_images,
    part_maps,
    read_written,
    write_label,
    write_label_set,
    write_maps,
)
from annotools.label_maps import build_label, class_map
from annotools.records import Image
from tests.builders import make_categories

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))  # ids 30; 10 and 20
ROAD, SKY, CAR, NO = 0, 1, 2, IGNORE_INDEX
CLASSES = np.array([[ROAD, SKY, CAR, CAR], [NO, CAR, CAR, ROAD]], dtype=np.uint8)
INSTANCES = np.array([[0, 0, 1, 700], [0, 0, 1, 0]], dtype=np.int32)
PHOTO = Image(image_id=7, file_name="b/ä 1.png", width=4, height=2)
NAME = "b/ä 1"


def image_named(file_name: str, image_id: int = 1) -> Image:
    return Image(image_id=image_id, file_name=file_name, width=4, height=2)


def write_one(folder: Path) -> dict[str, Any]:
    label = label_from_maps(7, CLASSES, INSTANCES, CATEGORIES)
    entry = write_label(folder, NAME, PHOTO, label)
    write_label_set(folder, CATEGORIES, [(PHOTO, entry)])
    return entry


SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)


@given(st.data())
def test_maps_come_back_as_they_were(data: st.DataObject) -> None:
    shape = data.draw(SHAPES)
    some = st.sampled_from([*range(len(CATEGORIES)), NO])
    classes = data.draw(arrays.arrays(np.uint8, shape, elements=some))
    numbers = st.sampled_from([0, 1, 2, 300, 65535])
    instances = data.draw(arrays.arrays(np.int32, shape, elements=numbers))
    instances[classes == NO] = 0
    for maps in (
        part_maps(join_maps(classes, instances)),
        part_maps(label_from_maps(1, classes, instances, CATEGORIES).segment_map),
    ):
        np.testing.assert_array_equal(maps[0], classes)
        np.testing.assert_array_equal(maps[1], instances)
        assert (maps[0].dtype, maps[1].dtype) == (np.uint8, np.int32)
    label = label_from_maps(1, classes, instances, CATEGORIES)
    np.testing.assert_array_equal(class_map(label, CATEGORIES), classes)


def test_a_label_has_a_segment_for_each_class_and_instance(tmp_path: Path) -> None:
    write_one(tmp_path)
    dataset = read_dataset("coco-panoptic", tmp_path, "photos")
    label = dataset.read_label(dataset.images[0])
    found = {(s.category_id, s.area, s.is_group) for s in label.segments}
    assert found == {(10, 2, False), (20, 1, False), (30, 2, False), (30, 1, False), (30, 1, True)}
    assert (label.segment_map == 0).tolist() == (CLASSES == NO).tolist()
    assert dataset.categories == CATEGORIES
    assert [i.file_name for i in dataset.images] == ["b/ä 1.png"]


def test_maps_for_other_trainers_have_classes_and_numbered_instances(tmp_path: Path) -> None:
    write_maps(tmp_path, NAME, label_from_maps(7, CLASSES, INSTANCES, CATEGORIES), CATEGORIES)

    def stored(folder: str) -> NDArray[Any]:
        return cv2.imread(str(tmp_path / folder / f"{NAME}.png"), cv2.IMREAD_UNCHANGED)

    np.testing.assert_array_equal(stored("semantic"), CLASSES)
    assert stored("instances").dtype == np.uint16
    np.testing.assert_array_equal(stored("instances"), [[0, 0, 1, 2], [0, 0, 1, 0]])


def test_more_instances_than_a_map_can_number_are_refused(tmp_path: Path) -> None:
    numbers = np.arange(1, 2**16 + 1, dtype=np.int32).reshape(256, 256)
    label = build_label(7, numbers, dict.fromkeys(range(1, 2**16 + 1), 30))
    with pytest.raises(DatasetError, match="more than 65535 instances in an image"):
        write_maps(tmp_path, NAME, label, CATEGORIES)
    assert list(tmp_path.iterdir()) == []


def test_a_prediction_has_scores(tmp_path: Path) -> None:
    label = label_from_maps(7, CLASSES, INSTANCES, CATEGORIES)
    scores = {s.segment_id: s.area / 8 for s in label.segments}
    entry = write_label(tmp_path, NAME, PHOTO, label, scores)
    assert [info["score"] for info in entry["segments_info"]] == [
        info["area"] / 8 for info in entry["segments_info"]
    ]
    assert [s.area for s in read_written(tmp_path, PHOTO, entry).segments] == [
        info["area"] for info in entry["segments_info"]
    ]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    entry = json.loads(json.dumps(write_one(tmp_path)))
    label = read_written(tmp_path, PHOTO, entry)
    np.testing.assert_array_equal(label.segment_map, join_maps(CLASSES, INSTANCES))
    assert sum(s.is_group for s in label.segments) == 1


def test_more_instances_than_ids_are_refused() -> None:
    with pytest.raises(DatasetError, match="more than 65535 instances"):
        join_maps(CLASSES, np.full((2, 4), 65536, dtype=np.int32))


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
