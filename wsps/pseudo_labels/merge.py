"""A label map and the masks from boxes put together. Paper: Li, Arnab, Torr 2018, sec. 3.2-3.4."""

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet


def merge_with_boxes(
    classes: NDArray[np.uint8], from_boxes: NDArray[np.uint8], categories: CategorySet
) -> NDArray[np.uint8]:
    """Return the union of what boxes and another source say, boxes first: (H, W).

    A pixel that the boxes label keeps its label. Elsewhere stuff of the other source is taken; a
    thing is not, because a thing's pixels lie in a box and the boxes were not sure of this one.

    Args:
        classes: (H, W) class indices from tags or a prediction, `IGNORE_INDEX` where unsure.
        from_boxes: (H, W) class indices, `IGNORE_INDEX` where the boxes say nothing.
        categories: of the dataset.
    """
    take = (from_boxes == IGNORE_INDEX) & np.isin(classes, categories.stuff_indices)
    return np.where(take, classes, from_boxes)
