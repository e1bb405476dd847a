"""One round of clean-up as the authors' released code does it, pixel for pixel."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX
from annotools.category_tables.cityscapes import CITYSCAPES_CATEGORIES as CATEGORIES
from annotools.label_maps import build_label
from annotools.records import Box, WeakLabel
from annotools.weak_labels.weaken import weaken
from tests.real_data import DATA
from wsps.pseudo_labels.refine import (
    PseudoLabel,
    fill_boxes,
    instances_from_boxes,
    keep_certain,
    keep_in_boxes,
    keep_tagged,
    merge_with_boxes,
    refine_label,
)
from wsps.recipe import RefinementSettings

FOLDER = DATA.parent / "reference" / "li2018"
IMAGE_ID = "aachen_000000_000019"
SETTINGS = RefinementSettings(fill_from_round=0)
STEPS = (
    "prediction",
    "step1_score_threshold",
    "step2_image_tags",
    "step3_merge_mcg_grabcut",
    "step4_box_prior",
    "step5_low_iou_fill",
    "step6_instances",
)


@pytest.fixture(scope="module")
def folder() -> Path:
    if not FOLDER.exists():
        pytest.skip(f"no reference at {FOLDER}: set ANNOTOOLS_DATA")
    return FOLDER


@pytest.fixture(scope="module")
def rows(folder) -> list[dict[str, str]]:
    with (folder / "boxes.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def weak(folder, rows) -> WeakLabel:
    """The reference's boxes, and tags of all classes as its code reads them."""
    id_of = {category.name: category.category_id for category in CATEGORIES.categories}
    boxes = tuple(
        Box(
            category_id=id_of[row["name"]],
            box_xyxy=(
                int(row["xmin"]),
                int(row["ymin"]),
                int(row["xmax"]) + 1,
                int(row["ymax"]) + 1,
            ),
            is_group=row["is_group"] == "1",
        )
        for row in rows
        if row["is_stuff"] == "0"
    )
    ids = read_map(folder, f"{IMAGE_ID}_gtFine_instanceIds").astype(np.int32)
    category_of = {i: i // 1000 if i >= 1000 else i for i in np.unique(ids).tolist()}
    known = {i: c for i, c in category_of.items() if c in CATEGORIES.class_index_of}
    ids[~np.isin(ids, list(known))] = 0
    label = build_label(IMAGE_ID, ids, known)
    return replace(weaken(label, CATEGORIES, "tags", (500, 400)), boxes=boxes, has_boxes=True)


@pytest.fixture(scope="module")
def scores(folder) -> NDArray[np.float32]:
    with np.load(folder / "prediction_score_f32.npz") as arrays:
        return arrays["score"]


@pytest.fixture(scope="module")
def from_boxes(folder) -> NDArray[np.uint8]:
    """The agreed masks, whose 0 is no class: it says that the boxes know nothing."""
    masks = read_map(folder, "mcg_and_grabcut")
    return np.where(masks == 0, np.uint8(IGNORE_INDEX), masks)


def read_map(folder: Path, name: str) -> NDArray[np.integer]:
    return cv2.imread(str(folder / f"{name}.png"), cv2.IMREAD_UNCHANGED)


def thing_instances(folder: Path, name: str, rows: list[dict[str, str]]) -> NDArray[np.int32]:
    """The reference's instances: it counts stuff first, and 255 says that nobody knows."""
    numbers = read_map(folder, name).astype(np.int32)
    num_stuff = sum(row["is_stuff"] == "1" for row in rows)
    return np.where((numbers > num_stuff) & (numbers != 255), numbers - num_stuff, 0)


def test_each_step_is_the_reference_s(folder, rows, weak, scores, from_boxes):
    maps = [read_map(folder, step) for step in STEPS]
    given = [
        keep_certain(maps[0], scores, SETTINGS.min_score),
        keep_tagged(maps[1], weak, CATEGORIES),
        merge_with_boxes(maps[2], from_boxes, CATEGORIES),
        keep_in_boxes(maps[3], weak.boxes, CATEGORIES),
        fill_boxes(maps[4], weak.boxes, CATEGORIES, SETTINGS.fill_below),
        instances_from_boxes(maps[5], weak.boxes, CATEGORIES),
    ]
    maps[6] = thing_instances(folder, STEPS[6], rows)
    for step, ours, theirs in zip(STEPS[1:], given, maps[1:], strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=step)


@pytest.mark.parametrize(
    ("start", "semantic", "instances", "round_number"),
    [
        ("round0_cam", "round0_semantic", "round0_instances", 0),
        ("prediction", "step5_low_iou_fill", "step6_instances", 1),
    ],
)
def test_a_whole_round_is_the_reference_s(
    folder, rows, weak, scores, from_boxes, start, semantic, instances, round_number
):
    label = refine_label(
        read_map(folder, start),
        scores=scores if round_number else None,
        from_boxes=PseudoLabel(classes=from_boxes, instances=np.zeros(scores.shape, np.int32)),
        weak=weak,
        categories=CATEGORIES,
        settings=SETTINGS,
        round_number=round_number,
    )
    np.testing.assert_array_equal(label.classes, read_map(folder, semantic))
    np.testing.assert_array_equal(label.instances, thing_instances(folder, instances, rows))
    assert label.classes.dtype == np.uint8
    assert label.instances.max() == len(weak.boxes)
