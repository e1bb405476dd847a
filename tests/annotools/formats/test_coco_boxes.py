import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotools.errors import DatasetError
from annotools.formats import coco_instances
from annotools.formats.coco_entries import find_box
from annotools.formats.coco_masks import find_column_runs, pixels_of
from annotools.recategorise import recategorise
from annotools.records import Box, Dataset, Drop, WeakLabel
from tests.real_data import real_data

SIZE_WH = (10, 8)


def annotation(bbox: Any, **changes: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 3, "bbox": bbox, "segmentation": []} | changes


def write(root: Path, *annotations: dict[str, Any]) -> Path:
    width, height = SIZE_WH
    content = {
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": width, "height": height} for i in (1, 2)
        ],
        "categories": [{"id": 3, "name": "car"}, {"id": 5, "name": "pin"}],
        "annotations": annotations,
    }
    path = root / "annotations" / "instances_val.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def read(root: Path, *annotations: dict[str, Any], allow_missing: bool = False) -> Dataset:
    write(root, *annotations)
    return coco_instances.read(root, "val", allow_missing)


def weak_labels(dataset: Dataset) -> list[WeakLabel]:
    assert dataset.read_weak is not None
    return [dataset.read_weak(image) for image in dataset.images]


@pytest.mark.parametrize("segmentation", [[], None])
def test_rectangles_are_read_as_boxes(tmp_path: Path, segmentation: Any) -> None:
    dataset = read(
        tmp_path,
        annotation([1, 2, 3, 4], segmentation=segmentation),
        annotation([0.4, 0.6, 5, 5], category_id=5, iscrowd=1),
    )
    first, second = weak_labels(pickle.loads(pickle.dumps(dataset)))
    assert first.boxes == (
        Box(category_id=3, box_xyxy=(1, 2, 4, 6)),
        Box(category_id=5, box_xyxy=(0, 1, 5, 6), is_group=True),
    )
    assert (first.has_boxes, second.has_boxes, second.boxes) == (True, True, ())
    assert (first.crops, first.drops, dataset.count_vertices) == ((), (), None)
    assert dataset.notes[0] == "there are boxes or tags and no masks"


def test_segmentation_may_be_absent(tmp_path: Path) -> None:
    entry = annotation([1, 2, 3, 4])
    del entry["segmentation"]
    assert len(weak_labels(read(tmp_path, entry))[0].boxes) == 1


def test_masks_cannot_be_had(tmp_path: Path) -> None:
    dataset = read(tmp_path, annotation([1, 2, 3, 4]))
    with pytest.raises(
        DatasetError, match=r"instances_val\.json: image 1 has boxes or tags and no masks: "
    ):
        dataset.read_label(dataset.images[0])


def test_a_file_without_annotations_has_empty_masks(tmp_path: Path) -> None:
    dataset = read(tmp_path)
    assert dataset.read_weak is None
    assert len(dataset.read_label(dataset.images[0]).segments) == 1


@pytest.mark.parametrize(
    ("bbox", "box_xyxy"),
    [
        ([2.2, 1.8, 4.5, 3.4], (2, 2, 7, 5)),
        ([0.5, 1.5, 1, 1], (1, 2, 2, 3)),
        ([3.1, 4.6, 0.2, 0.3], (3, 4, 4, 5)),  # thinner than a pixel
        ([-3, -2, 5, 4], (0, 0, 2, 2)),
        ([6, 5, 90, 90.5], (6, 5, 10, 8)),
        ([-1, -1, 12, 12], (0, 0, 10, 8)),
    ],
)
def test_sides_go_to_the_nearest_border_inside_the_image(
    bbox: list[float], box_xyxy: tuple[int, ...]
) -> None:
    assert find_box(bbox, SIZE_WH) == box_xyxy


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        (None, "bbox is missing or not four numbers"),
        ([], "not four numbers"),
        ([1, 2, 3], "not four numbers"),
        ([1, 2, 3, 4, 5], "not four numbers"),
        ("1 2 3 4", "not four numbers"),
        (["1", "2", "x", "4"], "not four numbers"),
        ({"x": 1}, "not four numbers"),
        ([1, 2, float("nan"), 4], "not four numbers"),
        ([1, 2, float("inf"), 4], "not four numbers"),
        ([1, 2, True, 4], "not four numbers"),
        ([10**400, 2, 3, 4], "not four numbers"),
        ([1, 2, 0, 4], "bbox has no area"),
        ([1, 2, 3, -4], "bbox has no area"),
        ([10, 2, 3, 4], "bbox has no pixel in its image"),
        ([1, -9, 3, 4], "bbox has no pixel in its image"),
    ],
)
def test_an_impossible_box_is_named_or_left_out(tmp_path: Path, bbox: Any, message: str) -> None:
    good, bad = annotation([1, 2, 3, 4]), annotation(bbox)
    with pytest.raises(DatasetError, match=message) as caught:
        read(tmp_path, good, bad)
    path = tmp_path / "annotations" / "instances_val.json"
    assert str(caught.value).startswith(f"{path}: annotations[1]: ")
    assert "\n" not in str(caught.value)
    (label, _) = weak_labels(read(tmp_path, good, bad, allow_missing=True))
    assert len(label.boxes) == 1
    (drop,) = label.drops
    assert drop.place == f"{path}: annotations[1]"
    assert message in drop.reason


def test_boxes_go_over_to_other_categories(tmp_path: Path) -> None:
    dataset = recategorise(
        read(tmp_path, annotation([1, 2, 3, 4]), annotation([0, 0, 2, 2], category_id=5)), "voc"
    )
    first, second = weak_labels(dataset)
    assert first.boxes == (Box(category_id=7, box_xyxy=(1, 2, 4, 6)),)
    reason = "category pin has no VOC counterpart"
    assert first.drops == (Drop(place="image 1: box 2", reason=reason),)
    assert second.drops == ()
    with pytest.raises(DatasetError, match="has boxes or tags and no masks"):
        dataset.read_label(dataset.images[0])


def test_rounding_gives_most_sides_of_real_masks() -> None:
    path = real_data("coco", "annotations", "instances_train2017.json")
    content = json.loads(path.read_bytes())
    size_of = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    off = []
    for entry in content["annotations"][::10]:
        if entry["iscrowd"]:
            continue
        width, height = size_of[entry["image_id"]]
        columns, rows = np.divmod(
            pixels_of(find_column_runs(entry["segmentation"], height, width)), height
        )
        tight = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        off += np.abs(np.subtract(find_box(entry["bbox"], (width, height)), tight)).tolist()
    assert len(off) > 700
    assert np.mean(np.array(off) == 0) > 0.85
