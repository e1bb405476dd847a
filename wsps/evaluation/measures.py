"""The scores of a set of images, by name, from what each contributes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from wsps.evaluation.average_precision import ScoredImage, average_precision, rate_name
from wsps.evaluation.bootstrap import (
    resample_iou,
    resample_precision,
    resample_quality,
)
from wsps.evaluation.class_means import classes_to_average, mean_of_defined
from wsps.evaluation.image_scores import ImageScores, PredictionScores
from wsps.evaluation.mean_iou import PixelCounts, mean_iou
from wsps.evaluation.panoptic_quality import PanopticCounts, panoptic_quality

METRICS = ("pq", "ap", "miou")
"""Panoptic quality with its parts and counts, average precision, mean IoU."""


@dataclass(frozen=True, kw_only=True)
class CrowdEffect:
    """How many PQ, SQ and DQ are others with the reference's crowd rule, and by how much at most.

    Those of classes and of means count alike. The reference implementation honours one crowd of
    each category and image.
    """

    num_scores: int
    most: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Rates by name, arrays (K + 3,), and counts likewise: classes, then the three means."""

    rates: Mapping[str, NDArray[np.float64]]
    counts: Mapping[str, NDArray[np.int64]]


def measure(
    images: Sequence[ImageScores],
    categories: CategorySet,
    metrics: Sequence[str],
    thresholds: Sequence[float],
    *,
    all_groups: bool,
) -> Measured:
    """Return the scores of a set of images.

    Args:
        images: at least one; what `metrics` need is measured of each.
        categories: the dataset's.
        metrics: of `METRICS`.
        thresholds: IoU in (0, 1] of average precision.
        all_groups: false for the reference's rule of one crowd of each category and image.
    """
    rates: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, NDArray[np.int64]] = {}
    if "pq" in metrics:
        total = total_counts(images, categories, all_groups=all_groups)
        rates |= _panoptic_rates(total, categories)
        counts |= _panoptic_counts(total, categories)
    if "ap" in metrics:
        rates |= _precision_rates(_scored(images), categories, thresholds)
    if "miou" in metrics:
        iou = mean_iou(sum(_pixels(images), PixelCounts.zero(len(categories)))).iou
        groups = classes_to_average(categories, include_background=True)
        rates["iou"] = np.array([*iou, *(mean_of_defined(iou[group]) for group in groups)])
    return Measured(rates=rates, counts=counts)


def total_counts(
    images: Sequence[ImageScores], categories: CategorySet, *, all_groups: bool
) -> PanopticCounts:
    """Return the panoptic counts of all images together."""
    return sum(_counts(images, all_groups), PanopticCounts.zero(len(categories)))


def crowd_effect(sides: Sequence[PredictionScores]) -> CrowdEffect:
    """Return what the reference's crowd rule changes in the scores of all these predictions.

    It changes nothing where no segments are counted. A score that one rule leaves undefined
    differs, by no known amount.
    """
    changes = [_crowd_changes(s) for s in sides if all(i.counts is not None for i in s.images)]
    found = np.concatenate([np.empty(0), *changes])
    return CrowdEffect(num_scores=found.size, most=float(np.nan_to_num(found).max(initial=0)))


def resample(
    images: Sequence[ImageScores],
    categories: CategorySet,
    metrics: Sequence[str],
    thresholds: Sequence[float],
    draws: NDArray[np.float64],
    *,
    all_groups: bool,
) -> dict[str, NDArray[np.float64]]:
    """Return the rates of resamples of the images by name, arrays (N, K + 3) as in `Measured`.

    Args:
        images: I, at least one; what `metrics` need is measured of each.
        categories: the dataset's.
        metrics: of `METRICS`.
        thresholds: IoU in (0, 1] of average precision.
        draws: (N, I), how often each resample has each image.
        all_groups: false for the reference's rule of one crowd of each category and image.
    """
    rates: dict[str, NDArray[np.float64]] = {}
    if "pq" in metrics:
        rates |= resample_quality(_counts(images, all_groups), draws, categories)
    if "ap" in metrics:
        rates |= resample_precision(_scored(images), draws, categories, thresholds)
    if "miou" in metrics:
        rates |= resample_iou(_pixels(images), draws, categories)
    return rates


def _counts(images: Sequence[ImageScores], all_groups: bool) -> list[PanopticCounts]:
    assert all(image.counts is not None for image in images)
    counts = (image.counts if all_groups else image.official_counts for image in images)
    return [c for c in counts if c is not None]


def _crowd_changes(side: PredictionScores) -> NDArray[np.float64]:
    """Return by how much each score that the rules of crowds give differently differs."""
    ours, official = (
        _panoptic_rates(
            total_counts(side.images, side.categories, all_groups=rule), side.categories
        )
        for rule in (True, False)
    )
    one, other = np.concatenate([*ours.values()]), np.concatenate([*official.values()])
    differs = ~np.isclose(one, other, rtol=0, atol=0, equal_nan=True)
    return np.asarray(np.abs(one - other)[differs])


def _scored(images: Sequence[ImageScores]) -> list[ScoredImage]:
    assert all(image.scored is not None for image in images)
    return [image.scored for image in images if image.scored is not None]


def _pixels(images: Sequence[ImageScores]) -> list[PixelCounts]:
    assert all(image.pixels is not None for image in images)
    return [image.pixels for image in images if image.pixels is not None]


def _precision_rates(
    scored: Sequence[ScoredImage], categories: CategorySet, thresholds: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    precision = average_precision(scored, categories, thresholds)
    means = (precision.all, precision.things, precision.stuff)
    rates = {"ap_vol": np.array([*precision.volume, *(mean.volume for mean in means)])}
    for place, threshold in enumerate(thresholds):
        of_means = (mean.at_threshold[place] for mean in means)
        rates[rate_name(threshold)] = np.array([*precision.at_threshold[place], *of_means])
    return rates


def _panoptic_rates(
    total: PanopticCounts, categories: CategorySet
) -> dict[str, NDArray[np.float64]]:
    quality = panoptic_quality(total, categories)
    means = (quality.all, quality.things, quality.stuff)
    return {
        "pq": np.array([*quality.pq, *(mean.pq for mean in means)]),
        "sq": np.array([*quality.sq, *(mean.sq for mean in means)]),
        "dq": np.array([*quality.dq, *(mean.dq for mean in means)]),
    }


def _panoptic_counts(
    total: PanopticCounts, categories: CategorySet
) -> dict[str, NDArray[np.int64]]:
    groups = classes_to_average(categories, include_background=False)
    of_class = {
        "tp": total.true_positives,
        "fp": total.false_positives,
        "fn": total.false_negatives,
    }
    return {
        name: np.array([*numbers, *(numbers[group].sum() for group in groups)])
        for name, numbers in of_class.items()
    }
