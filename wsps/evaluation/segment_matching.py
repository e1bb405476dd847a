"""Predicted segments, which do not overlap, are matched to true ones for average precision.

Each image is measured by itself; what it contributes is matched at any thresholds later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.errors import DatasetError
from wsps.evaluation.average_precision import MatchedImage
from wsps.evaluation.overlaps import AnyLabel, Overlaps


@dataclass(frozen=True, kw_only=True)
class ScoredImage:
    """The P predicted segments of one image and the true ones they may be matched to.

    `scores`: (P,) in [0, 1]; `classes`: (P,) class indices; `may_ignore`: (P,), true on segments
    that are left out, instead of being false positives, when unmatched.
    `pair_prediction`, `pair_truth`, `pair_iou`: (M,), one entry for each predicted segment and
    true segment of its class that overlap, best IoU first; numbers are places in the image.
    `num_truth`: (K,), true segments by class index, groups left out.
    """

    scores: NDArray[np.float64]
    classes: NDArray[np.intp]
    may_ignore: NDArray[np.bool_]
    pair_prediction: NDArray[np.intp]
    pair_truth: NDArray[np.intp]
    pair_iou: NDArray[np.float64]
    num_truth: NDArray[np.int64]


def score_segments(
    overlaps: Overlaps,
    prediction: AnyLabel,
    scores: Mapping[int, float],
    num_classes: int,
) -> ScoredImage:
    """Measure what one image contributes to average precision.

    Every stuff segment counts as one instance. IoU leaves out the pixels that are void in the
    truth, as in panoptic quality.

    Args:
        overlaps: of the truth and this prediction.
        prediction: of the image.
        scores: confidence in [0, 1] by predicted segment id.
        num_classes: K.

    Raises:
        DatasetError: when a predicted segment has no score in [0, 1].
    """
    is_instance = ~overlaps.truth_is_group
    matchable = np.flatnonzero(overlaps.same_class() & is_instance[overlaps.pair_truth])
    iou = overlaps.pair_pixels[matchable] / overlaps.unions()[matchable]
    # Stable, so that of equal IoU the pair that comes first in reading order stays first.
    best_first = np.argsort(-iou, kind="stable")
    pairs = matchable[best_first]
    return ScoredImage(
        scores=_checked_scores(prediction, scores),
        classes=overlaps.prediction_classes,
        may_ignore=overlaps.mostly_unscored(overlaps.truth_is_group),
        pair_prediction=overlaps.pair_prediction[pairs],
        pair_truth=overlaps.pair_truth[pairs],
        pair_iou=iou[best_first],
        num_truth=np.bincount(overlaps.truth_classes[is_instance], minlength=num_classes),
    )


def match_segments(image: ScoredImage, thresholds: Sequence[float]) -> MatchedImage:
    """Match the predicted segments of one image at each threshold.

    They take their turns by falling score, equal scores in their order. Each is matched to the
    true segment of its class that has the highest IoU of those not matched yet, if that IoU
    reaches the threshold; of equal IoU, the one whose first shared pixel comes first in reading
    order. An unmatched one is a false positive, but is left out when more than half of it is in
    void or in groups of its own category. True groups are neither matched nor missed.

    Args:
        image: what `score_segments` measured.
        thresholds: IoU in (0, 1], at least one.
    """
    hits = _find_hits(image, np.array(thresholds))
    return MatchedImage(
        scores=image.scores,
        classes=image.classes,
        hits=hits,
        # A match counts wherever it lies: only unmatched segments can be left out.
        counted=hits | ~image.may_ignore[:, np.newaxis],
        num_truth=image.num_truth,
    )


def _checked_scores(prediction: AnyLabel, scores: Mapping[int, float]) -> NDArray[np.float64]:
    for segment in prediction.segments:
        score = scores.get(segment.segment_id)
        if score is None or not 0 <= score <= 1:
            raise DatasetError(
                f"image {prediction.image_id}: segment {segment.segment_id} of the prediction has "
                f"the score {score}: give each segment one in [0, 1]"
            )
    return np.array([scores[s.segment_id] for s in prediction.segments], dtype=np.float64)


def _find_hits(image: ScoredImage, thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which predicted segments find a true one at each threshold: (P, R)."""
    hits = np.zeros((len(image.scores), len(thresholds)), dtype=bool)
    taken = np.zeros((int(image.pair_truth.max(initial=-1)) + 1, len(thresholds)), dtype=bool)
    # Each threshold is a matching of its own: a truth may be taken at one and free at another.
    for place in np.argsort(-image.scores, kind="stable"):
        pairs = np.flatnonzero(image.pair_prediction == place)
        if not pairs.size:
            continue
        candidates = image.pair_truth[pairs]  # best IoU first, so the first free one is it
        free = (image.pair_iou[pairs, np.newaxis] >= thresholds) & ~taken[candidates]  # (n, R)
        hit = free.any(axis=0)
        taken[candidates[free.argmax(axis=0)[hit]], hit] = True
        hits[place] = hit
    return hits
