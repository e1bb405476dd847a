"""Average precision tells how well scored segments are found: AP^r at an IoU threshold.

AP^r_vol is its mean over several thresholds. Each image is measured by itself; the score, at any
thresholds, is computed from the list of what the images contribute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from wsps.evaluation.class_means import append_means, classes_to_average, ratio
from wsps.evaluation.overlaps import AnyLabel, Overlaps

VOC_THRESHOLDS = tuple(tenths / 10 for tenths in range(1, 10))
"""0.1, 0.2, ..., 0.9: AP^r_vol on Pascal VOC."""

CITYSCAPES_THRESHOLDS = tuple(hundredths / 100 for hundredths in range(50, 100, 5))
"""0.50, 0.55, ..., 0.95: AP on Cityscapes (and COCO)."""

THRESHOLDS = {"voc": VOC_THRESHOLDS, "cityscapes": CITYSCAPES_THRESHOLDS}
"""The IoU thresholds that commands and studies call by a name."""

_RESAMPLES_AT_ONCE = 64
"""A class's predicted segments times this many numbers fit in memory easily."""


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


def rate_name(threshold: float) -> str:
    """Return the name of AP^r at one IoU threshold among the rates of an evaluation: `ap_0.5`."""
    return f"ap_{threshold}"


def precision_rates(
    images: Sequence[ScoredImage],
    draws: NDArray[np.float64],
    categories: CategorySet,
    thresholds: Sequence[float],
    *,
    include_background: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Return average precision by name: (N, K + 3), the classes, then their means.

    `ap_vol` is the mean over the thresholds; `rate_name` gives the names at each of them.

    Predicted segments take their turn by falling score, equal scores in order of images, then of
    segments. Each is matched to the true segment of its image and class that has the highest IoU
    of those not matched yet, if that IoU reaches the threshold; of equal IoU, the one whose first
    shared pixel comes first in reading order. An unmatched one is a false positive, but is left
    out when more than half of it is in void or in groups of its own category. True groups are
    neither matched nor missed.

    AP is the exact area under the interpolated precision-recall curve: precision at a recall is
    the highest one reached at that recall or a greater (Pascal VOC's rule since 2010; COCO
    samples the same curve at 101 recalls).

    Args:
        images: what `score_segments` measured, in the order that decides equal scores.
        draws: (N, I), how often each of N resamples has each image; the copies of an image take
            their turns together.
        categories: the dataset's.
        thresholds: IoU in (0, 1], at least one, such as those of `THRESHOLDS`.
        include_background: whether the background category, in a set that has one, counts in
            the means over all and over stuff; its own score is there either way.
    """
    groups = classes_to_average(categories, include_background=include_background)
    precision = _precision(images, draws, len(categories), np.array(thresholds))  # (N, R, K)
    rates = {
        rate_name(threshold): append_means(precision[:, place], groups)
        for place, threshold in enumerate(thresholds)
    }
    # A class without truth is NaN at every threshold, so that a plain mean over them is right.
    return {"ap_vol": np.stack([*rates.values()], axis=-1).mean(axis=-1), **rates}


def _checked_scores(prediction: AnyLabel, scores: Mapping[int, float]) -> NDArray[np.float64]:
    for segment in prediction.segments:
        score = scores.get(segment.segment_id)
        if score is None or not 0 <= score <= 1:
            raise DatasetError(
                f"image {prediction.image_id}: segment {segment.segment_id} of the prediction has "
                f"the score {score}: give each segment one in [0, 1]"
            )
    return np.array([scores[s.segment_id] for s in prediction.segments], dtype=np.float64)


def _precision(
    images: Sequence[ScoredImage],
    draws: NDArray[np.float64],
    num_classes: int,
    thresholds: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the average precision of each resample: (N, R, K), NaN on a class without truth."""
    num_resamples, num_images = draws.shape
    area = np.zeros((num_resamples, len(thresholds), num_classes))
    # NumPy refuses to join the arrays of no image.
    if not num_images:
        return np.full(area.shape, np.nan)
    for class_index, turns in enumerate(_take_turns(images, thresholds, num_classes)):
        for first in range(0, num_resamples, _RESAMPLES_AT_ONCE):
            some = slice(first, first + _RESAMPLES_AT_ONCE)
            of_turns = np.ascontiguousarray(draws[some].T)[turns.image]  # (P, N)
            area[some, :, class_index] = _areas_under_curves(turns, of_turns).T
    num_truth = draws @ np.array([image.num_truth for image in images], dtype=np.float64)  # (N, K)
    return ratio(area, np.broadcast_to(num_truth[:, np.newaxis], area.shape))


@dataclass(frozen=True, kw_only=True)
class _Turns:
    """The P predicted segments of a class, in the order of their turns.

    `image`: (P,), places of their images; `hits` and `counted`: (P, R) at each threshold.
    """

    image: NDArray[np.intp]
    hits: NDArray[np.bool_]
    counted: NDArray[np.bool_]


def _take_turns(
    images: Sequence[ScoredImage], thresholds: NDArray[np.float64], num_classes: int
) -> list[_Turns]:
    """Return the turns of each class."""
    hits = np.concatenate([_match(image, thresholds) for image in images])  # (P, R)
    may_ignore = np.concatenate([image.may_ignore for image in images])
    # A match counts wherever it lies: only unmatched segments can be left out.
    counted = hits | ~may_ignore[:, np.newaxis]
    classes = np.concatenate([image.classes for image in images])
    scores = np.concatenate([image.scores for image in images])
    image_of = np.repeat(np.arange(len(images)), [len(image.scores) for image in images])
    # One sort serves all classes; stable, so that equal scores keep the order of the images.
    by_score = np.argsort(-scores, kind="stable")
    found = []
    for class_index in range(num_classes):
        turns = by_score[classes[by_score] == class_index]
        found.append(_Turns(image=image_of[turns], hits=hits[turns], counted=counted[turns]))
    return found


def _areas_under_curves(turns: _Turns, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area under the curve of a class, whose recall axis counts true segments: (R, N).

    Args:
        turns: of the class.
        times: (P, N), how often each resample has each of the predicted segments.
    """
    areas = []
    for hits, counted in zip(turns.hits.T, turns.counted.T, strict=True):
        num_counted = np.cumsum(times * counted[:, np.newaxis], axis=0)[hits]
        of_hits = times[hits]
        # A resample may lack the images of all segments so far: 0 / 0 would make its sum NaN.
        precision = np.cumsum(of_hits, axis=0) / np.maximum(num_counted, 1)
        best_from_here = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        # Recall moves by one true segment at every hit and stands still in between.
        areas.append(np.sum(best_from_here * of_hits, axis=0))
    return np.array(areas)


def _match(image: ScoredImage, thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
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
