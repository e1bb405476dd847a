"""Masks, which may overlap, are matched by COCO's own evaluation for average precision.

Source: pycocotools' COCOeval, whose matching runs here; its accumulation is in `precision_rates`,
because resamples weigh images.
"""

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from annotools.categories import CategorySet
from wsps.evaluation.average_precision import MatchedImage, precision_rates

_PARAMS = Params(iouType="segm")

AREAS: Mapping[str, tuple[float, float]] = dict(
    zip(_PARAMS.areaRngLbl, map(tuple, _PARAMS.areaRng), strict=True)
)
"""The smallest and the largest area in pixels of `all`, `small`, `medium` and `large` objects."""

MAX_DETECTIONS: int = _PARAMS.maxDets[-1]
"""Of each image and category this many predicted masks count, those of the highest scores."""

RunLengths = Mapping[str, Any]
"""A mask as pycocotools encodes it."""


@dataclass(frozen=True, kw_only=True)
class TrueMask:
    """A true instance; `area`, in pixels, says how large it is, whatever its mask."""

    class_index: int
    runs: RunLengths
    area: float
    is_crowd: bool


@dataclass(frozen=True, kw_only=True)
class PredictedMask:
    """A predicted instance; `score` is any finite number."""

    class_index: int
    runs: RunLengths
    score: float


def match_masks(
    truths: Sequence[TrueMask],
    predictions: Sequence[PredictedMask],
    thresholds: Sequence[float],
    num_classes: int,
) -> dict[str, MatchedImage]:
    """Match the masks of one image as COCOeval does, and return its contributions by `AREAS`.

    Each mask stays whole. A mask without a pixel is a false positive, or a miss.

    Args:
        truths: in the file's order, which decides between equal IoU.
        predictions: in the file's order, which decides between equal scores.
        thresholds: IoU in (0, 1], at least one.
        num_classes: K.
    """
    class_indices = {t.class_index for t in truths} | {p.class_index for p in predictions}
    # COCOeval tells the terminal what it does.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _index([_as_truth(mask) for mask in truths], class_indices),
            _index([_as_prediction(mask) for mask in predictions], class_indices),
            "segm",
        )
        evaluation.params.iouThrs = np.array(thresholds)
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
    # The results go through the classes, and for each of them through the areas.
    return {
        area: _collect(evaluation.evalImgs[place :: len(AREAS)], len(thresholds), num_classes)
        for place, area in enumerate(AREAS)
    }


def area_rates(
    images: Sequence[Mapping[str, MatchedImage]],
    draws: NDArray[np.float64],
    categories: CategorySet,
    thresholds: Sequence[float],
    recalls: str,
) -> dict[str, NDArray[np.float64]]:
    """Return `precision_rates` of all objects, and `ap_vol` of each size, as `ap_small`.

    Args:
        images: what `match_masks` gives for each.
        draws: as the rest for `precision_rates`.
        categories: the dataset's.
        thresholds: at which the images are matched.
        recalls: a key of `RECALLS`.
    """
    rates: dict[str, NDArray[np.float64]] = {}
    for area in AREAS:
        matched = [image[area] for image in images]
        found = precision_rates(matched, draws, categories, thresholds, recalls=recalls)
        rates |= found if area == "all" else {area_name(area): found["ap_vol"]}
    return rates


def area_name(area: str) -> str:
    """Return the name of AP of one size of objects among the rates of an evaluation."""
    return f"ap_{area}"


def _as_truth(mask: TrueMask) -> dict[str, Any]:
    entry = {"category_id": mask.class_index, "segmentation": mask.runs, "area": mask.area}
    return entry | {"iscrowd": int(mask.is_crowd)}


def _as_prediction(mask: PredictedMask) -> dict[str, Any]:
    entry = {"category_id": mask.class_index, "segmentation": mask.runs, "score": mask.score}
    return entry | {"area": float(coco_mask.area(mask.runs))}


def _index(entries: Sequence[dict[str, Any]], class_indices: Iterable[int]) -> COCO:
    """Return masks as pycocotools looks them up."""
    coco = COCO()
    # An image's size is for polygons. COCOeval takes what is matched to id 0 for unmatched, so
    # that ids, whatever the file's are, count from 1.
    coco.dataset = {
        "images": [{"id": 1, "height": 0, "width": 0}],
        "categories": [{"id": class_index} for class_index in class_indices],
        "annotations": [
            {"id": number, "image_id": 1, **entry} for number, entry in enumerate(entries, start=1)
        ],
    }
    coco.createIndex()
    return coco


def _collect(
    of_classes: Sequence[Mapping[str, Any]], num_thresholds: int, num_classes: int
) -> MatchedImage:
    """Join what COCOeval found of each class of an image, for one range of areas."""
    # NumPy refuses to join the arrays of no class.
    nothing = np.zeros((num_thresholds, 0), dtype=bool)
    matched = np.concatenate([nothing, *(c["dtMatches"] > 0 for c in of_classes)], axis=1).T
    ignored = np.concatenate([nothing, *(c["dtIgnore"] for c in of_classes)], axis=1).T
    num_truth = np.zeros(num_classes, dtype=np.int64)
    for of_class in of_classes:
        num_truth[of_class["category_id"]] = np.count_nonzero(of_class["gtIgnore"] == 0)
    return MatchedImage(
        scores=np.array([s for c in of_classes for s in c["dtScores"]], dtype=np.float64),
        classes=np.array(
            [c["category_id"] for c in of_classes for _ in c["dtScores"]], dtype=np.intp
        ),
        hits=matched & ~ignored,
        counted=~ignored,
        num_truth=num_truth,
    )
