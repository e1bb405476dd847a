"""What one image contributes to a score, from its two labels in one line."""

from collections.abc import Mapping

from annotools.categories import CategorySet
from wsps.evaluation.image_scores import ImageScores, score_overlaps
from wsps.evaluation.overlaps import AnyLabel, measure_overlaps
from wsps.evaluation.panoptic_quality import PanopticCounts, count_segments
from wsps.evaluation.segment_matching import ScoredImage, score_segments


def count_image(
    truth: AnyLabel, prediction: AnyLabel, categories: CategorySet, *, all_groups: bool = True
) -> PanopticCounts:
    overlaps = measure_overlaps(truth, prediction, categories)
    return count_segments(overlaps, len(categories), all_groups=all_groups)


def score_image(
    truth: AnyLabel, prediction: AnyLabel, scores: Mapping[int, float], categories: CategorySet
) -> ScoredImage:
    overlaps = measure_overlaps(truth, prediction, categories)
    return score_segments(overlaps, prediction, scores, len(categories))


def measure_image(
    truth: AnyLabel,
    prediction: AnyLabel,
    scores: Mapping[int, float] | None,
    categories: CategorySet,
) -> ImageScores:
    overlaps = measure_overlaps(truth, prediction, categories)
    return score_overlaps(overlaps, prediction, scores, len(categories))
