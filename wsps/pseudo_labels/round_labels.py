"""What a network learns from in each round of iterative ground truth, of one image: as arrays.

Paper: Li, Arnab, Torr 2018, sec. 3.4.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.records import Photo, WeakLabel
from wsps.pseudo_labels.refine import PseudoLabel, refine_label
from wsps.recipe import RefinementSettings


def first_label(
    from_boxes: PseudoLabel | None,
    from_tags: NDArray[np.uint8] | None,
    weak: WeakLabel,
    categories: CategorySet,
    settings: RefinementSettings,
) -> PseudoLabel:
    """Return the label that the first training uses: round 0 of iterative ground truth.

    Args:
        from_boxes: label from boxes; None where nobody was asked for boxes.
        from_tags: (H, W) class indices from tags, `IGNORE_INDEX` where unknown; None where nobody
            was asked for tags. With boxes, only its stuff is used.
        weak: the weak label of the image.
        categories: of the dataset.
        settings: of the clean-up.

    Raises:
        ValueError: without both.
    """
    if from_tags is None:
        if from_boxes is None:
            raise ValueError("a label needs boxes or tags")
        from_tags = np.full_like(from_boxes.classes, IGNORE_INDEX)
    return refine_label(
        from_tags,
        scores=None,
        from_boxes=from_boxes,
        weak=weak,
        categories=categories,
        settings=settings,
        round_number=0,
    )


def next_label(
    photo: Photo,
    probabilities: NDArray[np.float32],
    from_boxes: PseudoLabel | None,
    weak: WeakLabel,
    categories: CategorySet,
    settings: RefinementSettings,
    round_number: int,
) -> PseudoLabel:
    """Return the label of one image after a round of iterative ground truth.

    Args:
        photo: (H, W, 3) RGB.
        probabilities: (K, h, w) in [0, 1], of the semantic network on the photo, prepared for it,
            and after the CRF.
        from_boxes: label from boxes; None where nobody drew any.
        weak: the weak label of the image, empty where nothing was bought.
        categories: of the dataset.
        settings: of the clean-up.
        round_number: from 1.

    Paper: Li, Arnab, Torr 2018, sec. 3.4.
    """
    # Resized before the decision: enlarged classes would have stairs as borders.
    probabilities = _resize(probabilities, photo.shape[:2])
    return refine_label(
        probabilities.argmax(axis=0).astype(np.uint8),
        scores=probabilities.max(axis=0),
        from_boxes=from_boxes,
        weak=weak,
        categories=categories,
        settings=settings,
        round_number=round_number,
    )


def _resize(probabilities: NDArray[np.float32], shape_hw: tuple[int, ...]) -> NDArray[np.float32]:
    if probabilities.shape[1:] == shape_hw:
        return probabilities
    size_wh = shape_hw[1], shape_hw[0]
    resized = [cv2.resize(p, size_wh, interpolation=cv2.INTER_LINEAR) for p in probabilities]
    return np.stack(resized).astype(np.float32, copy=False)
