import json
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.annotools.checks.checked_datasets import (
    CAR,
    SKY,
    find,
    image_entry,
    only,
    write_panoptic,
)


def segment(**changes: Any) -> dict[str, Any]:
    entry = {"id": 2, "category_id": CAR, "bbox": [1, 1, 3, 2], "iscrowd": 0}
    return entry | changes


SKY_SEGMENT = segment(id=300, category_id=SKY, bbox=[0, 0, 8, 6])


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([SKY_SEGMENT], "error a.png: segment id 2 (6 pixels) is not in segments_info"),
        ([SKY_SEGMENT, segment(), segment(id=4)], "segments_info[2]: segment id 4 has no pixel"),
        ([SKY_SEGMENT, segment(), segment()], "segments_info[2]: segment id 2 is that of"),
        ([SKY_SEGMENT, segment(category_id=1)], "segments_info[1]: unknown category 1"),
        ([SKY_SEGMENT, segment(bbox=[1, 1, 1, 2])], "is not tight: its mask fills [1, 1, 3, 2]"),
        ([SKY_SEGMENT, segment(bbox=[1, 1, 3, 3])], "bbox [1, 1, 3, 3] is not tight: its mask"),
        (
            [SKY_SEGMENT, segment(area=7)],
            "segments_info[1]: area 7 is not that of its mask: give 6",
        ),
        ([SKY_SEGMENT, segment(id="x")], "id 'x': give a whole number"),
        (None, "segments_info is missing"),
    ],
)
def test_wrong_segments(tmp_path: Path, segments: Any, message: str) -> None:
    write_panoptic(tmp_path, segments_info=segments)
    assert any(message in problem for problem in find("coco-panoptic", tmp_path))


def test_names_with_backslashes_are_found_as_readers_find_them(tmp_path: Path) -> None:
    write_panoptic(tmp_path, segments_info=[SKY_SEGMENT, segment()], file_name="here\\a.png")
    (png,) = tmp_path.rglob("a.png")
    (png.parent / "here").mkdir()
    png.rename(png.parent / "here/a.png")
    assert find("coco-panoptic", tmp_path) == []


def test_segments_with_the_area_of_their_box(tmp_path: Path) -> None:
    # The sky has 42 pixels in a box of the whole image.
    write_panoptic(tmp_path, segments_info=[SKY_SEGMENT | {"area": 48}, segment(area=6)])
    assert find("coco-panoptic", tmp_path) == [
        "warning panoptic_val.json: area is that of the box in 2 of 2 segments: areas are measured "
        "in the masks"
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file_name": "b.png"}, "error b.png: cannot be read"),
        ({"segments_info": [SKY_SEGMENT]}, "error a.png: segment id 2 (6 pixels) is not in segm"),
    ],
)
def test_a_wrong_panoptic_annotation_is_listed_once(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_panoptic(tmp_path, **changes)
    assert only(find("coco-panoptic", tmp_path), message)


def test_a_panoptic_annotation_that_is_missing_is_listed_once(tmp_path: Path) -> None:
    write_panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))
    assert find("coco-panoptic", tmp_path) == [
        "warning panoptic_val.json: no image has an annotation: export the labels again",
        "error panoptic_val.json: image 1: has no annotation: add its segments or drop the image",
    ]


def test_a_file_name_that_leaves_its_folder(tmp_path: Path) -> None:
    write_panoptic(tmp_path, file_name="../../a.png")
    problems = find("coco-panoptic", tmp_path)
    assert any("leaves the photo folder" in problem for problem in problems)


def test_two_images_with_one_png(tmp_path: Path) -> None:
    write_panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_val.json"
    content = json.loads(path.read_text())
    content["images"].append(image_entry(id=2, file_name="b.png"))
    content["annotations"].append(content["annotations"][0] | {"image_id": 2})
    path.write_text(json.dumps(content))
    assert only(find("coco-panoptic", tmp_path), "annotations[1]: file_name 'a.png' is that of")


def test_panoptic_png_of_another_size_is_listed_once(tmp_path: Path) -> None:
    write_panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_val" / "a.png"
    pixels = cv2.imread(str(path))
    assert pixels is not None
    cv2.imwrite(str(path), pixels[:, :7])
    problems = find("coco-panoptic", tmp_path)
    assert len([problem for problem in problems if "a.png: " in problem]) == 1
    assert "error a.png: is 7 x 6 pixels, its image 8 x 6" in problems[0]
