"""Mean intersection over union (IoU) tells how well every pixel is classified.

Counts of images add up; a score is computed from the sum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX
from annotools.errors import DatasetError
from wsps.evaluation.class_means import Groups, append_means, ratio
from wsps.evaluation.overlaps import Overlaps

_NUM_BYTES = 256


@dataclass(frozen=True, kw_only=True)
class PixelCounts:
    """Pixels whose true class is known, by true and predicted class index.

    `confusion`: (K, K), rows are true classes, columns predicted ones.
    `unpredicted`: (K,), pixels of each true class for which the prediction names no class.
    """

    confusion: NDArray[np.int64]
    unpredicted: NDArray[np.int64]

    @classmethod
    def zero(cls, num_classes: int) -> "PixelCounts":
        """Return the counts of no image at all."""
        return cls(
            confusion=np.zeros((num_classes, num_classes), dtype=np.int64),
            unpredicted=np.zeros(num_classes, dtype=np.int64),
        )

    def __add__(self, other: "PixelCounts") -> "PixelCounts":
        return PixelCounts(
            confusion=self.confusion + other.confusion,
            unpredicted=self.unpredicted + other.unpredicted,
        )

    def hits(self) -> NDArray[np.float64]:
        """Return how many pixels of each class are predicted as that class: (K,)."""
        return np.diag(self.confusion).astype(np.float64)

    def sizes(self) -> NDArray[np.float64]:
        """Return the pixels that each class has in the truth plus those predicted as it: (K,)."""
        predicted = self.confusion.sum(axis=0)
        return np.asarray(predicted + self.confusion.sum(axis=1) + self.unpredicted, np.float64)


def count_pixels(
    truth: NDArray[np.uint8],
    prediction: NDArray[np.uint8],
    num_classes: int,
    image_id: int | str,
) -> PixelCounts:
    """Count the pixels of one image by true and predicted class.

    Args:
        truth: (H, W) class indices; pixels of `IGNORE_INDEX` are not counted.
        prediction: (H, W) class indices; `IGNORE_INDEX` on a labelled pixel is a miss of the
            true class and a false alarm of none.
        num_classes: K.
        image_id: named in errors.

    Raises:
        DatasetError: when the maps differ in shape or hold an index that is neither below
            `num_classes` nor `IGNORE_INDEX`.
    """
    if truth.shape != prediction.shape:
        raise DatasetError(
            f"image {image_id}: the prediction has shape {prediction.shape}, the truth "
            f"{truth.shape}: predict at the size of the truth"
        )
    # One pass counts all pairs of 8-bit values; unknown indices are then found in the small table.
    codes = (truth.astype(np.uint16) << 8) | prediction
    table = np.bincount(codes.ravel(), minlength=_NUM_BYTES**2).reshape(_NUM_BYTES, _NUM_BYTES)
    for side, totals in (("truth", table.sum(axis=1)), ("prediction", table.sum(axis=0))):
        unknown = num_classes + np.flatnonzero(totals[num_classes:IGNORE_INDEX])
        if unknown.size:
            raise DatasetError(
                f"image {image_id}: the {side} has class index {unknown[0]}: "
                f"use 0 to {num_classes - 1}, or {IGNORE_INDEX} for no class"
            )
    return PixelCounts(
        confusion=table[:num_classes, :num_classes],
        unpredicted=table[:num_classes, IGNORE_INDEX],
    )


def count_overlap_pixels(overlaps: Overlaps, num_classes: int) -> PixelCounts:
    """Return the same counts as `count_pixels`, from segments instead of class maps."""
    true_classes = overlaps.truth_classes[overlaps.pair_truth]
    classes = overlaps.prediction_classes[overlaps.pair_prediction]
    confusion = np.zeros((num_classes, num_classes), dtype=np.int64)
    # Many pairs have the same two classes: `confusion[...] += pixels` would count one of them.
    np.add.at(confusion, (true_classes, classes), overlaps.pair_pixels)
    # The part of a true class's pixels that no predicted segment covers.
    unpredicted = -confusion.sum(axis=1)
    np.add.at(unpredicted, overlaps.truth_classes, overlaps.truth_areas)
    return PixelCounts(confusion=confusion, unpredicted=unpredicted)


def iou_rates(
    hits: NDArray[np.float64], sizes: NDArray[np.float64], groups: Groups
) -> dict[str, NDArray[np.float64]]:
    """Return IoU under its name: (..., K + 3), the classes, then their means.

    Args:
        hits: (..., K), summed over images; see `PixelCounts.hits`.
        sizes: (..., K), summed over images; see `PixelCounts.sizes`.
        groups: the classes in each mean.
    """
    return {"iou": append_means(ratio(hits, sizes - hits), groups)}
