"""Each image is measured by itself here; scores are computed from what the images contribute.

For average precision each predicted segment has a number in [0, 1] that ranks it; panoptic quality
knows no rank. Paper: Li, Arnab, Torr 2018, table 6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.errors import DatasetError
from annotools.label_maps import replace_ids
from annotools.records import VOID, FullLabel, draw_runs
from wsps.evaluation.average_precision import MatchedImage
from wsps.evaluation.mean_iou import PixelCounts, count_overlap_pixels, count_pixels
from wsps.evaluation.overlaps import AnyLabel, Overlaps, RunLabel
from wsps.evaluation.panoptic_quality import PanopticCounts, count_segments
from wsps.evaluation.segment_matching import ScoredImage, score_segments

RANKINGS = ("detection", "probability", "oracle")
"""By the detector's score, by the mean class probability, or by the IoU with the truth."""

KEYS = {"detection": "score", "probability": "probability"}
"""The key in a prediction's file that a ranking reads."""


@dataclass(frozen=True, kw_only=True)
class ScoredMask:
    """A predicted instance; `pixels`: (P,) places in the image read row by row."""

    category_id: int
    score: float
    pixels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ImageScores:
    """The contributions of one image to each score; None where it was not measured.

    `counts` honour all groups, `official_counts` only the groups that the reference implementation
    honours. `pixels` come from the classes of the segments, `semantic_pixels` from a class map that
    was predicted without segments. For average precision there is either `scored`, of segments, or
    `matched`, of masks, by `AREAS`. `num_empty` predicted masks have no pixel.
    """

    counts: PanopticCounts | None = None
    official_counts: PanopticCounts | None = None
    pixels: PixelCounts | None = None
    semantic_pixels: PixelCounts | None = None
    scored: ScoredImage | None = None
    matched: Mapping[str, MatchedImage] | None = None
    num_empty: int = 0


@dataclass(frozen=True, kw_only=True)
class PredictionScores:
    """The contributions of all images, in the truth's order, and the truth's categories.

    `num_unasked` counts predicted images that the truth does not have. `has_things_alone` is true
    where average precision leaves out stuff, whose predicted segments have no score. `remarks` say
    what is particular to the files.
    """

    categories: CategorySet
    images: tuple[ImageScores, ...]
    num_unasked: int
    has_things_alone: bool = False
    remarks: tuple[str, ...] = ()


def score_overlaps(
    overlaps: Overlaps,
    prediction: AnyLabel,
    scores: Mapping[int, float] | None,
    num_classes: int,
) -> ImageScores:
    """Measure one image.

    Args:
        overlaps: of the truth and this prediction.
        prediction: of the image; void where nothing is predicted.
        scores: confidence in [0, 1] by predicted segment id; None where average precision is not
            wanted.
        num_classes: K.

    Raises:
        DatasetError: when a predicted segment has no score in [0, 1].
    """
    counts = official_counts = count_segments(overlaps, num_classes)
    # Counting takes a good part of an image's time, so it is done twice only where it matters.
    if _has_rival_groups(overlaps):
        official_counts = count_segments(overlaps, num_classes, all_groups=False)
    return ImageScores(
        counts=counts,
        official_counts=official_counts,
        pixels=count_overlap_pixels(overlaps, num_classes),
        scored=None
        if scores is None
        else score_segments(overlaps, prediction, scores, num_classes),
    )


def count_class_map(
    truth: RunLabel, classes: NDArray[np.uint8], categories: CategorySet
) -> PixelCounts:
    """Count the pixels of one image by true and predicted class.

    Args:
        truth: the image's label.
        classes: (H, W) predicted class indices, `IGNORE_INDEX` where there is none.
        categories: the dataset's.

    Raises:
        DatasetError: when the two differ in shape or a class index is unknown.
    """
    class_of = {s.segment_id: categories.class_index_of[s.category_id] for s in truth.segments}
    true_classes = draw_runs(replace_ids(truth.runs, class_of, default=IGNORE_INDEX))
    return count_pixels(true_classes.astype(np.uint8), classes, len(categories), truth.image_id)


def score_masks(
    truth: FullLabel, masks: Sequence[ScoredMask], categories: CategorySet
) -> ScoredImage:
    """Measure what the masks of one image contribute to average precision.

    The rules are those of `score_segments` and `match_segments`, but only things are true
    instances.

    Args:
        truth: the image's label, in which segments do not overlap.
        masks: of thing categories of the set; one without a pixel is a false positive.
        categories: the dataset's.
    """
    things = [s for s in truth.segments if categories.by_id(s.category_id).is_thing]
    instances = {s.segment_id: place for place, s in enumerate(things) if not s.is_group}
    pairs: list[tuple[float, int, int]] = []
    may_ignore = np.zeros(len(masks), dtype=bool)
    for number, mask in enumerate(masks):
        # Masks may overlap each other, which no map of predicted segments can hold, so each one is
        # compared with the truth by itself.
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
    pairs.sort(key=lambda pair: -pair[0])  # as `ScoredImage` wants them: best IoU first
    class_of = categories.class_index_of
    # These become an array of whole numbers below: an empty list would turn into floats, which
    # bincount refuses.
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


def leave_out_stuff(scored: ScoredImage, categories: CategorySet) -> ScoredImage:
    """Return what an image contributes to average precision where stuff is not ranked.

    A class without a true segment has no score and counts in no mean, whatever is predicted of it.
    """
    num_truth = scored.num_truth.copy()
    num_truth[list(categories.stuff_indices)] = 0
    return replace(scored, num_truth=num_truth)


def rank_by_given(
    prediction: AnyLabel, given: Mapping[int, float], ranking: str
) -> dict[int, float]:
    """Return the number given to each segment.

    Args:
        prediction: of the image.
        given: by segment id, in [0, 1]; stuff that needs none has any.
        ranking: a key of `KEYS`, for messages.

    Raises:
        DatasetError: when a segment has none.
    """
    for segment in prediction.segments:
        if segment.segment_id not in given:
            raise DatasetError(
                f"image {prediction.image_id}: segment {segment.segment_id} of the prediction has "
                f"no {KEYS[ranking]}: give each thing one in [0, 1], or take --rank oracle"
            )
    return {s.segment_id: given[s.segment_id] for s in prediction.segments}


def rank_by_oracle(overlaps: Overlaps, prediction: AnyLabel) -> dict[int, float]:
    """Return each segment's IoU with the best true segment of its class, 0 without one.

    Groups are no true segments; pixels void in the truth are left out.

    Args:
        overlaps: of the truth and this prediction.
        prediction: of the image.
    """
    pairs = overlaps.same_class() & ~overlaps.truth_is_group[overlaps.pair_truth]
    best = np.zeros(len(prediction.segments))
    iou = overlaps.pair_pixels[pairs] / overlaps.unions()[pairs]
    # A segment has many pairs: plain assignment by index would keep its last pair, not its best.
    np.maximum.at(best, overlaps.pair_prediction[pairs], iou)
    return {s.segment_id: float(iou) for s, iou in zip(prediction.segments, best, strict=True)}


def _has_rival_groups(overlaps: Overlaps) -> bool:
    """Return whether two groups have the same category: only then does the reference differ."""
    group_classes = overlaps.truth_classes[overlaps.truth_is_group].tolist()
    return len(set(group_classes)) < len(group_classes)
