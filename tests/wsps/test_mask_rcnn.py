from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from annotools.categories import CategorySet
from annotools.errors import RecipeError
from annotools.label_maps import measure_segments
from annotools.records import VOID
from tests.builders import make_categories
from wsps.detections import Detections
from wsps.mask_rcnn import build_model, merge_masks
from wsps.networks import model as li2018
from wsps.recipe import ImageSettings, InstanceSettings, Recipe
from wsps.students import STUDENTS, check_given, find_student, predict, predict_batch

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))  # class indices 2; 0 and 1
CPU = torch.device("cpu")
STUFF = torch.tensor(CATEGORIES.stuff_indices)
NONE = torch.zeros(0, dtype=torch.int64)
FULL = torch.ones(14, 14)


def detected(boxes: list[list[float]], scores: list[float], masks: list[Tensor]) -> Detections:
    return Detections(
        boxes_xyxy=torch.tensor(boxes).reshape(-1, 4),
        class_indices=torch.full((len(boxes),), 2),
        scores=torch.tensor(scores),
        masks=torch.stack(masks) if masks else torch.zeros(0, 14, 14),
    )


def road_below_sky(height: int, width: int) -> Tensor:
    """(3, H, W) probabilities: cars are most probable everywhere, then the sky in the upper half
    and the road in the lower."""
    semantic = torch.full((3, height, width), 0.1)
    semantic[2] = 0.6
    semantic[1, : height // 2] = 0.3
    semantic[0, height // 2 :] = 0.3
    return semantic


def test_masks_take_what_is_free_and_stuff_the_rest():
    boxes = [[0.0, 2.0, 4.0, 6.0], [2.0, 2.0, 7.0, 6.0]]
    merged = merge_masks(road_below_sky(8, 8), detected(boxes, [0.9, 0.5], [FULL, FULL]), STUFF)
    # Labels: 0 and 1 the cars, 2 the road, 3 the sky. The second car has lost 2 of 5 columns.
    row = [0, 0, 0, 0, 1, 1, 1]
    assert merged.tolist() == [[3] * 8] * 2 + [[*row, 3]] * 2 + [[*row, 2]] * 2 + [[2] * 8] * 2


def test_an_instance_of_which_more_than_half_is_taken_is_none():
    # Of four columns the surer one has two or three.
    for right, is_kept in ((2.0, True), (3.0, False)):
        boxes = [[0.0, 0.0, right, 8.0], [0.0, 0.0, 4.0, 8.0]]
        found = detected(boxes, [0.9, 0.8], [FULL, FULL])
        merged = merge_masks(road_below_sky(8, 8), found, STUFF)
        assert (1 in merged.unique().tolist()) == is_kept
        # What it would have had is the stuff's.
        assert merged[0, 3] == (1 if is_kept else 3)


def test_a_mask_has_the_pixels_from_one_half_on():
    for probability, expected in ((0.5, {0}), (0.49, {1, 2})):
        found = detected([[0.0, 0.0, 8.0, 8.0]], [0.9], [FULL * probability])
        merged = merge_masks(road_below_sky(8, 8), found, STUFF)
        assert set(merged.flatten().tolist()) == expected


def test_a_mask_is_put_where_torchvision_cut_it_out():
    mask = torch.zeros(1, 40, 50)
    mask[0, 12:20, 9:30], mask[0, 20:31, 15:22] = 1, 1
    for box in ([9.0, 12.0, 30.0, 31.0], [7.3, 10.6, 33.1, 32.8]):
        boxes = torch.tensor([box])
        target = project_masks_on_boxes(mask, boxes, torch.tensor([0]), 28)
        merged = merge_masks(torch.ones(1, 40, 50), detected([box], [0.9], [target[0]]), NONE)
        assert torch.equal(merged == 0, mask[0] == 1)


def test_without_stuff_what_no_mask_takes_has_no_label():
    # A detection may reach outside the image.
    found = detected([[-2.0, 0.0, 4.0, 4.0], [9.0, 9.0, 12.0, 12.0]], [0.9, 0.8], [FULL, FULL])
    merged = merge_masks(torch.ones(1, 6, 6), found, NONE)
    assert (merged == 0).sum() == 16
    assert (merged == -1).sum() == 20
    assert (merge_masks(torch.ones(1, 2, 2), detected([], [], []), NONE) == -1).all()


class Sees(nn.Module):
    def forward(self, images: Tensor, *_features: Tensor | None) -> Tensor:
        return road_below_sky(*images.shape[-2:]).log()[None]


class TwoCars:
    """Detects two cars; the first has two fifths of the second."""

    def detect(self, images: Tensor, *_limits: float | Tensor | None) -> list[Detections]:
        scale = images.shape[-1] / 16
        boxes = [
            [0.0, 4 * scale, 8 * scale, 12 * scale],
            [4 * scale, 4 * scale, 14 * scale, 12 * scale],
        ]
        return [detected(boxes, [0.9, 0.5], [FULL, FULL])]


@pytest.mark.parametrize("max_side", [None, 16])
def test_segments_categories_and_scores_by_hand(max_side: int | None):
    model = replace(
        build_model(Recipe(images=ImageSettings(max_side=max_side)), CATEGORIES, 0, CPU),
        semantic=cast(Any, Sees()),
        detector=cast(Any, TwoCars()),
    )
    side = 16 if max_side is None else 32
    prediction = predict(model, np.zeros((side, side, 3), dtype=np.uint8), "street 1")
    row = [1, 1, 1, 1, 2, 2, 2]
    expected = [[4] * 8] * 2 + [[*row, 4]] * 2 + [[*row, 3]] * 2 + [[3] * 8] * 2
    found = prediction.label.segment_map
    assert found[side // 16 :: side // 8, side // 16 :: side // 8].tolist() == expected
    categories = {s.segment_id: s.category_id for s in prediction.label.segments}
    assert categories == {1: 30, 2: 30, 3: 10, 4: 20}
    assert prediction.scores == pytest.approx({1: 0.9, 2: 0.5, 3: 0.3, 4: 0.3})
    # That of the semantic network, in which the car is most probable everywhere.
    assert (prediction.semantic_classes == 2).all()
    assert prediction.label.image_id == "street 1"


@pytest.mark.parametrize(("size_hw", "max_side"), [((40, 64), None), ((75, 51), 48)])
def test_every_pixel_has_a_segment_and_every_segment_a_score(
    size_hw: tuple[int, int], max_side: int | None
):
    unsure = InstanceSettings(steps=0, learning_rate=1e-3, score_threshold=0.05, max_detections=5)
    recipe = Recipe(images=ImageSettings(max_side=max_side), instance=unsure)
    model = build_model(recipe, CATEGORIES, 3, CPU)
    photos = [
        np.random.default_rng(number).integers(0, 255, (*size_hw, 3), dtype=np.uint8)
        for number in range(2)
    ]
    together = predict_batch(model, photos, [1, 2])
    for photo, prediction in zip(photos, together, strict=True):
        assert (prediction.label.segment_map > VOID).all()
        segments = {s.segment_id: (s.area, s.box_xyxy) for s in prediction.label.segments}
        assert segments == measure_segments(prediction.label.segment_map)
        assert prediction.scores.keys() == segments.keys()
        assert all(0 <= score <= 1 for score in prediction.scores.values())
        alone = predict(model, photo, 1).label.segment_map
        assert np.array_equal(alone, prediction.label.segment_map)


def test_a_photo_without_any_label_is_void():
    things = CategorySet(categories=tuple(c for c in CATEGORIES.categories if c.is_thing))
    certain = InstanceSettings(steps=0, learning_rate=1e-3, score_threshold=1.0)
    model = build_model(Recipe(instance=certain), things, 3, CPU)
    prediction = predict(model, np.zeros((20, 30, 3), dtype=np.uint8), 1)
    assert (prediction.label.segment_map == VOID).all()
    assert prediction.scores == {}


def test_students_begin_with_the_same_semantic_network_and_detector():
    ours, theirs = (
        find(Recipe(), CATEGORIES, 5, CPU) for find in (li2018.build_model, build_model)
    )
    assert theirs.instance is None
    assert (ours.student, theirs.student) == ("li2018", "mask-rcnn")
    for name in ("semantic", "detector"):
        weights, others = (getattr(model, name).state_dict() for model in (ours, theirs))
        assert all(torch.equal(values, others[key]) for key, values in weights.items())
    masks = {key for key in others if key not in weights}
    assert masks
    assert all(key.startswith("network.roi_heads.mask") for key in masks)
    # The paper's detector has no masks, unless the subnetwork counts them.
    counting = Recipe(instance=replace(Recipe().instance, mask_weight=1.0))
    detector = li2018.build_model(counting, CATEGORIES, 5, CPU).detector
    assert detector is not None
    found = detector.state_dict()
    assert set(found) == set(others)
    assert all(torch.equal(values, others[key]) for key, values in found.items())


def test_an_unknown_student_and_detections_that_do_not_fit_are_told_in_one_line():
    assert list(STUDENTS) == ["li2018", "mask-rcnn"]
    with pytest.raises(RecipeError, match=r"unknown student 'fcn': use li2018 or mask-rcnn$"):
        find_student("fcn")
    plain = Recipe().instance
    check_given("li2018", plain)
    with pytest.raises(RecipeError, match="--detections: the student 'mask-rcnn' needs masks"):
        check_given("mask-rcnn", plain)
    with pytest.raises(RecipeError, match=r"--detections: instance\.mask_weight is above 0"):
        check_given("li2018", replace(plain, mask_weight=1.0))
