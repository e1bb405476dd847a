"""Box masks and tag maps put together. Paper: Li, Arnab, Torr 2018, sec. 3.2 to 3.4."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from wsps.pseudo_labels.records import PseudoLabel


def merge_boxes_and_tags(
    from_boxes: PseudoLabel, from_tags: NDArray[np.uint8], categories: CategorySet
) -> PseudoLabel:
    """Return the union of what boxes and tags say, boxes first.

    A pixel that the boxes label keeps its label. Elsewhere stuff from the tags is taken; a thing
    is not, because a thing's pixels lie in a box and the boxes were not sure of this one.

    Args:
        from_boxes: label from boxes, `IGNORE_INDEX` where they say nothing.
        from_tags: (H, W) class indices, `IGNORE_INDEX` where unsure.
        categories: of the dataset.
    """
    is_stuff = np.isin(from_tags, categories.stuff_indices)
    take = (from_boxes.classes == IGNORE_INDEX) & is_stuff
    return replace(from_boxes, classes=np.where(take, from_tags, from_boxes.classes))
