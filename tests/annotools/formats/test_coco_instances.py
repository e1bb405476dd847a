import pickle

import numpy as np
import pytest

from annotools.errors import DatasetError
from annotools.formats import coco_instances
from annotools.formats.coco_entries import OUTSIDE
from annotools.label_maps import measure_segments
from annotools.records import VOID, Drop, Image
from tests.coco_files import (
    DOG,
    GOOD,
    HEIGHT,
    PERSON,
    SQUARE,
    WIDTH,
    annotation,
    build_like,
    image_entry,
    read_only_label,
    run_lengths,
    without,
    write_dataset,
    write_photo,
)
from tests.real_data import real_data


def test_categories_are_background_and_then_the_file_s_by_id(tmp_path):
    write_dataset(tmp_path)
    categories = coco_instances.read(tmp_path, "val").categories

    assert [(c.category_id, c.name, c.is_thing, c.colour) for c in categories.categories] == [
        (0, "background", False, (0, 0, 0)),
        (PERSON, "person", True, (128, 0, 0)),
        (DOG, "dog", True, (0, 128, 0)),
    ]
    assert categories.background_id == 0
    assert categories.background_index == 0


def test_background_takes_the_smallest_free_id(tmp_path):
    taken = [{"id": i, "name": f"c{i}"} for i in (3, -1, 1, 0)]
    write_dataset(tmp_path, categories=taken)
    categories = coco_instances.read(tmp_path, "val").categories

    assert categories.background_id == 2
    assert [c.category_id for c in categories.categories] == [2, -1, 0, 1, 3]


def test_images_come_by_id_and_keep_their_names(tmp_path):
    for name in ("sub dir/ü 9.png", "2.jpg"):
        write_photo(tmp_path / "val" / name, np.zeros((1, 1, 3), dtype=np.uint8))
    images = [image_entry(9, "sub dir/ü 9.png"), image_entry(2, "2.jpg", 30, 20)]
    write_dataset(tmp_path, images=images)
    dataset = coco_instances.read(tmp_path, "val")

    assert (dataset.name, dataset.split) == ("coco-instances", "val")
    assert dataset.images == (
        Image(image_id=2, file_name="2.jpg", width=30, height=20, path=tmp_path / "val" / "2.jpg"),
        Image(
            image_id=9,
            file_name="sub dir/ü 9.png",
            width=WIDTH,
            height=HEIGHT,
            path=tmp_path / "val" / "sub dir" / "ü 9.png",
        ),
    )


def test_an_image_without_annotations_is_background(tmp_path):
    label = read_only_label(tmp_path)

    assert label.segment_map.dtype == np.int32
    assert label == build_like(label, [[1] * WIDTH] * HEIGHT, {1: 0})


def test_a_covered_image_has_no_background_segment(tmp_path):
    label = read_only_label(tmp_path, run_lengths([[1] * WIDTH] * HEIGHT))

    assert [s.segment_id for s in label.segments] == [1]


def test_a_dataset_travels_to_another_process(tmp_path):
    write_dataset(tmp_path, [annotation([SQUARE])])
    write_photo(tmp_path / "val" / "a.png", np.full((HEIGHT, WIDTH, 3), 7, dtype=np.uint8))
    dataset = coco_instances.read(tmp_path, "val")
    copy = pickle.loads(pickle.dumps(dataset))

    assert copy.images == dataset.images
    label = copy.read_label(copy.images[0])
    assert measure_segments(label.segment_map) == {1: (4, (1, 1, 3, 3)), 2: (20, (0, 0, 6, 4))}
    assert copy.read_photo(copy.images[0]).max() == 7


def test_photos_are_rgb(tmp_path):
    write_dataset(tmp_path)
    pixels = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    write_photo(tmp_path / "val" / "a.png", pixels)
    dataset = coco_instances.read(tmp_path, "val")
    photo = dataset.read_photo(dataset.images[0])

    assert photo.dtype == np.uint8
    np.testing.assert_array_equal(photo, pixels)


