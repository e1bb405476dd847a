import numpy as np
import pytest

from tests.builders import make_categories
from tests.wsps.evaluation.one_image import score_image
from tests.wsps.evaluation.score_records import average_precision
from tests.wsps.panoptic_files import random_label
from wsps.evaluation.average_precision import VOC_THRESHOLDS
from wsps.evaluation.image_scores import ScoredMask, score_masks

CATEGORIES = make_categories(things=("car", "person"), stuff=("road",))


@pytest.mark.parametrize("seed", range(5))
def test_masks_that_do_not_overlap_score_as_segments_do(seed):
    generator = np.random.default_rng(seed)
    as_segments, as_masks = [], []
    for image_id in range(4):
        truth = random_label(generator, CATEGORIES, image_id, crowds=True)
        label = random_label(generator, CATEGORIES, image_id, crowds=False, like=truth)
        scores = {s.segment_id: float(generator.random()) for s in label.segments}
        masks = [
            ScoredMask(
                category_id=s.category_id,
                score=scores[s.segment_id],
                mask=label.segment_map == s.segment_id,
            )
            for s in label.segments
            if CATEGORIES.by_id(s.category_id).is_thing
        ]
        as_segments.append(score_image(truth, label, scores, CATEGORIES))
        as_masks.append(score_masks(truth, masks, CATEGORIES))
    one = average_precision(as_segments, CATEGORIES, VOC_THRESHOLDS)
    other = average_precision(as_masks, CATEGORIES, VOC_THRESHOLDS)
    np.testing.assert_array_equal(one.at_threshold[:, 1:], other.at_threshold[:, 1:])
    assert np.isnan(other.volume[0])
    assert other.all.volume == one.things.volume
