from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from annotools.checks.dataset_checks import check_dataset
from tests.annotools.checks.checked_datasets import (
    CAR,
    HEIGHT,
    SKY,
    WIDTH,
    annotation,
    find,
    image_entry,
    only,
    write_instances,
)


def test_pixels_claimed_twice_are_a_warning_with_their_number(tmp_path: Path) -> None:
    shifted = [2, 1, 5, 1, 5, 3, 2, 3]
    second = annotation(id=6, segmentation=[shifted], bbox=[2, 1, 3, 2])
    write_instances(tmp_path, annotations=[annotation(), second])
    problems = find("coco-instances", tmp_path)
    assert only(problems, "warning instances_val.json: image 1: ", "claim 4 pixels twice")


def strip(first: int, last: int, **changes: Any) -> dict[str, Any]:
    """An annotation of the rows from 0 to 4 in these columns, the last one included."""
    width = last + 1 - first
    after = HEIGHT * (WIDTH - 1 - last)
    counts = [first * HEIGHT, *[5, 1] * (width - 1), 5, 1 + after]
    runs = {"size": [HEIGHT, WIDTH], "counts": counts}
    return annotation(**({"segmentation": runs, "bbox": [first, 0, width, 5]} | changes))


@pytest.mark.parametrize(
    ("second", "overlap"),
    [
        (strip(0, 6), "1.00"),
        (strip(0, 5), "0.86"),  # 6 of 7 columns
        (strip(1, 7), "0.75"),  # 6 of 8
        (strip(0, 4), "0.71"),  # 5 of 7
        (strip(2, 7), None),  # 5 of 8
        (strip(0, 6, category_id=SKY), None),
    ],
)
def test_near_duplicates_are_told_with_the_first_of_them(
    tmp_path: Path, second: dict[str, Any], overlap: str | None
) -> None:
    categories = [{"id": CAR, "name": "car"}, {"id": SKY, "name": "sky"}]
    # The masks of the third and fourth are in the first one's, and less than 0.7 of it.
    listed = [strip(0, 6), strip(0, 3, category_id=SKY), strip(0, 3), second | {"id": 8}]
    listed = [entry | {"id": i} for i, entry in enumerate(listed)]
    write_instances(tmp_path, annotations=listed, categories=categories)
    lines = [line for line in find("coco-instances", tmp_path) if "is nearly" in line]
    file = tmp_path / "annotations" / "instances_val.json"
    expected = (
        f"warning instances_val.json: annotations[3]: its mask is nearly that of {file}: "
        "annotations[0], of the same category (intersection over union "
        f"{overlap}): drop one of them if both are the same object"
    )
    assert lines == ([] if overlap is None else [expected])


def test_an_object_that_is_there_thrice_is_told_twice(tmp_path: Path) -> None:
    listed = [annotation(id=i) for i in range(3)]
    write_instances(tmp_path, annotations=listed)
    lines = [line for line in find("coco-instances", tmp_path) if "is nearly" in line]
    assert [line.split(": ")[1] for line in lines] == ["annotations[1]", "annotations[2]"]
    assert all("annotations[0], of the same" in line for line in lines)


def rectangle(x: int, y: int, width: int, height: int) -> list[list[int]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    boxes=st.lists(
        st.tuples(*[st.integers(0, 2)] * 2, *[st.integers(3, 6)] * 2), min_size=2, max_size=8
    )
)
def test_near_duplicates_are_those_of_pycocotools(
    tmp_path: Path, boxes: list[tuple[int, int, int, int]]
) -> None:
    size = {"width": 10, "height": 10}
    listed = [annotation(id=i, segmentation=rectangle(*b), bbox=b) for i, b in enumerate(boxes)]
    write_instances(tmp_path, images=[image_entry(**size)], annotations=listed)
    runs = [coco_mask.frPyObjects(rectangle(*box), 10, 10)[0] for box in boxes]
    overlaps = np.tril(coco_mask.iou(runs, runs, [0] * len(runs)), k=-1)
    expected = [i for i in range(len(boxes)) if overlaps[i].max() > 0.7]
    problems = check_dataset("coco-instances", tmp_path, ["val"]).problems
    told = [p.place.rpartition(": ")[2] for p in problems if "is nearly" in p.message]
    assert told == [f"annotations[{i}]" for i in expected]
