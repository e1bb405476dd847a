import json
from pathlib import Path

import numpy as np
import pytest

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.errors import DatasetError
from annotools.formats.panoptic_folder import write_label, write_label_set
from annotools.formats.weak_json import write_boxes
from annotools.label_maps import class_map, instance_map
from annotools.records import Box, Dataset, FullLabel
from tests.builders import make_categories, make_dataset, make_label
from wsps.label_sets import hash_label_set, make_example, read_examples, read_label_set

CATEGORIES = make_categories(things=("car", "bus"), stuff=("road", "sky"))  # ids 10 to 40
PHOTO = np.zeros((2, 4, 3), dtype=np.uint8)
STREET = make_label(
    [[1, 1, 5, 5], [7, 7, 0, 9]], category_of={1: 10, 5: 40, 7: 30, 9: 30}, groups=[9], image_id=2
)
EMPTY = make_label([[1] * 4] * 2, {1: 10}, image_id=1)
BOXES = (
    Box(category_id=40, box_xyxy=(0, 0, 3, 2)),
    Box(category_id=30, box_xyxy=(1, 0, 4, 2), is_group=True),
)


def write_set(
    folder: Path, labels: dict[str, FullLabel], categories: CategorySet = CATEGORIES
) -> Dataset:
    """A label set of these labels, and the dataset that has them and their photos."""
    dataset = make_dataset(labels, categories)
    entries = [
        (image, write_label(folder, f"{i}", image, dataset.read_label(image)))
        for i, image in enumerate(dataset.images)
    ]
    write_label_set(folder, categories, entries)
    return dataset


def test_a_label_gives_classes_instances_and_boxes_but_no_target_for_a_group():
    example = make_example(PHOTO, STREET, BOXES, CATEGORIES)
    assert example.classes.tolist() == [[0, 0, 3, 3], [2, 2, IGNORE_INDEX, 2]]
    assert example.instances.tolist() == [[0, 0, 1, 1], [2, 2, 0, 0]]
    assert example.boxes_xyxy.tolist() == [[0, 0, 3, 2]]
    assert example.box_classes.tolist() == [3]
    assert example.has_boxes
    assert example.photo_side == 4
    assert not make_example(PHOTO, STREET, None, CATEGORIES).has_boxes


def test_labels_of_anybody_have_the_boxes_that_they_imply(tmp_path: Path):
    photos = write_set(tmp_path, {"b.png": STREET, "a.png": EMPTY})
    (group,) = read_examples(read_label_set(tmp_path), photos, None)
    street, empty = group  # in the order of the photos
    assert street.boxes_xyxy.tolist() == [[2, 0, 4, 1], [0, 1, 2, 2]]
    assert street.box_classes.tolist() == [3, 2]
    assert street.classes.tolist() == class_map(STREET, CATEGORIES).tolist()
    assert street.instances.tolist() == instance_map(STREET, CATEGORIES).tolist()
    assert empty.has_boxes
    assert empty.boxes_xyxy.shape == (0, 4)
    assert empty.box_classes.shape == (0,)


def test_a_manifest_tells_kinds_and_a_file_the_boxes_that_were_drawn(tmp_path: Path):
    photos = write_set(tmp_path, {"b.png": STREET, "a.png": EMPTY})
    write_boxes(tmp_path, photos, [(photos.images[0], BOXES)])
    listed = [{"image_id": 2, "kind": "boxes"}, {"image_id": 1, "kind": "tags"}]
    (tmp_path / "manifest.json").write_text(json.dumps({"labels": listed}))
    boxes, tags = read_examples(read_label_set(tmp_path), photos, None)
    assert boxes[0].boxes_xyxy.tolist() == [[0, 0, 3, 2]]
    assert boxes[0].has_boxes
    assert not tags[0].has_boxes


def test_a_label_without_a_photo_is_named(tmp_path: Path):
    write_set(tmp_path, {"b.png": STREET, "a.png": EMPTY})
    fewer = make_dataset({"b.png": STREET}, CATEGORIES)
    with pytest.raises(DatasetError, match="has no image 1, which has a label"):
        read_examples(read_label_set(tmp_path), fewer, None)


def test_the_hash_names_labels_boxes_and_kinds(tmp_path: Path):
    photos = write_set(tmp_path, {"b.png": STREET})
    hashes = [hash_label_set(tmp_path)]
    write_boxes(tmp_path, photos, [(photos.images[0], BOXES)])
    hashes.append(hash_label_set(tmp_path))
    listed = [{"image_id": 2, "kind": "boxes"}]
    (tmp_path / "manifest.json").write_text(json.dumps({"labels": listed, "seed": 1}))
    hashes.append(hash_label_set(tmp_path))
    png = tmp_path / "panoptic/0.png"
    png.write_bytes(png.read_bytes() + b" ")
    hashes.append(hash_label_set(tmp_path))
    assert len({json.dumps(found) for found in hashes}) == 4
    (tmp_path / "manifest.json").write_text(json.dumps({"labels": listed, "seed": 2}))
    assert hash_label_set(tmp_path) == hashes[-1]
