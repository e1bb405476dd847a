from pathlib import Path
from typing import Any

import pytest

from tests.annotools.checks.checked_datasets import (
    HEIGHT,
    WIDTH,
    annotation,
    find,
    image_entry,
    only,
    write_instances,
)

RUNS = {"size": [HEIGHT, WIDTH], "counts": [7, 2, 4, 2, 4, 2, 27]}  # the same pixels


def triangles(*areas: float | None) -> list[dict[str, Any]]:
    """Annotations of 40 x 40 images whose masks are half of their boxes of 6 x 10: 30 pixels."""
    mask = {"segmentation": [[3, 2, 9, 2, 9, 12]], "bbox": [3, 2, 6, 10]}
    listed = [annotation(id=i, image_id=i, area=area, **mask) for i, area in enumerate(areas)]
    return [{k: v for k, v in entry.items() if v is not None} for entry in listed]


@pytest.mark.parametrize(
    ("areas", "messages"),
    [
        ((30, 30), []),
        ((60, 60, 60, 60), ["area is that of the box in 4 of 4 annotations"]),
        # Sides that were rounded change their product by less than 1 %.
        ((60.5, 30, None), ["area is that of the box in 1 of 2 annotations"]),
        ((1600, 1600, 30), ["area is that of the whole image in 2 of 3 annotations"]),
        (
            (60, 1600, 50),
            [
                "area is that of the box in 1 of 3 annotations",
                "area is that of the whole image in 1 of 3 annotations",
                "annotations[2]: area 50 is not that of its mask: give 30",
            ],
        ),
    ],
)
def test_areas_that_exporters_write_are_one_problem_of_the_file(
    tmp_path: Path, areas: tuple[float | None, ...], messages: list[str]
) -> None:
    sizes = {"width": 40, "height": 40}
    images = [image_entry(id=i, file_name=f"{i}.png", **sizes) for i in range(len(areas))]
    write_instances(tmp_path, images=images, annotations=triangles(*areas))
    lines = find("coco-instances", tmp_path)
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(f"warning instances_val.json: {message}")


def test_areas_of_rectangles_are_right_although_they_are_those_of_their_boxes(
    tmp_path: Path,
) -> None:
    write_instances(tmp_path, annotations=[annotation(area=6)])
    assert find("coco-instances", tmp_path) == []


def test_a_box_within_a_pixel_of_its_polygon_is_tight(tmp_path: Path) -> None:
    # The mask loses what is less than half of the pixels in columns 1 and 4.
    polygon = [1.9, 1, 4.4, 1, 4.4, 3, 1.9, 3]
    write_instances(tmp_path, annotations=[annotation(segmentation=[polygon], bbox=[1, 1, 4, 2])])
    assert find("coco-instances", tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"area": 6},
        {"area": 6.9},
        # Traced through the centres of 4 columns and 3 rows of pixels.
        {"bbox": [1, 1, 4, 3], "area": 12},
        {"segmentation": RUNS, "area": 6},
        # COCO's own crowds are like this.
        {"segmentation": RUNS, "bbox": [1, 1, 2, 1], "area": 9, "iscrowd": 1},
        {"segmentation": RUNS, "area": 9, "iscrowd": 1},
    ],
)
def test_boxes_and_areas_that_fit_their_mask(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_instances(tmp_path, annotations=[annotation(**changes)])
    assert find("coco-instances", tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [2, 2, 3, 2]}, "bbox [2, 2, 3, 2] is not tight: its mask fills [1, 1, 3, 2]"),
        ({"bbox": [0, 0, 3, 2]}, "is not tight"),
        ({"bbox": [1, 1, 3, 3]}, "is not tight"),
        ({"segmentation": RUNS, "bbox": [1, 1, 3, 2.1]}, "is not tight"),
        ({"segmentation": RUNS, "bbox": [1, 1, 2, 1]}, "is not tight"),
        ({"segmentation": RUNS, "bbox": [2, 2, 3, 2], "iscrowd": 1}, "is not tight"),
        ({"segmentation": RUNS, "area": 6.5}, "area 6.5 is not that of its mask: give 6"),
        ({"area": 8}, "area 8 is not that of its mask: give 6"),
        ({"area": "6"}, "area is not a number of pixels in an image: give 6"),
        ({"area": 10**400}, "area is not a number of pixels"),
        ({"area": float("nan")}, "area is not a number of pixels"),
    ],
)
def test_boxes_and_areas_that_do_not_fit(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_instances(tmp_path, annotations=[annotation(**changes)])
    assert only(
        find("coco-instances", tmp_path), "warning instances_val.json: annotations[0]", message
    )


def test_a_percent_of_a_large_outline_is_near_enough(tmp_path: Path) -> None:
    lists = {"images": [image_entry(width=40, height=40)]}
    polygon = [0.5, 0.5, 30.5, 0.5, 30.5, 20.5, 0.5, 20.5]  # encloses 600
    for area, num_problems in ((606, 0), (593.9, 1), (700, 1)):
        wrong = annotation(segmentation=[polygon], bbox=[0.5, 0.5, 30, 20], area=area)
        write_instances(tmp_path, annotations=[wrong], **lists)
        assert len(find("coco-instances", tmp_path)) == num_problems


@pytest.mark.parametrize(
    ("polygon", "reach"),
    [
        ([1, 1, 10, 1, 10, 3, 1, 3], "points reach x = 10, y = 3 in an image of 8 x 6: "),
        ([1, 1, 4, 1, 4, 7.5, 1, 3], "points reach x = 4, y = 7.5 in an image of 8 x 6: "),
        ([-2, 1, 4, 1, 4, 3, -2, 3], "points reach x = -2, y = 3 in an image of 8 x 6: "),
        ([-1, -1, 9, -1, 9, 7, -1, 7], None),
    ],
)
def test_points_outside_of_their_image_are_told(
    tmp_path: Path, polygon: list[float], reach: str | None
) -> None:
    entry = annotation(segmentation=[polygon])
    del entry["bbox"]
    write_instances(tmp_path, annotations=[entry])
    problems = find("coco-instances", tmp_path)
    if reach is None:
        assert problems == []
    else:
        assert only(problems, "warning instances_val.json: annotations[0]: ", reach, "clipped")
