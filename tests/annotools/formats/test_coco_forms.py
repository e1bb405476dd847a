"""What tools write in COCO lists beyond what COCO itself does."""

import json

import numpy as np
import pytest

from annotools.checks.dataset_checks import check_dataset
from annotools.checks.problems import Problem
from annotools.errors import DatasetError
from annotools.formats import coco_instances
from annotools.records import Drop
from tests.coco_files import (
    HEIGHT,
    SQUARE,
    WIDTH,
    annotation,
    image_entry,
    run_lengths,
    write_dataset,
    write_photo,
    write_turned,
)


def category(category_id, name, **others):
    return {"id": category_id, "name": name, **others}


def kinds(categories):
    return [(c.category_id, c.name, c.is_thing) for c in categories.categories]


@pytest.mark.parametrize("name", ["background", "Background", "_background_", "BG", "back ground"])
def test_a_category_by_the_name_of_background_is_it(tmp_path, name):
    listed = [category(0, name), category(1, "cat")]
    everywhere = annotation([[0, 0, 6, 0, 6, 4, 0, 4]], category_id=0)
    write_dataset(tmp_path, [everywhere, annotation([SQUARE])], categories=listed)
    dataset = coco_instances.read(tmp_path, "val")
    label = dataset.read_label(dataset.images[0])

    assert kinds(dataset.categories) == [(0, name, False), (1, "cat", True)]
    assert dataset.categories.background_id == 0
    assert [(s.segment_id, s.category_id, s.area) for s in label.segments] == [
        (1, 1, 4),
        (2, 0, 20),
    ]
    assert (len(label.objects), label.drops) == (2, ())
    path = "instances_val.json"
    assert f"{path}: 1 times an annotation of the background is taken as no object" in (
        dataset.remarks
    )


def test_isthing_0_is_stuff_and_what_nothing_covers_is_void(tmp_path):
    listed = [category(1, "cat", isthing=1), category(2, "sky", isthing=0), category(3, "dog")]
    first, second = [[0, 0, 2, 0, 2, 4, 0, 4]], [[4, 0, 6, 0, 6, 4, 4, 4]]
    write_dataset(
        tmp_path,
        [annotation(first, category_id=2), annotation(second, category_id=2), annotation([SQUARE])],
        categories=listed,
    )
    dataset = coco_instances.read(tmp_path, "val")
    label = dataset.read_label(dataset.images[0])

    assert kinds(dataset.categories) == [(1, "cat", True), (2, "sky", False), (3, "dog", True)]
    assert dataset.categories.background_id is None
    np.testing.assert_array_equal(label.segment_map, [
        [1, 1, 0, 0, 1, 1],
        [1, 3, 3, 0, 1, 1],
        [1, 3, 3, 0, 1, 1],
        [1, 1, 0, 0, 1, 1],
    ])  # fmt: skip
    # All of a stuff category is one segment; it and a thing that is whole have the boxes they show.
    assert [(s.segment_id, s.box_xyxy) for s in label.segments] == [
        (1, (0, 0, 6, 4)),
        (3, (1, 1, 3, 3)),
    ]
    assert label.own_boxes == {}


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        # As Roboflow writes them.
        (
            [
                category(0, "mine-1", supercategory="none"),
                category(1, "dog", supercategory="mine-1"),
            ],
            [1],
        ),
        ([category(0, "dog", supercategory="none"), category(1, "dog", supercategory="dog")], [1]),
        (
            [category(0, "mine", supercategory="mine"), category(1, "dog", supercategory="mine")],
            [1],
        ),
        ([category(0, "cat"), category(1, "dog")], [0, 1]),
        ([category(0, "cat", supercategory=None), category(1, "dog", supercategory=[])], [0, 1]),
        ([category(1, "dog", supercategory="dog")], [1]),
        (
            [
                category(0, "animal", supercategory="none"),
                category(1, "dog", supercategory="animal"),
                category(2, "car", supercategory="none"),
            ],
            [0, 1, 2],
        ),
    ],
)
def test_a_category_that_carries_the_project_s_name_alone_is_left_out(tmp_path, listed, left):
    write_dataset(tmp_path, [annotation([SQUARE], category_id=1)], categories=listed)
    dataset = coco_instances.read(tmp_path, "val")
    things = [i for i, _, is_thing in kinds(dataset.categories) if is_thing]
    assert things == left
    told = [remark for remark in dataset.remarks if "carries the name of the project" in remark]
    assert len(told) == len(listed) - len(left)


def test_a_project_s_category_with_an_annotation_stays(tmp_path):
    listed = [category(0, "pets", supercategory="none"), category(1, "dog", supercategory="pets")]
    entries = [annotation([SQUARE], category_id=i) for i in (0, 1)]
    write_dataset(tmp_path, entries, categories=listed)
    assert len(coco_instances.read(tmp_path, "val").categories) == 3


TALL = [1, 2, 3, 2, 3, 6, 1, 6]  # reaches two pixels below an image that is 4 high


