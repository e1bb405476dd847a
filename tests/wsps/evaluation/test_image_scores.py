from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotools.errors import DatasetError
from annotools.label_maps import class_map
from tests.builders import make_categories, make_label
from tests.wsps.evaluation.one_image import count_image, measure_image, score_image
from tests.wsps.panoptic_files import random_label
from wsps.evaluation.image_scores import count_class_map
from wsps.evaluation.mean_iou import count_pixels
from wsps.evaluation.overlaps import to_runs

CATEGORIES = make_categories(things=("car", "person"), stuff=("other", "road"), background=True)


def assert_same(found, expected):
    for field in fields(expected):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_runs_in_memory_score_as_maps_do(seed):
    generator = np.random.default_rng(seed)
    truth = random_label(generator, CATEGORIES, 1, crowds=True)
    prediction = random_label(generator, CATEGORIES, 1, crowds=False, like=truth)
    scores = {s.segment_id: float(generator.random()) for s in prediction.segments}
    found = measure_image(to_runs(truth), prediction, scores, CATEGORIES)
    assert_same(found.counts, count_image(truth, prediction, CATEGORIES))
    official = count_image(truth, prediction, CATEGORIES, all_groups=False)
    assert_same(found.official_counts, official)
    assert_same(found.scored, score_image(truth, prediction, scores, CATEGORIES))
    true_classes, classes = (class_map(label, CATEGORIES) for label in (truth, prediction))
    pixels = count_pixels(true_classes, classes, len(CATEGORIES), 1)
    assert_same(found.pixels, pixels)
    assert_same(count_class_map(to_runs(truth), classes, CATEGORIES), pixels)


def test_without_scores_there_is_no_average_precision():
    label = make_label([[1, 2]], {1: 10, 2: 30})
    assert measure_image(label, label, None, CATEGORIES).scored is None
    with pytest.raises(DatasetError, match="image 1: segment 2 of the prediction has the score"):
        measure_image(label, label, {1: 1.0}, CATEGORIES)


def test_a_class_map_of_another_size_is_refused():
    label = to_runs(make_label([[1, 2]], {1: 10, 2: 30}))
    with pytest.raises(DatasetError, match="image 1: the prediction has shape"):
        count_class_map(label, np.zeros((2, 1), dtype=np.uint8), CATEGORIES)
