"""The object in a box by GrabCut: colours inside and outside, and a cut along edges."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.records import BoxXYXY
from wsps.pseudo_labels.windows import Window, ellipse_in

CORE_SHARE = 0.8
"""Axes of the central ellipse that surely is object, as a share of the box's sides.

Without a sure core, GrabCut returns nothing at all for many boxes."""

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
    trimap = _trimap(inside, _in_front(window, other_boxes))
    # cv2 draws the first colour clusters from a global generator.
    cv2.setRNGSeed(0)
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
    return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)) & inside


def _in_front(window: Window, other_boxes: Sequence[BoxXYXY]) -> NDArray[np.bool_]:
    """Where smaller boxes lie."""
    in_front = np.zeros(window.pixels.shape[:2], dtype=bool)
    for box in other_boxes:
        if _area(box) < _area(window.box_xyxy):
            in_front |= window.inside(box)
    return in_front


def _trimap(inside: NDArray[np.bool_], in_front: NDArray[np.bool_]) -> NDArray[np.uint8]:
    trimap = np.full(inside.shape, cv2.GC_BGD, dtype=np.uint8)
    trimap[inside] = cv2.GC_PR_BGD
    trimap[ellipse_in(inside, 1.0)] = cv2.GC_PR_FGD
    core = ellipse_in(inside, CORE_SHARE)
    trimap[core] = cv2.GC_FGD
    # A core that is wholly hidden would leave GrabCut without any colour of the object.
    if not in_front[core].all():
        trimap[in_front & inside] = cv2.GC_PR_BGD
    return trimap


def _area(box_xyxy: BoxXYXY) -> int:
    x0, y0, x1, y1 = box_xyxy
    return (x1 - x0) * (y1 - y0)
