"""Ways to find the object in a box. To add one, write a function and name it in `METHODS`."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from annotools.records import BoxXYXY
from wsps.pseudo_labels.grabcut import grabcut_from_votes, grabcut_mask
from wsps.pseudo_labels.grouping import grouping_votes
from wsps.pseudo_labels.windows import Window
from wsps.recipe import DEFAULT_BOX_METHOD

BoxMethod = Callable[[Window, Sequence[BoxXYXY]], NDArray[np.float32]]
"""From the window of a box, and the boxes of the photo's other instances in the photo's pixels, to
how surely each pixel is the object: (H, W) in [0, 1], 0 outside the box; a mask is 0 and 1."""


def agree(window: Window, other_boxes: Sequence[BoxXYXY]) -> NDArray[np.float32]:
    """Return the mean of grouping's votes and of GrabCut from two starts.

    One start is the box, the other what grouping found. Neither GrabCut nor grouping alone brings
    a pixel above one half.

    Deviation from the paper: it takes a pixel if two masks agree. Scores let other instances weigh
    in, and one threshold trades precision for recall.

    Paper: Li, Arnab, Torr 2018, sec. 3.2.
    """
    votes = grouping_votes(window)
    cuts = (grabcut_mask(window, other_boxes), grabcut_from_votes(window, votes))
    return np.asarray((np.mean(cuts, axis=0) + votes) / 2, dtype=np.float32)


def cut_colours(window: Window, other_boxes: Sequence[BoxXYXY]) -> NDArray[np.float32]:
    """Return GrabCut's mask from the box."""
    return grabcut_mask(window, other_boxes).astype(np.float32)


def group_regions(window: Window, other_boxes: Sequence[BoxXYXY]) -> NDArray[np.float32]:  # noqa: ARG001
    """Return grouping's votes."""
    return grouping_votes(window)


def fill_box(window: Window, other_boxes: Sequence[BoxXYXY]) -> NDArray[np.float32]:  # noqa: ARG001
    """Return the whole box."""
    return window.inside(window.box_xyxy).astype(np.float32)


METHODS: dict[str, BoxMethod] = {
    DEFAULT_BOX_METHOD: agree,
    "grabcut": cut_colours,
    "grouping": group_regions,
    "box": fill_box,
}
