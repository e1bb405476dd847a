"""Measure pseudo-labels, and the classifier behind those from tags: arrays in, numbers out."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.settings import as_table
from wsps.evaluation.class_means import are_rates, mean_of_defined
from wsps.evaluation.mean_iou import PixelCounts


@dataclass(frozen=True, kw_only=True)
class QualityRow:
    """A class, or all of its `kind` together: `thing`, `stuff` or `all`.

    Rates are in [0, 1] over the pixels that are not void in the full label, None where there is
    no such pixel: `precision` of the pixels labelled as the class, how many are; `recall` of the
    class's `pixels`, how many are labelled as it; `coverage`, how many are labelled at all.
    """

    name: str
    kind: str
    precision: float | None
    recall: float | None
    coverage: float | None
    pixels: int
    labelled: int


@dataclass(frozen=True, kw_only=True)
class KindQuality:
    """How good the labels of so many images of one kind are: what `quality_rows` gives."""

    kind: str
    images: int
    rows: tuple[QualityRow, ...]


@dataclass(frozen=True, kw_only=True)
class CropScores:
    """What the classifier and the tags say of N crops and K classes: three arrays, (N, K) each.

    `scores` rise with how sure the classifier is, `present` tells what the tags say, `asked`
    which classes the annotator was asked about; others do not count.
    """

    scores: NDArray[np.float32]
    present: NDArray[np.bool_]
    asked: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class TagPrecision:
    """Average precision in [0, 1] of the tags of so many crops.

    `ap` is (K,), NaN for a class that is in no crop; `mean` is over the others, NaN without any.
    """

    num_crops: int
    ap: NDArray[np.float64]
    mean: float

    def __post_init__(self) -> None:
        assert are_rates(self.ap), self.ap


def measure_kind(kind: str, counts: Sequence[PixelCounts], categories: CategorySet) -> KindQuality:
    """Return how good the labels of one kind are, from the counts of each image."""
    total = sum(counts, start=PixelCounts.zero(len(categories)))
    return KindQuality(kind=kind, images=len(counts), rows=quality_rows(total, categories))


def quality_as_json(
    rounds: Sequence[Sequence[KindQuality]],
    tags: Mapping[str, TagPrecision],
    categories: CategorySet,
) -> dict[str, Any]:
    """Return how good the labels of each round are: rates in [0, 1], null where undefined.

    Args:
        rounds: of the first labels and of those of each round after.
        tags: by split.
        categories: of the truth.
    """
    names = [category.name for category in categories.categories]
    return {
        # The labels in the folder itself are those of the last round.
        "kinds": _kinds_as_json(rounds[-1]),
        "rounds": [
            {"round": number, "kinds": _kinds_as_json(kinds)} for number, kinds in enumerate(rounds)
        ],
        "tags": {
            split: {
                "crops": found.num_crops,
                "map": _defined(found.mean),
                "ap": dict(zip(names, map(_defined, found.ap.tolist()), strict=True)),
            }
            for split, found in tags.items()
        },
    }


def quality_rows(counts: PixelCounts, categories: CategorySet) -> tuple[QualityRow, ...]:
    """Return a row for each class, then one for all pixels, for those of things and of stuff.

    Args:
        counts: of the images, with the pseudo-label as prediction.
        categories: of the dataset.
    """
    rows = [
        _row(counts, [index], category.name, "thing" if category.is_thing else "stuff")
        for index, category in enumerate(categories.categories)
    ]
    groups = {
        "all": ("all", tuple(range(len(categories)))),
        "things": ("thing", categories.thing_indices),
        "stuff": ("stuff", categories.stuff_indices),
    }
    return (*rows, *(_row(counts, indices, name, k) for name, (k, indices) in groups.items()))


def tag_precision(images: Iterable[CropScores], num_classes: int) -> TagPrecision:
    """Return the average precision of tags, over the crops of all images together.

    It is the mean, over the crops that have the class, of the precision among the crops that
    score at least as high; equal scores are thus one step, whatever their order.

    Args:
        images: any number.
        num_classes: K.
    """
    listed = list(images)
    empty = np.zeros((0, num_classes))
    scores = np.concatenate([empty, *(image.scores for image in listed)])
    present = np.concatenate([empty.astype(bool), *(image.present for image in listed)])
    asked = np.concatenate([empty.astype(bool), *(image.asked for image in listed)])
    ap = np.array(
        [
            _average_precision(scores[asked[:, index], index], present[asked[:, index], index])
            for index in range(num_classes)
        ]
    )
    return TagPrecision(num_crops=len(scores), ap=ap, mean=mean_of_defined(ap))


def _row(counts: PixelCounts, indices: Sequence[int], name: str, kind: str) -> QualityRow:
    chosen = list(indices)
    right = int(np.diag(counts.confusion)[chosen].sum())
    labelled = int(counts.confusion[:, chosen].sum())
    covered = int(counts.confusion[chosen].sum())
    pixels = covered + int(counts.unpredicted[chosen].sum())
    return QualityRow(
        name=name,
        kind=kind,
        precision=right / labelled if labelled else None,
        recall=right / pixels if pixels else None,
        coverage=covered / pixels if pixels else None,
        pixels=pixels,
        labelled=labelled,
    )


def _average_precision(scores: NDArray[np.float64], present: NDArray[np.bool_]) -> float:
    if not present.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], present[order]
    # Of equal scores, each is as good as the last of them.
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    precision = np.cumsum(hits)[last] / (last + 1)
    return float(precision[hits].mean())


def _kinds_as_json(kinds: Sequence[KindQuality]) -> dict[str, Any]:
    return {found.kind: {"images": found.images, "rows": as_table(found.rows)} for found in kinds}


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
