"""Average precision tells how well scored segments are found: AP^r at an IoU threshold.

AP^r_vol is its mean over several thresholds. Whoever matches segments, and by which rule, says
what each image contributes; the curves, their means and their resamples are the same for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from wsps.evaluation.class_means import append_means, classes_to_average, ratio

VOC_THRESHOLDS = tuple(tenths / 10 for tenths in range(1, 10))
"""0.1, 0.2, ..., 0.9: AP^r_vol on Pascal VOC."""

CITYSCAPES_THRESHOLDS = tuple(hundredths / 100 for hundredths in range(50, 100, 5))
"""0.50, 0.55, ..., 0.95: AP on Cityscapes (and COCO)."""

THRESHOLDS = {
    "voc": VOC_THRESHOLDS,
    "cityscapes": CITYSCAPES_THRESHOLDS,
    "coco": CITYSCAPES_THRESHOLDS,
}
"""The IoU thresholds that commands and studies call by a name."""

RECALLS: Mapping[str, NDArray[np.float64] | None] = {
    # COCOeval's own numbers: a recall that is equal to one of them must be so to the last digit.
    "101": np.linspace(0, 1, 101),
    "all": None,
}
"""At which recalls precision is averaged, by name: COCO's 0, 0.01, ..., 1, or all there are."""

_RESAMPLES_AT_ONCE = 64
"""A class's predicted segments times this many numbers fit in memory easily."""


@dataclass(frozen=True, kw_only=True)
class MatchedImage:
    """The P predicted segments of one image, matched to the true ones at R IoU thresholds.

    `scores`: (P,); `classes`: (P,) class indices; equal scores take their turns in this order.
    `hits`: (P, R), true on segments that found a true one; `counted`: (P, R), true on these and
    on false positives. `num_truth`: (K,), true segments to find, by class index.
    """

    scores: NDArray[np.float64]
    classes: NDArray[np.intp]
    hits: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    num_truth: NDArray[np.int64]


def rate_name(threshold: float) -> str:
    """Return the name of AP^r at one IoU threshold among the rates of an evaluation: `ap_0.5`."""
    return f"ap_{threshold}"


def precision_rates(
    images: Sequence[MatchedImage],
    draws: NDArray[np.float64],
    categories: CategorySet,
    thresholds: Sequence[float],
    *,
    recalls: str = "all",
    include_background: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Return average precision by name: (N, K + 3), the classes, then their means.

    `ap_vol` is the mean over the thresholds; `rate_name` gives the names at each of them.

    Predicted segments take their turn by falling score, equal scores in order of images, then of
    segments. Precision at a recall is the highest one reached at that recall or a greater (Pascal
    VOC's rule since 2010). AP is the exact area under that curve, or its mean at COCO's recalls.

    Args:
        images: in the order that decides equal scores.
        draws: (N, I), how often each of N resamples has each image; the copies of an image take
            their turns together.
        categories: the dataset's.
        thresholds: IoU in (0, 1] at which the images are matched, at least one.
        recalls: a key of `RECALLS`.
        include_background: whether the background category, in a set that has one, counts in
            the means over all and over stuff; its own score is there either way.
    """
    groups = classes_to_average(categories, include_background=include_background)
    shape = (len(thresholds), len(categories))
    precision = _precision(images, draws, shape, RECALLS[recalls])  # (N, R, K)
    rates = {
        rate_name(threshold): append_means(precision[:, place], groups)
        for place, threshold in enumerate(thresholds)
    }
    # A class without truth is NaN at every threshold, so that a plain mean over them is right.
    return {"ap_vol": np.stack([*rates.values()], axis=-1).mean(axis=-1), **rates}


def _precision(
    images: Sequence[MatchedImage],
    draws: NDArray[np.float64],
    shape: tuple[int, int],
    recalls: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Return the average precision of each resample: (N, R, K), NaN on a class without truth.

    Args:
        images: of the set.
        draws: (N, I).
        shape: R thresholds and K classes.
        recalls: at which precision is averaged; None for all.
    """
    num_resamples, num_images = draws.shape
    area = np.zeros((num_resamples, *shape))
    # NumPy refuses to join the arrays of no image.
    if not num_images:
        return np.full(area.shape, np.nan)
    num_truth = draws @ np.array([image.num_truth for image in images], dtype=np.float64)  # (N, K)
    for class_index, turns in enumerate(_take_turns(images, shape[1])):
        for first in range(0, num_resamples, _RESAMPLES_AT_ONCE):
            some = slice(first, first + _RESAMPLES_AT_ONCE)
            of_turns = np.ascontiguousarray(draws[some].T)[turns.image]  # (P, N)
            truth = num_truth[some, class_index]
            area[some, :, class_index] = _areas_under_curves(turns, of_turns, truth, recalls).T
    length = num_truth if recalls is None else np.where(num_truth > 0, len(recalls), 0.0)
    return ratio(area, np.broadcast_to(length[:, np.newaxis], area.shape))


@dataclass(frozen=True, kw_only=True)
class _Turns:
    """The P predicted segments of a class, in the order of their turns.

    `image`: (P,), places of their images; `hits` and `counted`: (P, R) at each threshold.
    """

    image: NDArray[np.intp]
    hits: NDArray[np.bool_]
    counted: NDArray[np.bool_]


def _take_turns(images: Sequence[MatchedImage], num_classes: int) -> list[_Turns]:
    """Return the turns of each class."""
    hits = np.concatenate([image.hits for image in images])  # (P, R)
    counted = np.concatenate([image.counted for image in images])
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


def _areas_under_curves(
    turns: _Turns,
    times: NDArray[np.float64],
    num_truth: NDArray[np.float64],
    recalls: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """Return the area under the curve of a class: (R, N).

    The recall axis counts true segments, or the recalls at which precision is averaged.

    Args:
        turns: of the class.
        times: (P, N), how often each resample has each of the predicted segments.
        num_truth: (N,), true segments of the class in each resample.
        recalls: at which precision is averaged, rising; None for all.
    """
    areas = []
    for hits, counted in zip(turns.hits.T, turns.counted.T, strict=True):
        num_counted = np.cumsum(times * counted[:, np.newaxis], axis=0)[hits]
        of_hits = times[hits]
        num_found = np.cumsum(of_hits, axis=0)
        # A resample may lack the images of all segments so far: 0 / 0 would make its sum NaN.
        precision = num_found / np.maximum(num_counted, 1)
        best_from_here = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
        # Recall moves by one true segment at every hit and stands still in between.
        width = of_hits
        if recalls is not None:
            # Each recall takes the first hit that reaches it.
            reached = np.searchsorted(recalls, num_found / np.maximum(num_truth, 1), side="right")
            width = np.diff(reached, axis=0, prepend=0)
        areas.append(np.sum(best_from_here * width, axis=0))
    return np.array(areas)