def test_the_size_of_a_photo_is_checked_against_the_file(tmp_path):
    write_dataset(tmp_path)
    write_photo(tmp_path / "val" / "a.png", np.zeros((WIDTH, HEIGHT, 3), dtype=np.uint8))
    dataset = coco_instances.read(tmp_path, "val")

    with pytest.raises(DatasetError, match=r"a\.png: is 4 x 6 pixels, .* says 6 x 4"):
        dataset.read_photo(dataset.images[0])


def test_without_a_photo_folder_labels_can_be_read(tmp_path):
    write_dataset(tmp_path, [annotation([SQUARE])])

    for allow_missing in (False, True):
        dataset = coco_instances.read(tmp_path, "val", allow_missing)
        assert [image.path for image in dataset.images] == [None]
        assert dataset.drops == ()
        assert len(dataset.read_label(dataset.images[0]).segments) == 2


def test_images_without_photo_are_left_out_only_when_that_is_allowed(tmp_path):
    images = [image_entry(1, "a.png"), image_entry(2, "b.png")]
    write_dataset(tmp_path, [annotation([SQUARE], image_id=i) for i in (1, 2)], images)
    write_photo(tmp_path / "val" / "b.png", np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))

    with pytest.raises(
        DatasetError, match=r"val/a\.png: the photo is missing \(1 of 2 are; .*/val has b\.png\): "
    ):
        coco_instances.read(tmp_path, "val")

    dataset = coco_instances.read(tmp_path, "val", allow_missing=True)
    assert [image.image_id for image in dataset.images] == [2]
    path = str(tmp_path / "val" / "a.png")
    assert dataset.drops == (Drop(place=path, reason="the photo is missing"),)


def test_annotations_without_mask_are_left_out_only_when_that_is_allowed(tmp_path):
    entries = [annotation([]), annotation([SQUARE]), without(annotation([]), "segmentation")]
    path = write_dataset(tmp_path, entries)
    dataset = coco_instances.read(tmp_path, "val", allow_missing=True)
    label = dataset.read_label(dataset.images[0])

    assert [(s.segment_id, s.area) for s in label.segments] == [(2, 4), (4, 20)]
    assert label.drops == tuple(
        Drop(
            place=f"{path}: annotations[{i}]",
            reason="it has no mask: draw it",
        )
        for i in (0, 2)
    )


def test_a_box_without_a_mask_that_reaches_out_is_doubted_as_in_a_file_of_boxes(tmp_path):
    out = annotation([]) | {"bbox": [WIDTH - 2, 1, 5, 2]}
    path = write_dataset(tmp_path, [annotation([SQUARE]), out])
    dataset = coco_instances.read(tmp_path, "val", allow_missing=True)
    label = dataset.read_label(dataset.images[0])
    assert label.own_boxes[2].box_xyxy == (WIDTH - 2, 1, WIDTH, 3)
    assert label.doubts == (Drop(place=f"{path}: annotations[1]", reason=OUTSIDE),)


def test_image_ids_may_be_text_and_come_after_numbers(tmp_path):
    images = [image_entry(i) for i in ("1", "10", 7, "", 3)]
    write_dataset(tmp_path, [annotation([SQUARE], image_id="1")], images)
    dataset = coco_instances.read(tmp_path, "val")

    assert [image.image_id for image in dataset.images] == [3, 7, "", "1", "10"]
    assert [len(dataset.read_label(image).segments) for image in dataset.images] == [1, 1, 1, 2, 1]


def test_a_missing_file_says_which_splits_there_are(tmp_path):
    write_dataset(tmp_path, split="train2017")

    with pytest.raises(DatasetError, match=r"instances_val\.json.*has instances_train2017\.json"):
        coco_instances.read(tmp_path, "val")
    with pytest.raises(DatasetError, match="nowhere: no such folder or file: check ROOT"):
        coco_instances.read(tmp_path / "nowhere", "val")


