"""How sure a score is, given the images it was measured on: resampling them.

A resample draws as many images as there are, with replacement. Counts of images add up, so those
of all resamples are one product of matrices; for average precision a predicted segment counts as
often as its image. Rates come by name, as in `Measured`: arrays (N, K + 3) of N resamples, NaN
where undefined; columns are the classes in their order, then the means over all, over things and
over stuff.

Source: Efron, Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 (percentile intervals).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.random_streams import stream
from wsps.evaluation.average_precision import (
    ScoredImage,
    rate_name,
    resampled_precision,
)
from wsps.evaluation.class_means import classes_to_average, ratio
from wsps.evaluation.mean_iou import PixelCounts
from wsps.evaluation.panoptic_quality import PanopticCounts

LEVEL = 0.95
"""Share of the resamples that an interval holds."""


def draw_resamples(num_images: int, num_resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how often each resample has each image: (N, I), rows sum to I.

    Predictions of the same images are compared on the same resamples: equal arguments give equal
    draws.
    """
    generator = stream(seed, "bootstrap")
    shares = np.full(num_images, 1 / num_images)
    return generator.multinomial(num_images, shares, size=num_resamples).astype(np.float64)


def resample_quality(
    counts: Sequence[PanopticCounts], resamples: NDArray[np.float64], categories: CategorySet
) -> dict[str, NDArray[np.float64]]:
    """Return the panoptic quality of each resample, as `panoptic_quality` defines it.

    Args:
        counts: of I images.
        resamples: (N, I), how often each has each image.
        categories: the dataset's.
    """
    matches = resamples @ np.array([c.true_positives for c in counts])  # (N, K)
    unmatched = resamples @ np.array([c.false_positives + c.false_negatives for c in counts])
    occurring = matches + unmatched / 2
    iou_sum = resamples @ np.array([c.iou_sum for c in counts])
    sq = ratio(iou_sum, matches)
    sq[(matches == 0) & (occurring > 0)] = 0
    rates = {"pq": ratio(iou_sum, occurring), "sq": sq, "dq": ratio(matches, occurring)}
    groups = classes_to_average(categories, include_background=False)
    return {name: _append_means(values, groups) for name, values in rates.items()}


def resample_iou(
    pixels: Sequence[PixelCounts], resamples: NDArray[np.float64], categories: CategorySet
) -> dict[str, NDArray[np.float64]]:
    """Return the IoU of each resample, as `mean_iou` defines it, background and all.

    Args:
        pixels: of I images.
        resamples: (N, I), how often each has each image.
        categories: the dataset's.
    """
    hits = np.array([np.diag(p.confusion) for p in pixels])  # (I, K)
    sizes = [p.confusion.sum(axis=1) + p.unpredicted + p.confusion.sum(axis=0) for p in pixels]
    iou = ratio(resamples @ hits, resamples @ (np.array(sizes) - hits))
    return {"iou": _append_means(iou, classes_to_average(categories, include_background=True))}


def resample_precision(
    scored: Sequence[ScoredImage],
    resamples: NDArray[np.float64],
    categories: CategorySet,
    thresholds: Sequence[float],
) -> dict[str, NDArray[np.float64]]:
    """Return the average precision of each resample: at each threshold, and the mean over all.

    It is that of `average_precision`, an image drawn twice being there twice; the copies of an
    image take their turns together.

    Args:
        scored: of I images.
        resamples: (N, I), how often each has each image.
        categories: the dataset's.
        thresholds: IoU in (0, 1].
    """
    precision = resampled_precision(scored, resamples, len(categories), thresholds)  # (N, R, K)
    rates = {"ap_vol": precision.mean(axis=1)}
    rates |= {rate_name(t): precision[:, place] for place, t in enumerate(thresholds)}
    groups = classes_to_average(categories, include_background=False)
    return {name: _append_means(values, groups) for name, values in rates.items()}


def interval(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower and upper end of the central `LEVEL` of each column: (2, C).

    Args:
        values: (N, C); resamples where a score is NaN do not count, and a column without any
            other has NaN ends.
    """
    ends = np.full((2, values.shape[1]), np.nan)
    defined = ~np.isnan(values).all(axis=0)
    tail = (1 - LEVEL) / 2
    if defined.any():
        ends[:, defined] = np.nanquantile(values[:, defined], (tail, 1 - tail), axis=0)
    return ends


def _append_means(
    rates: NDArray[np.float64], groups: tuple[list[int], list[int], list[int]]
) -> NDArray[np.float64]:
    """Return (N, K) rates with the mean of the defined ones of each group of classes beside."""
    defined = ~np.isnan(rates)
    filled = np.where(defined, rates, 0.0)
    means = [
        ratio(filled[:, group].sum(axis=1), defined[:, group].sum(axis=1).astype(np.float64))
        for group in groups
    ]
    return np.column_stack([rates, *means])
