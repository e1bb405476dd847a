from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from annotools.categories import IGNORE_INDEX
from annotools.records import Box, WeakLabel
from annotools.scenes import world
from tests.builders import make_categories
from wsps.crf.dense_crf import sharpen_batch
from wsps.data import resize_photo
from wsps.pseudo_labels.refine import PseudoLabel
from wsps.pseudo_labels.round_labels import next_label
from wsps.pseudo_labels.stored_networks import class_probabilities
from wsps.recipe import CrfSettings, Recipe, RefinementSettings

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))
ROAD, CAR, NO = 0, 2, IGNORE_INDEX
WITHOUT_CRF = RefinementSettings(crf=CrfSettings(iterations=0))
WEAK = WeakLabel(image_id=1, boxes=(Box(category_id=30, box_xyxy=(4, 0, 9, 8)),), has_boxes=True)

SCENE_CATEGORIES = world.SCENE_CATEGORIES
ROAD_INDEX = SCENE_CATEGORIES.class_index_of[world.ROAD]
CAR_INDEX = SCENE_CATEGORIES.class_index_of[world.CAR]
RECIPE = Recipe(refinement=RefinementSettings(min_score=0.9, crf=CrfSettings(iterations=0)))


def blurred_prediction():
    """A photo of 8 x 12 whose car begins at column 6, and a prediction that says column 5."""
    photo = np.zeros((8, 12, 3), dtype=np.uint8)
    photo[:, 6:] = 200
    probabilities = np.full((3, 8, 12), 0.005, dtype=np.float32)
    probabilities[ROAD, :, :5] = probabilities[CAR, :, 5:] = 0.99
    probabilities[:, :, 5] = np.array([0.4, 0.05, 0.55])[:, None]
    return photo, probabilities


def label(photo, probabilities, settings):
    seen = resize_photo(photo, (probabilities.shape[2], probabilities.shape[1]))
    (sharp,) = sharpen_batch([seen], probabilities[None], settings.crf)
    return next_label(photo, sharp, None, WEAK, CATEGORIES, settings, 1)


def test_a_prediction_is_cut_to_its_certain_pixels_and_boxes():
    made = label(*blurred_prediction(), WITHOUT_CRF)
    row = [ROAD] * 5 + [NO] + [CAR] * 3 + [NO] * 3
    assert made.classes.tolist() == [row] * 8
    assert made.instances.tolist() == [[0] * 6 + [1] * 3 + [0] * 3] * 8


def test_the_crf_decides_by_the_photo_what_the_network_left_open():
    settings = replace(WITHOUT_CRF, min_score=0.9, crf=CrfSettings(gaussian_weight=0.0))
    made = label(*blurred_prediction(), settings)
    row = [ROAD] * 6 + [CAR] * 3 + [NO] * 3
    assert made.classes.tolist() == [row] * 8


def test_a_prediction_on_a_reduced_photo_is_enlarged():
    photo, _ = blurred_prediction()
    probabilities = np.zeros((3, 4, 6), dtype=np.float32)
    probabilities[ROAD, :, :3] = probabilities[CAR, :, 3:] = 1.0
    with_crf = replace(WITHOUT_CRF, crf=CrfSettings(gaussian_weight=0.0))
    for settings in (WITHOUT_CRF, with_crf):
        made = label(photo, probabilities, replace(settings, fill_below=0.0))
        # Between the classes a quarter of each, so neither is certain.
        row = [ROAD] * 5 + [NO, NO] + [CAR] * 2 + [NO] * 3
        assert made.classes.tolist() == [row] * 8


def test_a_prediction_on_an_enlarged_photo_is_reduced():
    photo, _ = blurred_prediction()
    probabilities = np.zeros((3, 16, 24), dtype=np.float32)
    probabilities[ROAD, :, :11] = probabilities[CAR, :, 11:] = 1.0
    made = label(photo, probabilities, replace(WITHOUT_CRF, fill_below=0.0))
    # The border lies in the middle of column 5, of which each class has a half.
    row = [ROAD] * 5 + [NO] + [CAR] * 3 + [NO] * 3
    assert made.classes.tolist() == [row] * 8


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
    for height, width in ((8, 16), (4, 8)):
        photos = [photo(height, width), photo(height, width)]
        probabilities, same = class_probabilities(LeftAndRight(20.0), photos, "float32")
        assert np.array_equal(probabilities, same)
        assert probabilities.shape == (len(SCENE_CATEGORIES), height, width)
        np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, atol=1e-5)
        assert (probabilities[ROAD_INDEX, :, : width // 2] > 0.99).all()
        assert (probabilities[CAR_INDEX, :, width // 2 :] > 0.99).all()


def label_of(
    car_logit: float,
    weak: WeakLabel,
    from_boxes: PseudoLabel | None = None,
    recipe: Recipe = RECIPE,
    round_number: int = 1,
) -> PseudoLabel:
    settings, seen = recipe.refinement, LeftAndRight(car_logit)
    probabilities = class_probabilities(seen, [photo()], "float32")
    (sharp,) = sharpen_batch([photo()], probabilities, settings.crf)
    return next_label(photo(), sharp, from_boxes, weak, SCENE_CATEGORIES, settings, round_number)


@pytest.mark.parametrize(("car_logit", "expected"), [(20.0, CAR_INDEX), (1.0, IGNORE_INDEX)])
def test_an_image_nobody_labelled_takes_what_the_network_is_sure_of(
    car_logit: float, expected: int
):
    made = label_of(car_logit, WeakLabel(image_id=1))
    assert (made.classes[:, :8] == ROAD_INDEX).all()
    assert (made.classes[:, 8:] == expected).all()
    assert not made.instances.any()


def test_boxes_and_their_masks_correct_the_prediction():
    boxes = (
        Box(category_id=world.CAR, box_xyxy=(12, 0, 16, 8)),
        Box(category_id=world.SIGN, box_xyxy=(0, 0, 2, 2)),
    )
    sign = SCENE_CATEGORIES.class_index_of[world.SIGN]
    from_boxes = PseudoLabel(
        classes=np.full((8, 16), IGNORE_INDEX, dtype=np.uint8),
        instances=np.zeros((8, 16), dtype=np.int32),
    )
    from_boxes.classes[:2, :2] = sign
    from_boxes.classes[0, 12:] = CAR_INDEX
    weak = WeakLabel(image_id=1, boxes=boxes, has_boxes=True)
    recipe = replace(RECIPE, refinement=replace(RECIPE.refinement, fill_below=0.0))
    made = label_of(20.0, weak, from_boxes, recipe)
    expected = np.full((8, 16), IGNORE_INDEX)
    expected[:, :8] = ROAD_INDEX
    expected[:2, :2] = sign
    expected[0, 12:] = CAR_INDEX
    np.testing.assert_array_equal(made.classes, expected)
    np.testing.assert_array_equal(made.instances[0, 12:], 1)
    np.testing.assert_array_equal(made.instances[:2, :2], 2)
    # Once the masks are no longer asked, the network's car stays within the car's box.
    late = label_of(20.0, weak, from_boxes, recipe, round_number=6)
    assert (late.classes[:, 12:] == CAR_INDEX).all()
    assert (late.classes[:, 8:12] == IGNORE_INDEX).all()
    assert (late.classes[:2, :2] == ROAD_INDEX).all()
