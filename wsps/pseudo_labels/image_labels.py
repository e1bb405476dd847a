"""The pseudo-label of one image: what its boxes and its tags say, put together."""

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.records import WeakLabel
from wsps.pseudo_labels.records import PseudoLabel
from wsps.pseudo_labels.refine import refine_label
from wsps.recipe import RefinementSettings


def label_image(
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