@pytest.mark.parametrize(
    ("entry", "orientation", "given_wh", "expected_wh"),
    [
        (annotation([TALL]), 6, (6, 4), (4, 6)),
        (annotation([TALL]), 8, (6, 4), (4, 6)),
        (annotation([TALL]), 6, (4, 6), (4, 6)),
        (annotation([TALL]), 6, (None, None), (4, 6)),
        # It is drawn on what is stored, beside the size of the upright photo.
        (annotation([[4.5, 1, 6, 1, 6, 3]]), 6, (4, 6), (6, 4)),
        (annotation([[4.5, 1, 6, 1, 6, 3]]), 6, (None, None), (6, 4)),
        (annotation(run_lengths([[0] * 4] * 5 + [[1] * 4])), 6, (6, 4), (4, 6)),
        ({**annotation([]), "bbox": [1, 2, 2, 3.5]}, 6, (6, 4), (4, 6)),
        # Objects fit both, or neither, or nothing turns the photo.
        (annotation([SQUARE]), 6, (6, 4), (6, 4)),
        (annotation([[1, 2, 7.5, 2, 3, 5.5]]), 6, (6, 4), (6, 4)),
        (annotation([TALL]), 1, (6, 4), (6, 4)),
        (annotation([TALL]), 3, (6, 4), (6, 4)),
        # Points may reach out by a pixel.
        (annotation([[1, 2, 3, 2, 3, 5]]), 6, (6, 4), (6, 4)),
    ],
)  # fmt: skip
def test_sizes_and_points_decide_how_labels_were_drawn(
    tmp_path, entry, orientation, given_wh, expected_wh
):
    write_turned(tmp_path / "val" / "a.png", orientation)
    width, height = given_wh
    write_dataset(tmp_path, [entry], images=[image_entry(width=width, height=height)])
    dataset = coco_instances.read(tmp_path, "val")
    assert dataset.images[0].size_wh == expected_wh
    told = [remark for remark in dataset.remarks if "width and height are swapped" in remark]
    # Where the list has no size, that of the upright photo is taken first.
    first_wh = (4, 6) if width is None else given_wh
    assert bool(told) == (first_wh != expected_wh)


def test_what_one_image_proves_of_sizes_holds_for_the_list(tmp_path):
    for name, orientation in (("a", 6), ("b", 8), ("c", 6), ("d", 1)):
        write_turned(tmp_path / "val" / f"{name}.png", orientation)
    images = [image_entry(i, f"{name}.png") for i, name in enumerate("abcd", start=1)]
    wide = [4.5, 1, 6, 1, 6, 3]  # fits the stored photo alone
    entries = [annotation([TALL]), annotation([SQUARE], 2), annotation([wide], 3)]
    write_dataset(tmp_path, [*entries, annotation([SQUARE], 4)], images=images)
    dataset = coco_instances.read(tmp_path, "val")

    # One proves it, one fits both, one speaks against it, and nothing turns the last.
    assert [image.size_wh for image in dataset.images] == [(4, 6), (4, 6), (6, 4), (6, 4)]


def test_annotations_of_nothing_are_refused_or_counted(tmp_path):
    entries = [annotation([SQUARE]), annotation([SQUARE], 7), annotation([SQUARE], category_id=5)]
    path = write_dataset(tmp_path, [*entries, annotation([SQUARE], 8)])
    with pytest.raises(
        DatasetError, match=r"annotations\[1\]: image_id 7 .* or leave such objects out"
    ):
        coco_instances.read(tmp_path, "val")
    dataset = coco_instances.read(tmp_path, "val", allow_missing=True)
    label = dataset.read_label(dataset.images[0])

    reason = "category_id 5 is not in categories: drop it"
    assert label.drops == (Drop(place=f"{path}: annotations[2]", reason=reason),)
    (told,) = (remark for remark in dataset.remarks if "no listed image" in remark)
    assert "2 times an annotation" in told
    assert "the first is annotations[1]" in told


def test_a_colour_that_is_none_is_replaced_and_an_empty_name_refused(tmp_path):
    listed = [category(1, "a", color="#fff"), category(2, "b", color=[1, 2, 3])]
    write_dataset(tmp_path, [annotation([SQUARE])], categories=listed)
    dataset = coco_instances.read(tmp_path, "val")
    assert [c.colour for c in dataset.categories.categories] == [(0, 0, 0), (128, 0, 0), (1, 2, 3)]
    assert any("1 times color is no red, green and blue" in r for r in dataset.remarks)
    write_dataset(tmp_path, [], categories=[category(1, " ")])
    with pytest.raises(DatasetError, match=r"categories\[0\]: name is empty"):
        coco_instances.read(tmp_path, "val")


def test_a_box_that_reaches_out_is_clipped_and_doubted(tmp_path):
    entries = [{**annotation([]), "bbox": box} for box in ([-2, 1, 4, 2], [1, 1, 2, 2])]
    path = write_dataset(tmp_path, entries)
    dataset = coco_instances.read(tmp_path, "val")
    weak = dataset.read_weak(dataset.images[0])
    assert [box.box_xyxy for box in weak.boxes] == [(0, 1, 2, 3), (1, 1, 3, 3)]
    reason = "its box reaches out of its image and is clipped to it"
    assert weak.doubts == (Drop(place=f"{path}: annotations[0]", reason=reason),)


