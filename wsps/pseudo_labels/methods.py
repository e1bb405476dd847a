"""Ways to find the object in a box. To add one, write a function and name it in `METHODS`."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from annotools.records import BoxXYXY, Photo
from wsps.pseudo_labels.box_crf import sharpen_box
from wsps.pseudo_labels.feet import doubt_feet
from wsps.pseudo_labels.grabcut import grabcut_from_votes, grabcut_mask
from wsps.pseudo_labels.grouping import grouping_votes
from wsps.pseudo_labels.windows import Window, cut_window, enlarge_to_box
from wsps.recipe import DEFAULT_BOX_METHOD

BoxMethod = Callable[[Photo, BoxXYXY, Sequence[BoxXYXY]], NDArray[np.float32]]
"""From a photo, a box within it and the boxes of its other instances to how surely each pixel of
the box is its object: (H, W) of the box, in [0, 1]; a mask is 0 and 1."""


def find_agreed(photo: Photo, place: BoxXYXY, others: Sequence[BoxXYXY]) -> NDArray[np.float32]:
    """Return how sure GrabCut, grouping and a dense CRF are together.

    Deviation from the paper: it takes a pixel if the masks of GrabCut and grouping agree. Scores
    let the CRF and other instances weigh in, and one threshold trades precision for recall.

    Paper: Li, Arnab, Torr 2018, sec. 3.2.
    """
    window = cut_window(photo, place)
    scores = enlarge_to_box(agreement(window, others), window)
    return sharpen_box(photo, place, doubt_feet(scores, place, photo.shape[0]))


def agreement(window: Window, others: Sequence[BoxXYXY]) -> NDArray[np.float32]:
    """Return the mean of grouping's votes and of GrabCut from two starts: (H, W), in [0, 1].

    One start is the box, the other what grouping found. So GrabCut from the box counts a quarter,
    and where grouping is sure of a pixel that GrabCut denies, the pixel has three quarters.
    """
    votes = grouping_votes(window)
    cuts = (grabcut_mask(window, others), grabcut_from_votes(window, votes))
    return np.asarray((np.mean(cuts, axis=0) + votes) / 2, dtype=np.float32)


def cut_colours(photo: Photo, place: BoxXYXY, others: Sequence[BoxXYXY]) -> NDArray[np.float32]:
    """Return GrabCut's mask from the box."""
    window = cut_window(photo, place)
    return enlarge_to_box(grabcut_mask(window, others).astype(np.float32), window)


def group_regions(
    photo: Photo,
    place: BoxXYXY,
    others: Sequence[BoxXYXY],  # noqa: ARG001
) -> NDArray[np.float32]:
    """Return grouping's votes."""
    window = cut_window(photo, place)
    return enlarge_to_box(grouping_votes(window), window)


def fill_box(
    photo: Photo,  # noqa: ARG001
    place: BoxXYXY,
    others: Sequence[BoxXYXY],  # noqa: ARG001
) -> NDArray[np.float32]:
    """Return the whole box."""
    x0, y0, x1, y1 = place
    return np.ones((y1 - y0, x1 - x0), dtype=np.float32)


METHODS: dict[str, BoxMethod] = {
    DEFAULT_BOX_METHOD: find_agreed,
    "grabcut": cut_colours,
    "grouping": group_regions,
    "box": fill_box,
}
