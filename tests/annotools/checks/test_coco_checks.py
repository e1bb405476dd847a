from pathlib import Path
from typing import Any

import pytest

from tests.annotools.checks.checked_datasets import (
    CAR,
    SKY,
    annotation,
    find,
    image_entry,
    only,
    write_instances,
    write_photo,
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"category_id": 9}, "error instances_val.json: annotations[0]: unknown category 9"),
        ({"image_id": 2}, "image_id 2 is not in images"),
        ({"bbox": [1, 1, 0, 2]}, "bbox [1, 1, 0, 2] has no area"),
        ({"bbox": [1, 1, 8, 2]}, "bbox [1, 1, 8, 2] reaches out of its image of 8 x 6"),
        ({"bbox": [-1, 1, 5, 2]}, "reaches out"),
        ({"bbox": [1, 1, 5, 2]}, "bbox [1, 1, 5, 2] is not tight: its mask fills [1, 1, 3, 2]"),
        ({"bbox": [1, 1, float("nan"), 2]}, "bbox is not four numbers"),
        ({"bbox": [10**400, 1, 1, 2]}, "bbox is not four numbers"),
        ({"segmentation": []}, "segmentation has no polygon"),
        ({"segmentation": {"size": [6, 8], "counts": [1]}}, "run lengths add up to 1"),
        (
            {"segmentation": {"size": [6, 8], "counts": [48]}},
            "error instances_val.json: annotations[0]: its mask",
        ),
    ],
)
def test_wrong_annotations(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_instances(tmp_path, annotations=[annotation(**changes), annotation(id=6)])
    assert any(message in problem for problem in find("coco-instances", tmp_path))


@pytest.mark.parametrize(
    "bbox", [[1, 1, 0, 2], [1, 1, 8, 2], [-1, 1, 5, 2], [1, 1, 3, 3], [1, 1, "3", 2], None]
)
def test_a_wrong_box_is_an_error_where_there_is_no_mask_to_measure(
    tmp_path: Path, bbox: Any
) -> None:
    write_instances(tmp_path, annotations=[annotation(bbox=bbox)])
    assert {line.split()[0] for line in find("coco-instances", tmp_path)} == {"warning"}
    write_instances(tmp_path, annotations=[annotation(bbox=bbox, segmentation=[])])
    lines = find("coco-instances", tmp_path)
    # Without a mask, no box is too large for it, and what reaches out is clipped.
    is_taken = bbox in ([1, 1, 3, 3], [1, 1, 8, 2], [-1, 1, 5, 2])
    assert any(line.startswith("error") for line in lines) != is_taken


def test_ids_of_annotations_are_not_needed(tmp_path: Path) -> None:
    listed = [annotation(image_id=i) for i in (1, 2, 3)]
    del listed[2]["id"]
    images = [image_entry(id=i, file_name=f"{i}.png") for i in (1, 2, 3)]
    write_instances(tmp_path, annotations=listed, images=images)
    file = tmp_path / "annotations" / "instances_val.json"
    assert find("coco-instances", tmp_path) == [
        f"warning instances_val.json: annotations[1]: id 5 is that of {file}: annotations[0] too: "
        "give each its own",
        "warning instances_val.json: annotations[2]: id is missing or neither number nor text: "
        "give each its own",
    ]


def test_a_list_without_annotations_is_a_warning(tmp_path: Path) -> None:
    write_instances(tmp_path, annotations=[])
    assert find("coco-instances", tmp_path) == [
        "warning instances_val.json: no image has an annotation: export the labels again"
    ]
    write_instances(tmp_path, annotations=None)
    assert not any("no image has" in line for line in find("coco-instances", tmp_path))


def test_a_file_of_boxes_has_no_mask_to_miss(tmp_path: Path) -> None:
    listed = [annotation(id=i, segmentation=[], bbox=[i, i, 2, 2]) for i in range(3)]
    del listed[0]["segmentation"]
    write_instances(tmp_path, annotations=listed)
    assert find("coco-instances", tmp_path) == []
    del listed[1]["bbox"]
    listed[2]["bbox"] = [1, 1, 0, 2]
    write_instances(tmp_path, annotations=listed)
    assert find("coco-instances", tmp_path) == [
        "error instances_val.json: annotations[2]: bbox [1, 1, 0, 2] has no area: give width and "
        "height",
        "error instances_val.json: annotations[1]: has neither mask nor bbox: add one of them",
    ]


def test_a_mask_that_cannot_be_is_listed_once(tmp_path: Path) -> None:
    write_instances(
        tmp_path, annotations=[annotation(segmentation={"size": [6, 8], "counts": [1]})]
    )
    assert only(find("coco-instances", tmp_path), "run lengths add up to 1")


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"images": [image_entry(), image_entry(file_name="b.png")]}, "images[1]: id 1 is that of"),
        (
            {"categories": [{"id": CAR, "name": name} for name in ("car", "bus")]},
            "categories[1]: id 3 is that of",
        ),
        (
            {"categories": [{"id": CAR, "name": "car"}, {"id": SKY, "name": "car"}]},
            "categories[1]: name 'car' is that of",
        ),
        ({"annotations": [annotation(), annotation()]}, "annotations[1]: id 5 is that of"),
        ({"images": [image_entry(), image_entry(id=2)]}, "file_name 'a.png' is that of"),
        ({"images": [image_entry(width=0)]}, "size 0 x 6"),
        ({"images": [image_entry(width=2**20, height=2**20)]}, "size 1048576 x 1048576"),
        ({"images": [image_entry(file_name="../")]}, "'../' names no photo"),
        ({"images": [image_entry(width="8 px")]}, "width is missing or not a whole number"),
        ({"images": 4}, "images is missing or not a list"),
    ],
)
def test_wrong_lists(tmp_path: Path, lists: dict[str, Any], message: str) -> None:
    write_instances(tmp_path, **lists)
    assert any(message in problem for problem in find("coco-instances", tmp_path))


def test_a_size_that_is_missing_is_no_error_where_there_is_a_photo(tmp_path: Path) -> None:
    write_instances(tmp_path, images=[{"id": 1, "file_name": "a.png"}])
    errors = [x for x in find("coco-instances", tmp_path) if x.startswith("error")]
    assert only(errors, "instances_val.json: images[0]: width is missing and there is no photo")
    write_photo(tmp_path / "val" / "a.png")
    assert find("coco-instances", tmp_path) == [
        f"warning instances_val.json: images[0]: {key} is missing: it can only be that of the photo"
        for key in ("width", "height")
    ]
