from dataclasses import replace

import numpy as np
import pytest

from annotools.label_maps import class_map
from tests.builders import make_categories
from tests.wsps.evaluation.one_image import count_image, score_image
from tests.wsps.evaluation.score_records import average_precision, mean_iou, panoptic_quality
from tests.wsps.panoptic_files import random_label
from wsps.evaluation.average_precision import CITYSCAPES_THRESHOLDS, precision_rates
from wsps.evaluation.mean_iou import PixelCounts, count_pixels
from wsps.evaluation.panoptic_quality import PanopticCounts
from wsps.evaluation.rates import (
    draw_resamples,
    interval,
    resample_iou,
    resample_quality,
)
from wsps.evaluation.segment_matching import match_segments

CATEGORIES = make_categories(things=("car", "person"), stuff=("other", "road"), background=True)
NUM_IMAGES = 6


def measured_images(seed=3):
    generator = np.random.default_rng(seed)
    counts, pixels, scored = [], [], []
    for image_id in range(NUM_IMAGES):
        truth = random_label(generator, CATEGORIES, image_id, crowds=True)
        prediction = random_label(generator, CATEGORIES, image_id, crowds=False, like=truth)
        counts.append(count_image(truth, prediction, CATEGORIES))
        maps = (class_map(label, CATEGORIES) for label in (truth, prediction))
        pixels.append(count_pixels(*maps, len(CATEGORIES), image_id))
        # No two images have a score in common, as which of them is first would then matter.
        scores = (generator.integers(1, 5, len(prediction.segments)) + image_id / 10) / 6
        score_of = {s.segment_id: scores[i] for i, s in enumerate(prediction.segments)}
        scored.append(score_image(truth, prediction, score_of, CATEGORIES))
    return counts, pixels, scored


def test_a_resample_scores_as_its_images_do_one_by_one():
    counts, pixels, _ = measured_images()
    resamples = draw_resamples(NUM_IMAGES, 20, seed=0)
    rates = resample_quality(counts, resamples, CATEGORIES)
    (iou_of_resamples,) = resample_iou(pixels, resamples, CATEGORIES).values()
    for number, times in enumerate(resamples.astype(int)):
        drawn = np.repeat(np.arange(NUM_IMAGES), times)
        total = sum((counts[i] for i in drawn), PanopticCounts.zero(4))
        quality = panoptic_quality(total, CATEGORIES)
        for name in ("pq", "sq", "dq"):
            means = [getattr(m, name) for m in (quality.all, quality.things, quality.stuff)]
            expected = [*getattr(quality, name), *means]
            np.testing.assert_allclose(rates[name][number], expected, atol=1e-12)
        iou = mean_iou(sum((pixels[i] for i in drawn), PixelCounts.zero(4)))
        expected = [*iou.iou, iou.mean]
        np.testing.assert_allclose(iou_of_resamples[number, :5], expected, atol=1e-12)


def without_ties(image):
    """The same order of turns within an image, now one also across copies of it."""
    return replace(image, scores=image.scores - 1e-6 * np.arange(len(image.scores)))


@pytest.mark.parametrize("recalls", ["all", "101"])
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_of_a_resample_is_that_of_its_images_with_copies(seed, recalls):
    _, _, scored = measured_images(seed)
    resamples = draw_resamples(NUM_IMAGES, 70, seed)
    matched = [match_segments(image, CITYSCAPES_THRESHOLDS) for image in scored]
    options = (CATEGORIES, CITYSCAPES_THRESHOLDS)
    rates = precision_rates(matched, resamples, *options, recalls=recalls)
    found = rates["ap_vol"]
    assert len(np.unique(found[:, 4].round(3))) > 20
    for number, times in enumerate(resamples.astype(int)):
        drawn = [scored[i] for i in np.repeat(np.arange(NUM_IMAGES), times)]
        precision = average_precision([without_ties(i) for i in drawn], *options, recalls=recalls)
        means = [m.volume for m in (precision.all, precision.things, precision.stuff)]
        np.testing.assert_allclose(found[number], [*precision.volume, *means], atol=1e-12)
        means = [m.at_threshold[5] for m in (precision.all, precision.things, precision.stuff)]
        expected = [*precision.at_threshold[5], *means]
        np.testing.assert_allclose(rates["ap_0.75"][number], expected, atol=1e-12)


def test_what_never_occurs_is_undefined_and_left_out_of_means():
    nothing = PanopticCounts.zero(4)
    found = PanopticCounts(
        iou_sum=np.array([0, 0.75, 0, 0]),
        true_positives=np.array([0, 1, 0, 0]),
        false_positives=np.array([0, 0, 1, 0]),
        false_negatives=np.zeros(4, dtype=np.int64),
    )
    draws = np.array([[2.0, 0.0], [1.0, 1.0]])
    rates = resample_quality([nothing, found], draws, CATEGORIES)
    np.testing.assert_array_equal(rates["pq"][0], np.full(7, np.nan))
    np.testing.assert_array_equal(rates["pq"][1], [np.nan, 0.75, 0, np.nan, 0.375, 0, 0.75])
    np.testing.assert_array_equal(rates["sq"][1], [np.nan, 0.75, 0, np.nan, 0.375, 0, 0.75])
    assert np.isnan(resample_iou([PixelCounts.zero(4)] * 2, draws, CATEGORIES)["iou"]).all()


def test_a_resample_has_as_many_images_and_follows_the_seed():
    draws = draw_resamples(7, 50, seed=1)
    assert draws.shape == (50, 7)
    assert (draws.sum(axis=1) == 7).all()
    assert len(np.unique(draws, axis=0)) > 40
    np.testing.assert_array_equal(draws, draw_resamples(7, 50, seed=1))
    assert (draws != draw_resamples(7, 50, seed=2)).any()


def test_an_interval_holds_the_middle_of_the_defined_values():
    column = np.arange(41) / 40
    holes = np.where(np.arange(41) % 2 == 0, column, np.nan)
    ends = interval(np.column_stack([column, holes, np.full(41, np.nan)]))
    np.testing.assert_allclose(ends[:, 0], [1 / 40, 39 / 40])
    np.testing.assert_allclose(ends[:, 1], [1 / 40, 39 / 40])
    assert np.isnan(ends[:, 2]).all()
