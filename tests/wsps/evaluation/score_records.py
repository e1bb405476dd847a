"""The rates of a set of images as records, so that a test can name the score that it is about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from wsps.evaluation.average_precision import precision_rates, rate_name
from wsps.evaluation.class_means import classes_to_average
from wsps.evaluation.mean_iou import PixelCounts, iou_rates
from wsps.evaluation.panoptic_quality import PanopticCounts, quality_rates
from wsps.evaluation.segment_matching import ScoredImage, match_segments


@dataclass(frozen=True, kw_only=True)
class MeanQuality:
    """Means over the `num_classes` classes that have a score; NaN when there is none."""

    pq: float
    sq: float
    dq: float
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class PanopticQuality:
    """Panoptic, segmentation and detection quality in [0, 1]: (K,) by class index, and means.

    NaN on a class that neither truth nor prediction has.
    """

    pq: NDArray[np.float64]
    sq: NDArray[np.float64]
    dq: NDArray[np.float64]
    all: MeanQuality
    things: MeanQuality
    stuff: MeanQuality


def panoptic_quality(
    counts: PanopticCounts, categories: CategorySet, *, include_background: bool = False
) -> PanopticQuality:
    """Return `quality_rates` of a set of images as a record.

    Args:
        counts: the sum of `count_segments` over the images.
        categories: the dataset's.
        include_background: as for `quality_rates`.
    """
    rates = quality_rates(
        counts.iou_sum,
        counts.true_positives.astype(np.float64),
        counts.unmatched(),
        categories,
        include_background=include_background,
    )
    groups = classes_to_average(categories, include_background=include_background)
    num_classes = len(categories)
    over_all, things, stuff = (
        MeanQuality(
            **{name: float(values[num_classes + place]) for name, values in rates.items()},
            num_classes=int(np.count_nonzero(~np.isnan(rates["pq"][group]))),
        )
        for place, group in enumerate(groups)
    )
    of_classes = {name: values[:num_classes] for name, values in rates.items()}
    return PanopticQuality(**of_classes, all=over_all, things=things, stuff=stuff)


@dataclass(frozen=True, kw_only=True)
class MeanPrecision:
    """Means over the `num_classes` classes that have a score; NaN when there is none.

    `at_threshold`: one AP^r for each threshold; `volume`: AP^r_vol, their mean.
    """

    at_threshold: tuple[float, ...]
    volume: float
    num_classes: int


@dataclass(frozen=True, kw_only=True)
class AveragePrecision:
    """Average precision in [0, 1] at R IoU thresholds.

    `at_threshold`: (R, K) by class index; `volume`: (K,), the mean over the thresholds. NaN on a
    class without a true segment.
    """

    at_threshold: NDArray[np.float64]
    volume: NDArray[np.float64]
    all: MeanPrecision
    things: MeanPrecision
    stuff: MeanPrecision


def average_precision(
    images: Sequence[ScoredImage],
    categories: CategorySet,
    thresholds: Sequence[float],
    *,
    include_background: bool = False,
    recalls: str = "all",
) -> AveragePrecision:
    """Return `precision_rates` of a set of images, each of them once, as a record.

    Args:
        images: what `score_segments` measured, in the order that decides equal scores.
        categories: the dataset's.
        thresholds: as for `precision_rates`.
        include_background: as for `precision_rates`.
        recalls: as for `precision_rates`.
    """
    rates = precision_rates(
        [match_segments(image, thresholds) for image in images],
        np.ones((1, len(images))),
        categories,
        thresholds,
        recalls=recalls,
        include_background=include_background,
    )
    groups = classes_to_average(categories, include_background=include_background)
    num_classes = len(categories)
    volume = rates["ap_vol"][0]  # (K + 3,)
    at_threshold = np.array([rates[rate_name(t)][0] for t in thresholds])  # (R, K + 3)
    over_all, things, stuff = (
        MeanPrecision(
            at_threshold=tuple(at_threshold[:, num_classes + place].tolist()),
            volume=float(volume[num_classes + place]),
            num_classes=int(np.count_nonzero(~np.isnan(volume[group]))),
        )
        for place, group in enumerate(groups)
    )
    return AveragePrecision(
        at_threshold=at_threshold[:, :num_classes],
        volume=volume[:num_classes],
        all=over_all,
        things=things,
        stuff=stuff,
    )


@dataclass(frozen=True, kw_only=True)
class MeanIoU:
    """IoU in [0, 1]: `iou` (K,) by class index, NaN on a class in neither map; `mean` of those.

    `mean` is over the classes that have an IoU, NaN when there is none.
    """

    iou: NDArray[np.float64]
    mean: float


def mean_iou(counts: PixelCounts) -> MeanIoU:
    """Return `iou_rates` of a set of images, whose counts are summed, as a record."""
    num_classes = len(counts.unpredicted)
    every_class = list(range(num_classes))
    iou = iou_rates(counts.hits(), counts.sizes(), (every_class, [], []))["iou"]
    return MeanIoU(iou=iou[:num_classes], mean=float(iou[num_classes]))
