"""The rates of a set of images, and how sure they are, come from what each image contributes.

Each rate has one formula, in the module of its metric. It works on sums over images: over each
image once for a score, and over the images of many resamples for its interval. A resample draws as
many images as there are, with replacement. Counts of images add up, so those of all resamples are
one product of matrices; for average precision a predicted segment counts as often as its image.

Source: Efron, Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 (percentile intervals).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.random_streams import stream
from wsps.evaluation.average_precision import precision_rates
from wsps.evaluation.class_means import classes_to_average
from wsps.evaluation.coco_matching import area_rates
from wsps.evaluation.image_scores import ImageScores, PredictionScores
from wsps.evaluation.mean_iou import PixelCounts, iou_rates
from wsps.evaluation.panoptic_quality import PanopticCounts, quality_rates
from wsps.evaluation.segment_matching import match_segments

METRICS = ("pq", "ap", "miou")
"""Panoptic quality with its parts and counts, average precision, mean IoU."""

LEVEL = 0.95
"""Share of the resamples that an interval holds."""

Rates = dict[str, NDArray[np.float64]]
"""Rates in [0, 1] by name, NaN where undefined: (K + 3,) of a set of images, (N, K + 3) of N
resamples. The columns are the classes, then the means over all, over things and over stuff."""


@dataclass(frozen=True, kw_only=True)
class CrowdEffect:
    """How many PQ, SQ and DQ the reference's crowd rule changes, and by how much at most.

    Those of classes and of means count alike. The reference implementation honours one crowd of
    each category and image.
    """

    num_scores: int
    most: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The scores of a set of images: rates, and counts that have the same K + 3 columns.

    `resampled` has the rates of N resamples, (N, K + 3), and is empty without resamples.
    """

    rates: Rates
    counts: Mapping[str, NDArray[np.int64]]
    resampled: Rates


def measure(
    images: Sequence[ImageScores],
    categories: CategorySet,
    metrics: Sequence[str],
    thresholds: Sequence[float],
    *,
    all_groups: bool,
    recalls: str = "all",
    draws: NDArray[np.float64] | None = None,
) -> Measured:
    """Return the scores of a set of images, and those of resamples of it.

    Args:
        images: at least one; what `metrics` need is measured of each.
        categories: the dataset's.
        metrics: of `METRICS`.
        thresholds: IoU in (0, 1] of average precision; masks are matched at these.
        all_groups: false for the reference's rule of one crowd of each category and image.
        recalls: a key of `RECALLS`.
        draws: (N, I), how often each resample has each image; None for no resamples.
    """
    wanted = (images, categories, metrics, thresholds, recalls, all_groups)
    once = _rates(*wanted, np.ones((1, len(images))))
    return Measured(
        rates={name: of_images for name, (of_images,) in once.items()},
        counts=_segment_counts(images, categories, all_groups) if "pq" in metrics else {},
        resampled={} if draws is None else _rates(*wanted, draws),
    )


def difference(first: Measured, second: Measured) -> Measured:
    """Return second minus first, without counts; both have the same resamples."""
    return Measured(
        rates={name: second.rates[name] - rates for name, rates in first.rates.items()},
        counts={},
        resampled={name: second.resampled[name] - rates for name, rates in first.resampled.items()},
    )


def resample_quality(
    counts: Sequence[PanopticCounts], draws: NDArray[np.float64], categories: CategorySet
) -> Rates:
    """Return PQ, SQ and DQ of each resample.

    Args:
        counts: of I images.
        draws: (N, I), how often each resample has each image.
        categories: the dataset's.
    """
    return quality_rates(
        _sums([c.iou_sum for c in counts], draws),
        _sums([c.true_positives for c in counts], draws),
        _sums([c.unmatched() for c in counts], draws),
        categories,
    )


def resample_iou(
    pixels: Sequence[PixelCounts], draws: NDArray[np.float64], categories: CategorySet
) -> Rates:
    """Return the IoU of each resample; the background counts in the means.

    Args:
        pixels: of I images.
        draws: (N, I), how often each resample has each image.
        categories: the dataset's.
    """
    hits, sizes = (
        _sums([p.hits() for p in pixels], draws),
        _sums([p.sizes() for p in pixels], draws),
    )
    return iou_rates(hits, sizes, classes_to_average(categories, include_background=True))