@pytest.mark.parametrize("content", [b"", b'{"images": [', b"\xff\xfe\xff"])
def test_a_file_that_is_not_json(tmp_path, content):
    write_dataset(tmp_path).write_bytes(content)

    with pytest.raises(DatasetError, match=r"instances_val\.json: not valid JSON"):
        coco_instances.read(tmp_path, "val")


def test_a_file_that_is_no_object(tmp_path):
    write_dataset(tmp_path).write_bytes(b"[]")

    with pytest.raises(DatasetError, match="categories is missing or not a list"):
        coco_instances.read(tmp_path, "val")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": "a.png"}, "images is missing or not a list"),
        ({"images": [3]}, r"images\[0\]: is not an object"),
        ({"images": [without(image_entry(), "width")]}, r"images\[0\]: width is missing"),
        ({"images": [image_entry(1.5)]}, r"images\[0\]: id is missing or not a whole number"),
        ({"images": [image_entry(True)]}, r"images\[0\]: id is missing or not a whole number"),
        ({"images": [image_entry(file_name=3)]}, r"images\[0\]: file_name is missing or not text"),
        ({"images": [image_entry(), image_entry()]}, r"images\[1\]: id 1 is given twice"),
        ({"images": [image_entry(height=0)]}, r"images\[0\]: size 6 x 0"),
        ({"images": [image_entry(width=10**8)]}, r"images\[0\]: size 100000000 x 4"),
        ({"images": [image_entry(file_name="")]}, "file_name '' names no photo"),
        ({"images": [image_entry(file_name="..\\")]}, "names no photo"),
        ({"categories": [{"id": 1}]}, r"categories\[0\]: name is missing or not text"),
        (
            {"categories": [{"id": 1, "name": name} for name in "ab"]},
            r"categories\[1\]: id 1 is given twice",
        ),
        (
            {"categories": [{"id": i, "name": "a"} for i in range(255)]},
            "with the background, 256 categories: give 1 to 255",
        ),
        ({"annotations": "none"}, "annotations is missing or not a list"),
        ({"annotations": [GOOD, {}]}, r"annotations\[1\]: image_id is missing"),
        ({"annotations": [annotation([], image_id=4)]}, r"\[0\]: image_id 4 is not in images"),
        ({"annotations": [annotation([], category_id=4)]}, r"category_id 4 is not in categories"),
        ({"annotations": [without(GOOD, "segmentation"), GOOD]}, "segmentation is missing"),
        ({"annotations": [GOOD, annotation([])]}, r"annotations\[1\]: segmentation is missing"),
        ({"annotations": [annotation([], iscrowd=2)]}, "iscrowd = 2: give 0 or 1"),
        ({"annotations": [annotation([], iscrowd=[])]}, r"iscrowd = \[\]: give 0 or 1"),
    ],
)
def test_contradictions_are_found_when_reading(tmp_path, content, message):
    path = write_dataset(tmp_path, **content)

    with pytest.raises(DatasetError, match=message) as caught:
        coco_instances.read(tmp_path, "val")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_crowd_may_be_left_out(tmp_path):
    label = read_only_label(tmp_path, without(GOOD, "iscrowd"))

    assert not label.segments[0].is_group


def test_real_nuclei_keep_every_annotation() -> None:
    dataset = coco_instances.read(real_data("nuclei"), "val")
    labels = [dataset.read_label(image) for image in dataset.images]
    assert len(dataset.images) == 103
    instances = sum(len(label.segments) for label in labels) - len(labels)
    assert 0.99 * 4289 <= instances <= 4289
    assert all((label.segment_map != VOID).all() for label in labels)


def test_ids_beyond_what_floats_hold_stay_apart(tmp_path):
    ids = [2**53, 2**53 + 1]
    images = [image_entry(str(i), f"{i}.png") for i in ids]
    write_dataset(tmp_path, [annotation([SQUARE], image_id=ids[1])], images=images)
    dataset = coco_instances.read(tmp_path, "val")
    labels = [dataset.read_label(image) for image in dataset.images]
    assert [(label.image_id, len(label.segments)) for label in labels] == [
        (str(ids[0]), 1),
        (str(ids[1]), 2),
    ]
