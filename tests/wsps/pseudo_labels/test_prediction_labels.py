from dataclasses import replace

import numpy as np

from annotools.categories import IGNORE_INDEX
from annotools.records import Box, WeakLabel
from tests.builders import make_categories
from wsps.pseudo_labels.prediction_labels import label_from_prediction
from wsps.recipe import CrfSettings, RefinementSettings

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))
ROAD, CAR, NO = 0, 2, IGNORE_INDEX
WITHOUT_CRF = RefinementSettings(crf=CrfSettings(iterations=0))
WEAK = WeakLabel(image_id=1, boxes=(Box(category_id=30, box_xyxy=(4, 0, 9, 8)),), has_boxes=True)


def blurred_prediction():
    """A photo of 8 x 12 whose car begins at column 6, and a prediction that says column 5."""
    photo = np.zeros((8, 12, 3), dtype=np.uint8)
    photo[:, 6:] = 200
    probabilities = np.full((3, 8, 12), 0.005, dtype=np.float32)
    probabilities[ROAD, :, :5] = probabilities[CAR, :, 5:] = 0.99
    probabilities[:, :, 5] = np.array([0.4, 0.05, 0.55])[:, None]
    return photo, probabilities


def label(photo, probabilities, settings):
    return label_from_prediction(
        photo,
        probabilities,
        from_boxes=None,
        weak=WEAK,
        categories=CATEGORIES,
        settings=settings,
        round_number=1,
    )


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
