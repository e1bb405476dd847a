"""A method finds the object in a box. To add one, write a function and name it in `METHODS`."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from annotools.errors import RecipeError
from annotools.records import BoxXYXY, Photo
from wsps.crf.reference import sharpen_by_reference
from wsps.pseudo_labels.grabcut import grabcut_from_votes, grabcut_mask
from wsps.pseudo_labels.grouping import grouping_votes
from wsps.pseudo_labels.windows import Window, cut_window, enlarge_to_box, shrink_to_window
from wsps.recipe import DEFAULT_BOX_METHOD, CrfSettings

BoxMethod = Callable[[Photo, BoxXYXY, Sequence[BoxXYXY]], NDArray[np.float32]]
"""From a photo, a box within it and the boxes of its other instances to how surely each pixel of
the box is its object: (H, W) of the box, in [0, 1]; a mask is 0 and 1."""

FEET_SHARE = 0.1
"""Share of a box's height that its lowest rows are."""

FEET_WEIGHT = 0.7
"""What a score counts in the lowest rows.

Of the pixels found there a quarter to a half are not the object's, elsewhere about a tenth."""

CRF_CONTEXT_SHARE = 0.5
"""Context on each side of a box, as a share of that side of the box.

More than to find the object: what is like the background far around is background as well."""

MAX_CRF_PIXELS = 64 * 64
"""Most pixels of the window that the CRF works on. With more it takes longer and is no better."""

MAX_TRUST = 0.9
"""Probability of the object where a score is 1, and of the background where it is 0.

With more trust the CRF would change nothing."""


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


def doubt_feet(
    scores: NDArray[np.float32], place: BoxXYXY, photo_height: int
) -> NDArray[np.float32]:
    """Return the scores of a box, less sure in its lowest rows.

    A box that reaches the photo's lower edge keeps its scores: the object goes on beyond it. The
    paper has nothing like it.

    Args:
        scores: (H, W) of the box.
        place: the box, within the photo.
        photo_height: in pixels.
    """
    top, bottom = place[1], place[3]
    if bottom >= photo_height:
        return scores
    weights = np.ones((bottom - top, 1), dtype=np.float32)
    weights[round((1 - FEET_SHARE) * (bottom - top)) :] = FEET_WEIGHT
    return scores * weights


def sharpen_box(
    photo: Photo, box_xyxy: BoxXYXY, scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean of a box's scores and of what a dense CRF makes of them: (H, W) of the box.

    The CRF has the defaults of `CrfSettings`, which are DeepLab's, on the pixels of a window.

    Deviation from the paper: it uses the CRF on predictions only.

    Args:
        photo: (H, W, 3) RGB.
        box_xyxy: within the photo and not empty.
        scores: (H, W) of the box, how surely its pixels are its object, in [0, 1].

    Paper: Li, Arnab, Torr 2018, sec. 3.4.
    """
    window = cut_window(photo, box_xyxy, CRF_CONTEXT_SHARE, MAX_CRF_PIXELS)
    # Around the box the scores are 0: the context is background, as surely as `MAX_TRUST` allows.
    probability = 1 - MAX_TRUST + (2 * MAX_TRUST - 1) * shrink_to_window(scores, window)
    both = np.stack([1 - probability, probability])
    sharpened = sharpen_by_reference(window.pixels, both, CrfSettings())[1]
    return np.asarray((enlarge_to_box(sharpened, window) + scores) / 2, dtype=np.float32)


METHODS: dict[str, BoxMethod] = {
    DEFAULT_BOX_METHOD: find_agreed,
    "grabcut": cut_colours,
    "grouping": group_regions,
    "box": fill_box,
}


def find_method(name: str) -> BoxMethod:
    """Return the method of a name.

    Raises:
        RecipeError: for a name that is not in `METHODS`.
    """
    if name not in METHODS:
        raise RecipeError(f"unknown boxes.method {name!r}: use {', '.join(METHODS)}")
    return METHODS[name]
