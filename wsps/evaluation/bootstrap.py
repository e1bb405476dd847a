"""How sure a score is, given the images it was measured on: resampling them.

A resample draws as many images as there are, with replacement. What images contribute adds up,
so all resamples are one product of matrices.

Source: Efron, Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 (percentile intervals).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.random_streams import stream
from wsps.evaluation.class_means import classes_to_average, ratio
from wsps.evaluation.mean_iou import PixelCounts
from wsps.evaluation.panoptic_quality import PanopticCounts

LEVEL = 0.95
"""Share of the resamples that an interval holds."""


@dataclass(frozen=True, kw_only=True)
class StackedCounts:
    """What each of I images contributes to each class: arrays (I, K), numbers or pixels."""

    iou_sum: NDArray[np.float64]
    true_positives: NDArray[np.float64]
    false_positives: NDArray[np.float64]
    false_negatives: NDArray[np.float64]
    hit_pixels: NDArray[np.float64]
    union_pixels: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ResampledRates:
    """Scores in [0, 1] of N resamples: arrays (N, K + 3), NaN where undefined.

    Columns are the classes in their order, then the means over all, over things and over stuff.
    """

    pq: NDArray[np.float64]
    sq: NDArray[np.float64]
    dq: NDArray[np.float64]
    iou: NDArray[np.float64]


def stack_counts(counts: Sequence[PanopticCounts], pixels: Sequence[PixelCounts]) -> StackedCounts:
    """Return the counts of I images, at least one, as arrays."""
    hits = np.array([np.diag(p.confusion) for p in pixels], dtype=np.float64)  # (I, K)
    sizes = [p.confusion.sum(axis=1) + p.unpredicted + p.confusion.sum(axis=0) for p in pixels]
    return StackedCounts(
        iou_sum=np.array([c.iou_sum for c in counts], dtype=np.float64),
        true_positives=np.array([c.true_positives for c in counts], dtype=np.float64),
        false_positives=np.array([c.false_positives for c in counts], dtype=np.float64),
        false_negatives=np.array([c.false_negatives for c in counts], dtype=np.float64),
        hit_pixels=hits,
        union_pixels=np.array(sizes, dtype=np.float64) - hits,
    )


def draw_resamples(num_images: int, num_resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how often each resample has each image: (N, I), rows sum to I.

    Predictions of the same images are compared on the same resamples: equal arguments give equal
    draws.
    """
    generator = stream(seed, "bootstrap")
    shares = np.full(num_images, 1 / num_images)
    return generator.multinomial(num_images, shares, size=num_resamples).astype(np.float64)


def resample_rates(
    stacked: StackedCounts, resamples: NDArray[np.float64], categories: CategorySet
) -> ResampledRates:
    """Return the scores of each resample, as `panoptic_quality` and `mean_iou` define them.

    Means of panoptic quality leave the background out, those of IoU do not.

    Args:
        stacked: of I images.
        resamples: (N, I), how often each has each image.
        categories: the dataset's.
    """
    matches = resamples @ stacked.true_positives  # (N, K)
    unmatched = resamples @ (stacked.false_positives + stacked.false_negatives)
    occurring = matches + unmatched / 2
    iou_sum = resamples @ stacked.iou_sum
    sq = ratio(iou_sum, matches)
    sq[(matches == 0) & (occurring > 0)] = 0
    iou = ratio(resamples @ stacked.hit_pixels, resamples @ stacked.union_pixels)

    foreground = classes_to_average(categories, include_background=False)
    everything = classes_to_average(categories, include_background=True)
    return ResampledRates(
        pq=_append_means(ratio(iou_sum, occurring), foreground),
        sq=_append_means(sq, foreground),
        dq=_append_means(ratio(matches, occurring), foreground),
        iou=_append_means(iou, everything),
    )


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
