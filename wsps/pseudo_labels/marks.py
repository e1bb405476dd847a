"""Turn clicks, strokes and coarse outlines into a label map that is void elsewhere."""

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.records import Mark, Outline, Point, WeakLabel
from wsps.pseudo_labels.refine import PseudoLabel

RADIUS_SHARE = 1 / 512
"""How far a click or stroke reaches, as a share of the image's longer side; a pixel at least.

So a mark is at least two pixels wide wherever a photo is seen with a side of 256, or as it is: one
of a single pixel would be gone from most labels of reduced photos."""


def label_from_marks(
    weak: WeakLabel, size_wh: tuple[int, int], categories: CategorySet
) -> PseudoLabel:
    """Return what the marks of an image say about its pixels.

    A click is a disc and a stroke a band, as wide as `RADIUS_SHARE` says; a coarse outline is
    filled. A thing has the number of its mark as instance, a group none. Where two marks meet
    nobody knows whose the pixel is, and it is ignored, as are all pixels without a mark.

    Args:
        weak: the label; it has marks.
        size_wh: width and height of the image in pixels.
        categories: of the dataset.
    """
    assert weak.marks is not None
    width, height = size_wh
    classes = np.full((height, width), IGNORE_INDEX, dtype=np.uint8)
    instances = np.zeros((height, width), dtype=np.int32)
    is_marked = np.zeros((height, width), dtype=bool)
    is_contested = np.zeros((height, width), dtype=bool)
    radius = max(1, round(max(size_wh) * RADIUS_SHARE))
    for number, mark in enumerate(weak.marks, start=1):
        place, mask = _draw(mark, radius, size_wh)
        is_contested[place] |= is_marked[place] & mask
        is_marked[place] |= mask
        classes[place][mask] = categories.class_index_of[mark.category_id]
        is_instance = categories.by_id(mark.category_id).is_thing
        is_instance = is_instance and mark.segment_id not in weak.group_ids
        instances[place][mask] = number if is_instance else 0
    classes[is_contested], instances[is_contested] = IGNORE_INDEX, 0
    return PseudoLabel(classes=classes, instances=instances)


def lay_over(marked: PseudoLabel, label: PseudoLabel) -> PseudoLabel:
    """Return a label with what the marks say in place of what it says itself."""
    is_known = marked.classes != IGNORE_INDEX
    return PseudoLabel(
        classes=np.where(is_known, marked.classes, label.classes),
        instances=np.where(is_known, marked.instances, label.instances),
    )


def _draw(
    mark: Mark, radius: int, size_wh: tuple[int, int]
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return rows and columns in which a mark is, and its (H, W) pixels there."""
    if isinstance(mark, Point):
        lines = [np.array([(mark.x, mark.y)], dtype=np.int32)]
    elif isinstance(mark, Outline):
        lines = [np.array(polygon, dtype=np.int32) for polygon in mark.polygons_xy]
    else:
        lines = [np.array(mark.points_xy, dtype=np.int32)]
    points = np.concatenate(lines)  # (N, 2)
    low = np.maximum(points.min(axis=0) - radius, 0)
    high = np.minimum(points.max(axis=0) + radius + 1, size_wh)
    mask = np.zeros((high - low)[::-1], dtype=np.uint8)
    moved = [(line - low).astype(np.int32) for line in lines]
    if isinstance(mark, Outline):
        # One by one: together the pixels of two polygons that overlap would be outside.
        for polygon in moved:
            cv2.fillPoly(mask, [polygon], 1)
    else:
        cv2.polylines(mask, moved, isClosed=False, color=1, thickness=2 * radius + 1)
        for x, y in moved[0].tolist():
            cv2.circle(mask, (x, y), radius, 1, thickness=-1)
    return (slice(low[1], high[1]), slice(low[0], high[0])), mask.astype(bool)
