"""Panoptic quality tells whether things and stuff are found (DQ), and how exactly (SQ).

Counts of images add up; a score is computed from the sum. Paper: Li, Arnab, Torr 2018, eq. 5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from wsps.evaluation.class_means import append_means, classes_to_average, ratio
from wsps.evaluation.overlaps import Overlaps


@dataclass(frozen=True, kw_only=True)
class PanopticCounts:
    """The counts that panoptic quality is computed from, by class index: four arrays (K,).

    `iou_sum` is the sum of the IoU of the matched pairs; `true_positives` counts the pairs,
    `false_positives` predicted segments and `false_negatives` true segments without a partner.
    """

    iou_sum: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    false_negatives: NDArray[np.int64]

    @classmethod
    def zero(cls, num_classes: int) -> "PanopticCounts":
        """Return the counts of no image at all."""
        nothing = np.zeros(num_classes, dtype=np.int64)
        return cls(
            iou_sum=np.zeros(num_classes),
            true_positives=nothing,
            false_positives=nothing,
            false_negatives=nothing,
        )

    def __add__(self, other: "PanopticCounts") -> "PanopticCounts":
        return PanopticCounts(
            iou_sum=self.iou_sum + other.iou_sum,
            true_positives=self.true_positives + other.true_positives,
            false_positives=self.false_positives + other.false_positives,
            false_negatives=self.false_negatives + other.false_negatives,
        )

    def unmatched(self) -> NDArray[np.float64]:
        """Return how many segments of each class have no partner, true and predicted: (K,)."""
        return (self.false_positives + self.false_negatives).astype(np.float64)


def count_segments(
    overlaps: Overlaps, num_classes: int, *, all_groups: bool = True
) -> PanopticCounts:
    """Count the matched and unmatched segments of one image.

    Segments match when they have the same category, the true one is no group and their IoU is
    above 0.5, pixels that are void in the truth left out; there is at most one such partner.
    A true group is never a false negative. An unmatched predicted segment is no false positive
    when more than half of its pixels are in void or in groups of its own category.

    Args:
        overlaps: of the image.
        num_classes: K.
        all_groups: true counts the pixels in all groups of the category. False counts those in
            the last one in segment order alone, as the reference implementation (panopticapi,
            and cityscapesscripts after it) does, for figures to compare with published ones.
    """
    unions = overlaps.unions()
    # Above a half no segment can have two partners, so that nothing has to be assigned.
    matched = overlaps.same_class() & (2 * overlaps.pair_pixels > unions)
    matched &= ~overlaps.truth_is_group[overlaps.pair_truth]

    missed = ~overlaps.truth_is_group
    missed[overlaps.pair_truth[matched]] = False
    groups = overlaps.truth_is_group if all_groups else _last_groups(overlaps)
    wrong = ~overlaps.mostly_unscored(groups)
    wrong[overlaps.pair_prediction[matched]] = False

    matched_classes = overlaps.truth_classes[overlaps.pair_truth[matched]]
    iou = overlaps.pair_pixels[matched] / unions[matched]
    iou_sum = np.bincount(matched_classes, weights=iou, minlength=num_classes)
    return PanopticCounts(
        iou_sum=iou_sum.astype(np.float64),
        true_positives=np.bincount(matched_classes, minlength=num_classes),
        false_positives=np.bincount(overlaps.prediction_classes[wrong], minlength=num_classes),
        false_negatives=np.bincount(overlaps.truth_classes[missed], minlength=num_classes),
    )


def quality_rates(
    iou_sum: NDArray[np.float64],
    matches: NDArray[np.float64],
    unmatched: NDArray[np.float64],
    categories: CategorySet,
    *,
    include_background: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """Return PQ, SQ and DQ by name: (..., K + 3), the classes, then their means.

    Per class PQ = iou_sum / (TP + FP/2 + FN/2), SQ = iou_sum / TP and DQ = TP / (TP + FP/2 +
    FN/2). A class that occurs but has no match scores 0 in all three and counts in the means, as
    in the reference implementation; a class that never occurs has no score and does not.

    Args:
        iou_sum: (..., K), like the next two a sum over images: one, or one for each resample.
        matches: (..., K), TP.
        unmatched: (..., K), FP + FN.
        categories: the dataset's.
        include_background: whether the background category, in a set that has one, counts in
            the means over all and over stuff; its own score is there either way.

    Paper: Li, Arnab, Torr 2018, eq. 5.
    """
    occurring = matches + unmatched / 2
    sq = ratio(iou_sum, matches)
    sq[(matches == 0) & (occurring > 0)] = 0
    of_classes = {"pq": ratio(iou_sum, occurring), "sq": sq, "dq": ratio(matches, occurring)}
    groups = classes_to_average(categories, include_background=include_background)
    return {name: append_means(rates, groups) for name, rates in of_classes.items()}


def _last_groups(overlaps: Overlaps) -> NDArray[np.bool_]:
    """Return the last group of each class: (T,)."""
    # Later items of a dictionary replace earlier ones, so that each class keeps its last group.
    last_of_class = {overlaps.truth_classes[i]: i for i in np.flatnonzero(overlaps.truth_is_group)}
    last = np.zeros_like(overlaps.truth_is_group)
    last[list(last_of_class.values())] = True
    return last