def crowd_effect(sides: Sequence[PredictionScores]) -> CrowdEffect:
    """Return how the reference's crowd rule changes the scores of these predictions.

    It changes nothing where no segments are counted. A score that one rule leaves undefined
    differs, by no known amount.
    """
    changes = [_crowd_changes(s) for s in sides if all(i.counts is not None for i in s.images)]
    # NumPy refuses to join no arrays, which there are where no segments are counted.
    found = np.concatenate([np.empty(0), *changes])
    return CrowdEffect(num_scores=found.size, most=float(np.nan_to_num(found).max(initial=0)))


def draw_resamples(num_images: int, num_resamples: int, seed: int) -> NDArray[np.float64]:
    """Return how often each resample has each image: (N, I), rows sum to I.

    Predictions of the same images are compared on the same resamples: equal arguments give equal
    draws.
    """
    generator = stream(seed, "bootstrap")
    # Only the counts of a draw with replacement matter, and these are multinomial.
    shares = np.full(num_images, 1 / num_images)
    return generator.multinomial(num_images, shares, size=num_resamples).astype(np.float64)


def interval(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower and upper end of the central `LEVEL` of each column: (2, C).

    Args:
        values: (N, C); resamples where a score is NaN do not count, and a column without any
            other has NaN ends.
    """
    ends = np.full((2, values.shape[1]), np.nan)
    # nanquantile warns about a column without any number, so it does not get to see one.
    defined = ~np.isnan(values).all(axis=0)
    tail = (1 - LEVEL) / 2
    if defined.any():
        ends[:, defined] = np.nanquantile(values[:, defined], (tail, 1 - tail), axis=0)
    return ends


def _rates(
    images: Sequence[ImageScores],
    categories: CategorySet,
    metrics: Sequence[str],
    thresholds: Sequence[float],
    recalls: str,
    all_groups: bool,
    draws: NDArray[np.float64],
) -> Rates:
    rates: Rates = {}
    if "pq" in metrics:
        rates |= resample_quality(_counts(images, all_groups), draws, categories)
    if "ap" in metrics:
        rates |= _precision_rates(images, categories, thresholds, recalls, draws)
    if "miou" in metrics:
        pixels = [image.pixels for image in images if image.pixels is not None]
        assert len(pixels) == len(images)
        rates |= resample_iou(pixels, draws, categories)
    return rates


def _precision_rates(
    images: Sequence[ImageScores],
    categories: CategorySet,
    thresholds: Sequence[float],
    recalls: str,
    draws: NDArray[np.float64],
) -> Rates:
    masks = [image.matched for image in images if image.matched is not None]
    if masks:
        assert len(masks) == len(images)
        return area_rates(masks, draws, categories, thresholds, recalls)
    scored = [image.scored for image in images if image.scored is not None]
    assert len(scored) == len(images)
    segments = [match_segments(image, thresholds) for image in scored]
    return precision_rates(segments, draws, categories, thresholds, recalls=recalls)


def _counts(images: Sequence[ImageScores], all_groups: bool) -> list[PanopticCounts]:
    assert all(image.counts is not None for image in images)
    counts = (image.counts if all_groups else image.official_counts for image in images)
    return [c for c in counts if c is not None]


def _sums(values: Sequence[NDArray[Any]], draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over the images of each resample, (N, K), of I arrays (K,)."""
    of_images = np.array(values, dtype=np.float64)  # (I, K)
    if len(draws) > 1:
        return draws @ of_images
    # One after the other: the last digit of a matrix product depends on the machine.
    return np.cumsum(draws.T * of_images, axis=0)[-1:]


def _segment_counts(
    images: Sequence[ImageScores], categories: CategorySet, all_groups: bool
) -> dict[str, NDArray[np.int64]]:
    total = sum(_counts(images, all_groups), PanopticCounts.zero(len(categories)))
    groups = classes_to_average(categories, include_background=False)
    of_classes = {
        "tp": total.true_positives,
        "fp": total.false_positives,
        "fn": total.false_negatives,
    }
    return {
        name: np.array([*numbers, *(numbers[group].sum() for group in groups)])
        for name, numbers in of_classes.items()
    }


def _crowd_changes(side: PredictionScores) -> NDArray[np.float64]:
    """Return the change of each score that the two crowd rules give differently."""
    once = np.ones((1, len(side.images)))
    ours, official = (
        resample_quality(_counts(side.images, all_groups), once, side.categories)
        for all_groups in (True, False)
    )
    one, other = np.concatenate([*ours.values()]), np.concatenate([*official.values()])
    # A score that both rules leave undefined has not changed, so NaN has to equal NaN.
    differs = ~np.isclose(one, other, rtol=0, atol=0, equal_nan=True)
    return np.asarray(np.abs(one - other)[differs])
