"""GrabCut finds the object in a box by colours inside and outside, and a cut along edges."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.records import BoxXYXY
from wsps.pseudo_labels.windows import Window, area_of, ellipse_in

CORE_SHARE = 0.8
"""Axes of the central ellipse that surely is object, as a share of the box's sides.

Without a sure core, GrabCut returns nothing at all for many boxes."""

BACKGROUND_VOTES, OBJECT_VOTES = 0.25, 0.8
"""Votes below which a pixel surely is background, and from which on it surely is object."""

NUM_ITERATIONS = 1
"""Rounds of colour model and cut. Two more changed precision and recall by under 1 %."""


def grabcut_mask(window: Window, other_boxes: Sequence[BoxXYXY] = ()) -> NDArray[np.bool_]:
    """Return the object's pixels in a window by GrabCut: (H, W), false outside the box.

    Outside the box is surely background, the corners of the box probably, its core surely
    object. A smaller box of another instance that reaches into this one is taken to lie in front
    of it, so probably background. The result depends on the window and the boxes alone.

    Deviation from the paper: it starts GrabCut from the rectangle only; on the narrow context
    that keeps a box affordable, that start often ends empty.

    Args:
        window: the box and its surroundings.
        other_boxes: boxes of the photo's other instances, in its pixels.

    Paper: Li, Arnab, Torr 2018, sec. 3.2.
    """
    inside = window.inside(window.box_xyxy)
    return _cut(window, _trimap(inside, _in_front(window, other_boxes))) & inside


def grabcut_from_votes(window: Window, votes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return what GrabCut makes of another method's votes: (H, W), false outside the box.

    Where the votes leave it without any colour of the object or of the background, the majority
    of the votes.

    Args:
        window: the box and its surroundings.
        votes: (H, W) in [0, 1], how surely each pixel is object.
    """
    inside = window.inside(window.box_xyxy)
    trimap = np.full(inside.shape, cv2.GC_BGD, dtype=np.uint8)
    trimap[inside & (votes >= BACKGROUND_VOTES)] = cv2.GC_PR_BGD
    trimap[inside & (votes >= 0.5)] = cv2.GC_PR_FGD
    trimap[inside & (votes >= OBJECT_VOTES)] = cv2.GC_FGD
    is_object = _is_object(trimap)
    # OpenCV fails where one of its two colour models has no pixel to learn from.
    if is_object.all() or not is_object.any():
        return is_object
    return _cut(window, trimap) & inside


def _cut(window: Window, trimap: NDArray[np.uint8]) -> NDArray[np.bool_]:
    # cv2 draws the first colour clusters from a global generator.
    cv2.setRNGSeed(0)
    # OpenCV wants room for five Gaussians of 13 numbers each, and ignores the rectangle where a
    # trimap is given.
    background_model, object_model = np.zeros((2, 1, 65))
    cv2.grabCut(
        window.pixels,
        trimap,
        (0, 0, 0, 0),
        background_model,
        object_model,
        NUM_ITERATIONS,
        cv2.GC_INIT_WITH_MASK,
    )
    return _is_object(trimap)


def _is_object(trimap: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _in_front(window: Window, other_boxes: Sequence[BoxXYXY]) -> NDArray[np.bool_]:
    """Return where boxes smaller than the window's own lie: (H, W)."""
    in_front = np.zeros(window.pixels.shape[:2], dtype=bool)
    for box in other_boxes:
        if area_of(box) < area_of(window.box_xyxy):
            in_front |= window.inside(box)
    return in_front


def _trimap(inside: NDArray[np.bool_], in_front: NDArray[np.bool_]) -> NDArray[np.uint8]:
    trimap = np.full(inside.shape, cv2.GC_BGD, dtype=np.uint8)
    trimap[inside] = cv2.GC_PR_BGD
    # The corners of a box that fills the photo are the only background that GrabCut gets to see.
    trimap[ellipse_in(inside, 1.0)] = cv2.GC_PR_FGD
    core = ellipse_in(inside, CORE_SHARE)
    trimap[core] = cv2.GC_FGD
    # A core that is wholly hidden would leave GrabCut without any colour of the object.
    if not in_front[core].all():
        trimap[in_front & inside] = cv2.GC_PR_BGD
    return trimap
