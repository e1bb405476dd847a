from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from annotools.categories import IGNORE_INDEX
from annotools.records import Box, WeakLabel
from annotools.scenes.world import CAR, ROAD, SCENE_CATEGORIES, SIGN
from wsps.pseudo_labels.records import PseudoLabel
from wsps.recipe import CrfSettings, Recipe, RefinementSettings
from wsps.self_training import UnlabelledPixels, class_probabilities, example_from_prediction

ROAD_INDEX = SCENE_CATEGORIES.class_index_of[ROAD]
CAR_INDEX = SCENE_CATEGORIES.class_index_of[CAR]
RECIPE = Recipe(refinement=RefinementSettings(min_score=0.9, crf=CrfSettings(iterations=0)))


class LeftAndRight(nn.Module):
    """Sees road on the left half of every photo, and a car, with this logit, on the right."""

    def __init__(self, car_logit: float) -> None:
        super().__init__()
        self.car_logit = nn.Parameter(torch.tensor(car_logit))

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, K, H, W) logits."""
        batch, _, height, width = images.shape
        logits = torch.zeros(batch, len(SCENE_CATEGORIES), height, width)
        logits[:, ROAD_INDEX, :, : width // 2] = 20.0
        logits[:, CAR_INDEX, :, width // 2 :] = self.car_logit
        return logits


def photo(height: int = 8, width: int = 16) -> np.ndarray:
    return np.zeros((height, width, 3), dtype=np.uint8)


def test_probabilities_are_of_the_photo_that_the_network_sees_and_sum_to_one():
    for max_side, height, width in ((None, 8, 16), (8, 4, 8)):
        probabilities = class_probabilities(LeftAndRight(20.0), photo(), max_side)
        assert probabilities.shape == (len(SCENE_CATEGORIES), height, width)
        np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, atol=1e-5)
        assert (probabilities[ROAD_INDEX, :, : width // 2] > 0.99).all()
        assert (probabilities[CAR_INDEX, :, width // 2 :] > 0.99).all()


@pytest.mark.parametrize(("car_logit", "expected"), [(20.0, CAR_INDEX), (1.0, IGNORE_INDEX)])
def test_an_image_nobody_labelled_takes_what_the_network_is_sure_of(
    car_logit: float, expected: int
):
    image = UnlabelledPixels(weak=WeakLabel(image_id=1), read_photo=photo)
    example = example_from_prediction(image, LeftAndRight(car_logit), 1, SCENE_CATEGORIES, RECIPE)
    assert (example.classes[:, :8] == ROAD_INDEX).all()
    assert (example.classes[:, 8:] == expected).all()
    assert not example.instances.any()
    assert not example.has_boxes
    assert len(example.boxes_xyxy) == 0


def test_boxes_and_their_masks_correct_the_prediction():
    boxes = (
        Box(category_id=CAR, box_xyxy=(12, 0, 16, 8)),
        Box(category_id=SIGN, box_xyxy=(0, 0, 2, 2)),
    )
    sign = SCENE_CATEGORIES.class_index_of[SIGN]
    from_boxes = PseudoLabel(
        classes=np.full((8, 16), IGNORE_INDEX, dtype=np.uint8),
        instances=np.zeros((8, 16), dtype=np.int32),
    )
    from_boxes.classes[:2, :2] = sign
    from_boxes.classes[0, 12:] = CAR_INDEX
    image = UnlabelledPixels(
        weak=WeakLabel(image_id=1, boxes=boxes, has_boxes=True),
        read_photo=photo,
        read_box_label=lambda: from_boxes,
    )
    recipe = replace(RECIPE, refinement=replace(RECIPE.refinement, fill_below=0.0))
    example = example_from_prediction(image, LeftAndRight(20.0), 1, SCENE_CATEGORIES, recipe)
    expected = np.full((8, 16), IGNORE_INDEX)
    expected[:, :8] = ROAD_INDEX
    expected[:2, :2] = sign
    expected[0, 12:] = CAR_INDEX
    np.testing.assert_array_equal(example.classes, expected)
    np.testing.assert_array_equal(example.instances[0, 12:], 1)
    np.testing.assert_array_equal(example.instances[:2, :2], 2)
    assert example.has_boxes
    # Once the masks are no longer asked, the network's car stays within the car's box.
    late = example_from_prediction(image, LeftAndRight(20.0), 6, SCENE_CATEGORIES, recipe)
    assert (late.classes[:, 12:] == CAR_INDEX).all()
    assert (late.classes[:, 8:12] == IGNORE_INDEX).all()
    assert (late.classes[:2, :2] == ROAD_INDEX).all()