def test_fractions_in_place_of_pixels_are_refused(tmp_path):
    write_dataset(tmp_path, [annotation([[0.1, 0.1, 0.9, 0.1, 0.5, 1]])])
    with pytest.raises(DatasetError, match="no coordinate is above 1: these are fractions"):
        coco_instances.read(tmp_path, "val")
    write_dataset(tmp_path, [{**annotation([]), "bbox": [0.1, 0.2, 0.5, 0.5]}])
    with pytest.raises(DatasetError, match="fractions of the image"):
        coco_instances.read(tmp_path, "val")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ([{"data": {"image": "a.jpg"}, "annotations": []}], "Label Studio's own JSON"),
        ({"shapes": [], "imagePath": "a.jpg"}, "labelme's JSON"),
        ({"a.jpg123": {"filename": "a.jpg", "regions": []}}, "VGG Image Annotator's own"),
        ({"classes": [], "projectType": "images"}, "Supervisely's meta.json"),
    ],
)
def test_other_tools_own_files_are_named_with_a_converter(tmp_path, content, name):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=f"{name}.*: export COCO, or convert it") as caught:
        coco_instances.read(path, "train")
    assert str(path) in str(caught.value)
    problem = check_dataset("coco-instances", path, ["train"]).problems[0]
    assert (problem.severity, name in problem.message) == ("error", True)


def test_upright_points_beside_the_stored_size_are_whole(tmp_path):
    write_turned(tmp_path / "val" / "a.jpg", 6, width=20, height=10)
    points = [2, 3, 8, 3, 8, 15, 2, 15]
    images = [image_entry(1, "a.jpg", 20, 10)]
    path = write_dataset(tmp_path, [annotation([points])], images=images)
    dataset = coco_instances.read(tmp_path, "val")
    image = dataset.images[0]

    assert dataset.read_label(image).objects[1].box_xyxy == (2, 3, 8, 15)
    assert dataset.read_photo(image).shape == (20, 10, 3)
    report = check_dataset("coco-instances", tmp_path, ["val"])
    reach = Problem(
        severity="warning",
        place=f"{path}: annotations[0]",
        message="points reach x = 8, y = 15 in an image of 20 x 10: the photo's EXIF turn "
        "explains it, and 10 x 20 are taken",
    )
    assert reach in report.problems
    assert any("width and height are swapped" in note for note in report.notes)


@pytest.mark.parametrize("damage", [b"", b"no photo"])
def test_a_damaged_photo_does_not_keep_labels_from_being_read(tmp_path, damage):
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "a.png").write_bytes(damage)
    write_dataset(tmp_path, [annotation([[1, 2, 3, 2, 3, 7, 1, 7]])])
    dataset = coco_instances.read(tmp_path, "val")
    assert dataset.images[0].size_wh == (WIDTH, HEIGHT)


@pytest.mark.parametrize("keys", [("width",), ("height",), ("width", "height")])
def test_a_size_that_is_missing_is_that_of_the_photo(tmp_path, keys):
    entry = {k: v for k, v in image_entry(width=99, height=99).items() if k not in keys}
    path = write_dataset(tmp_path, [annotation([SQUARE])], images=[entry])
    with pytest.raises(DatasetError, match=rf"images\[0\]: {keys[0]} is missing"):
        coco_instances.read(tmp_path, "val")

    write_photo(tmp_path / "val" / "a.png", np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8))
    dataset = coco_instances.read(tmp_path, "val")
    assert dataset.images[0].size_wh == (WIDTH, HEIGHT)
    assert set(dataset.remarks) == {
        f"{path.name}: 1 times width or height is missing and taken from the photo",
        f"{path.name}: 1 times id is missing",
        f"{path.name}: 1 times area is missing",
    }
    problems = check_dataset("coco-instances", tmp_path, ["val"]).problems
    assert not any(problem.severity == "error" for problem in problems)


def test_all_images_and_annotations_may_be_absent(tmp_path):
    path = write_dataset(tmp_path, images=[])
    dataset = coco_instances.read(tmp_path, "val")
    assert (dataset.images, dataset.drops) == ((), ())
    assert f"{path}: annotations is empty: no image has an object" in dataset.remarks


def test_an_object_without_a_mask_beside_others_keeps_its_box_where_that_is_allowed(tmp_path):
    # As Label Studio writes rectangles beside polygons.
    rectangle = {**annotation([]), "bbox": [4, 0, 2, 3]}
    path = write_dataset(tmp_path, [annotation([SQUARE]), rectangle])
    with pytest.raises(DatasetError, match=r"annotations\[1\]: segmentation is missing"):
        coco_instances.read(tmp_path, "val")

    dataset = coco_instances.read(tmp_path, "val", allow_missing=True)
    label = dataset.read_label(dataset.images[0])
    assert label.objects[2].box_xyxy == (4, 0, 6, 3)
    place = f"{path}: annotations[1]"
    assert label.unseen == {2: Drop(place=place, reason="it has a box and no mask")}
    assert label.drops == ()
