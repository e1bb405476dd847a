"""The pseudo-label of one image: what its boxes and its tags say, put together."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from wsps.pseudo_labels.merge import merge_with_boxes
from wsps.pseudo_labels.records import PseudoLabel


def label_image(
    from_boxes: PseudoLabel | None, from_tags: NDArray[np.uint8] | None, categories: CategorySet
) -> PseudoLabel:
    """Return the label that the first training uses.

    Args:
        from_boxes: label from boxes; None where nobody was asked for boxes.
        from_tags: (H, W) class indices from tags, `IGNORE_INDEX` where unknown; None where nobody
            was asked for tags. With boxes, only its stuff is used.
        categories: of the dataset.

    Raises:
        ValueError: without both.
    """
    if from_boxes is None and from_tags is None:
        raise ValueError("a label needs boxes or tags")
    if from_boxes is None:
        assert from_tags is not None
        return PseudoLabel(classes=from_tags, instances=np.zeros(from_tags.shape, dtype=np.int32))
    if from_tags is None:
        return from_boxes
    return replace(from_boxes, classes=merge_with_boxes(from_tags, from_boxes.classes, categories))
