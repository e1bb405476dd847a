"""What predicted masks, which may overlap, contribute to average precision."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.records import VOID, FullLabel
from wsps.evaluation.average_precision import ScoredImage


@dataclass(frozen=True, kw_only=True)
class ScoredMask:
    """A predicted instance; `pixels`: (P,) places in the image read row by row, at least one."""

    category_id: int
    score: float
    pixels: NDArray[np.int64]


def score_masks(
    truth: FullLabel, masks: Sequence[ScoredMask], categories: CategorySet
) -> ScoredImage:
    """Measure what the masks of one image contribute to average precision.

    The rules are those of `score_segments`, but only things are true instances.

    Args:
        truth: the image's label, in which segments do not overlap.
        masks: of thing categories of the set, scores in [0, 1].
        categories: the dataset's.
    """
    things = [s for s in truth.segments if categories.by_id(s.category_id).is_thing]
    instances = {s.segment_id: place for place, s in enumerate(things) if not s.is_group}
    pairs: list[tuple[float, int, int]] = []
    may_ignore = np.zeros(len(masks), dtype=bool)
    for number, mask in enumerate(masks):
        ids, pixels = np.unique(truth.segment_map.ravel()[mask.pixels], return_counts=True)
        shared = dict(zip(ids.tolist(), pixels.tolist(), strict=True))
        void = shared.get(VOID, 0)
        same_class = [s for s in things if s.category_id == mask.category_id]
        in_groups = sum(shared.get(s.segment_id, 0) for s in same_class if s.is_group)
        may_ignore[number] = 2 * (void + in_groups) > mask.pixels.size
        for segment in same_class:
            overlap = shared.get(segment.segment_id, 0)
            if overlap and not segment.is_group:
                union = mask.pixels.size - void + segment.area - overlap
                pairs.append((overlap / union, number, instances[segment.segment_id]))
    pairs.sort(key=lambda pair: -pair[0])
    class_of = categories.class_index_of
    true_classes = [class_of[s.category_id] for s in things if not s.is_group]
    return ScoredImage(
        scores=np.array([mask.score for mask in masks], dtype=np.float64),
        classes=np.array([class_of[mask.category_id] for mask in masks], dtype=np.intp),
        may_ignore=may_ignore,
        pair_prediction=np.array([number for _, number, _ in pairs], dtype=np.intp),
        pair_truth=np.array([place for _, _, place in pairs], dtype=np.intp),
        pair_iou=np.array([iou for iou, _, _ in pairs], dtype=np.float64),
        num_truth=np.bincount(np.array(true_classes, dtype=np.intp), minlength=len(categories)),
    )
