import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.errors import DatasetError
from annotools.formats.panoptic_folder import write_label, write_label_set
from annotools.formats.weak_json import write_boxes
from annotools.label_maps import class_map, instance_map
from annotools.records import Box, Dataset, FullLabel
from tests.builders import make_categories, make_dataset, make_label
from wsps.label_sets import hash_label_set, read_label_set, read_label_sets
from wsps.labelled_photos import make_example, read_examples
from wsps.recipe import ImageSettings

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
    (group,) = read_examples(read_label_set(tmp_path), photos, ImageSettings())
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
    boxes, tags = read_examples(read_label_set(tmp_path), photos, ImageSettings())
    assert boxes[0].boxes_xyxy.tolist() == [[0, 0, 3, 2]]
    assert boxes[0].has_boxes
    assert not tags[0].has_boxes


def test_a_label_without_a_photo_is_named(tmp_path: Path):
    write_set(tmp_path, {"b.png": STREET, "a.png": EMPTY})
    fewer = make_dataset({"b.png": STREET}, CATEGORIES)
    with pytest.raises(DatasetError, match=r"has no photo of it, and image 1 .* has a label"):
        read_examples(read_label_set(tmp_path), fewer, ImageSettings())


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


def give_id(label: FullLabel, image_id: int | str) -> FullLabel:
    return replace(label, image_id=image_id)


def test_sets_are_joined_each_with_its_own_kinds_and_boxes(tmp_path: Path):
    full, weak = tmp_path / "full", tmp_path / "weak"
    write_set(full, {"b.png": STREET, "a.png": EMPTY})
    drawn = write_set(weak, {"c.png": give_id(STREET, 7), "d.png": give_id(STREET, "x")})
    write_boxes(weak, drawn, [(drawn.images[0], BOXES)])
    listed = [{"image_id": 7, "kind": "boxes"}, {"image_id": "x", "kind": "tags"}]
    # A manifest may list images without a label, and ids of another set.
    (weak / "manifest.json").write_text(
        json.dumps({"labels": [*listed, {"image_id": 1, "kind": "none"}]})
    )
    joined = read_label_sets([full, weak])
    assert [image.image_id for image in joined.labels.images] == [1, 2, 7, "x"]
    assert joined.images_by_kind == {"boxes": 1, "full": 2, "tags": 1}
    labels = {
        "b.png": STREET,
        "a.png": EMPTY,
        "c.png": give_id(STREET, 7),
        "d.png": give_id(STREET, "x"),
    }
    boxes, whole, tags = read_examples(joined, make_dataset(labels, CATEGORIES), ImageSettings())
    assert [len(group) for group in (boxes, whole, tags)] == [1, 2, 1]
    assert boxes[0].boxes_xyxy.tolist() == [[0, 0, 3, 2]]
    assert whole[0].boxes_xyxy.tolist() == [[2, 0, 4, 1], [0, 1, 2, 2]]
    assert not tags[0].has_boxes
    for group in (boxes, whole, tags):
        assert group[0].classes.tolist() == class_map(STREET, CATEGORIES).tolist()


def test_one_set_is_joined_to_nothing(tmp_path: Path):
    write_set(tmp_path, {"b.png": STREET})
    joined = read_label_sets([tmp_path])
    assert joined.images_by_kind == {"full": 1}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            make_categories(things=("car", "van"), stuff=("road", "sky")),
            r"b: its category number 4 is 40 'van' \(thing\), and that of .*a is 40 'bus' \(",
        ),
        (
            make_categories(things=("car",), stuff=("road", "sky")),
            r"number 4 is none, and that of .*a is 40 'bus'",
        ),
        (
            make_categories(things=("car", "bus"), stuff=("road", "sky"), background=True),
            r"number 1 is 10 'road' \(background\), and that of .*a is 10 'road' \(stuff\): give",
        ),
    ],
)
def test_other_categories_are_named(tmp_path: Path, other: CategorySet, message: str):
    write_set(tmp_path / "a", {"b.png": STREET})
    write_set(tmp_path / "b", {"c.png": make_label([[0] * 4] * 2, {}, image_id=7)}, other)
    with pytest.raises(DatasetError, match=message):
        read_label_sets([tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize(
    ("name", "image_id", "message"),
    [
        ("b.png", 2, r"^image 2 \(b\.png\) has a label in .*a and in .*b: leave it out of one$"),
        ("b.png", 5, r"^b\.png, images 2 and 5, has a label in .*a and in .*b: leave"),
        ("e.png", 2, r"^image 2 is b\.png in .*a and e\.png in .*b: give each image an id"),
    ],
)
def test_a_second_label_of_an_image_is_named_with_both_folders(
    tmp_path: Path, name: str, image_id: int, message: str
):
    write_set(tmp_path / "a", {"b.png": STREET, "a.png": EMPTY})
    write_set(tmp_path / "b", {"d.png": give_id(EMPTY, 9), name: give_id(STREET, image_id)})
    with pytest.raises(DatasetError, match=message):
        read_label_sets([tmp_path / "a", tmp_path / "b"])


def test_a_photo_of_another_image_is_no_photo_of_a_label(tmp_path: Path):
    write_set(tmp_path, {"b.png": STREET})
    other = make_dataset({"z.png": STREET}, CATEGORIES)
    with pytest.raises(DatasetError, match=r"its image 2 is z\.png, not b\.png of 4 x 2 pixels"):
        read_examples(read_label_set(tmp_path), other, ImageSettings())


def test_ids_that_two_lists_share_are_told_apart_where_folders_have_the_photos(tmp_path: Path):
    for name, label in (("a", STREET), ("b", STREET)):
        write_set(tmp_path / name, {f"{name}.png": label})
        (tmp_path / f"photos-{name}").mkdir()
        cv2.imwrite(str(tmp_path / f"photos-{name}" / f"{name}.png"), PHOTO)
    folders = [tmp_path / "a", tmp_path / "b"]
    photos = [tmp_path / "photos-a", tmp_path / "photos-b"]
    joined = read_label_sets(folders, photos)
    first, second = joined.labels.images
    assert (first.file_name, second.file_name) == ("a.png", "b.png")
    assert second.image_id == f"2/{first.image_id}"
    assert joined.labels.read_label(second).image_id == second.image_id
    assert joined.images_by_kind == {"full": 2}
    with pytest.raises(DatasetError, match="give each image an id of its own"):
        read_label_sets(folders)


def test_a_kind_of_which_only_some_images_have_boxes_is_refused(tmp_path: Path):
    photos = write_set(tmp_path, {"b.png": STREET, "a.png": EMPTY})
    write_boxes(tmp_path, photos, [(photos.images[0], BOXES)])
    with pytest.raises(DatasetError, match=r"boxes\.json: has 1 of 2 .*'full', and not a\.png: "):
        read_label_set(tmp_path)


def test_boxes_are_of_things_of_the_labels_beside_them(tmp_path: Path):
    photos = write_set(tmp_path, {"b.png": STREET})
    write_boxes(tmp_path, photos, [(photos.images[0], BOXES)])
    path = tmp_path / "boxes.json"
    content = json.loads(path.read_text())
    for key in ("categories", "all_categories"):
        for category in content.get(key, []):
            category["name"] = category["name"].upper()
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=r"boxes\.json: category \d+ is '[A-Z]+', and '"):
        read_label_set(tmp_path)
