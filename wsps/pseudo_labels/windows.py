"""Cut out the surroundings of a box and shrink them, so that every box costs about the same."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.records import BoxXYXY, Photo

CONTEXT_SHARE = 0.2
"""Context on each side of a box, as a share of that side of the box."""

MIN_CONTEXT = 3
"""Context on each side of a box in pixels, however small the box."""

MAX_WINDOW_PIXELS = 96 * 96
"""Most pixels of a window. Masks of real objects are no better with more."""

MIN_WINDOW_SIDE = 8
"""Shortest side of a window in its own pixels, for boxes that are long and thin."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A box with its context, shrunk so that every box costs about the same.

    `pixels` is (H, W, 3) RGB in the window's own pixels, `bounds_xyxy` its place in the photo and
    `box_xyxy` the annotated box, both in the photo's pixels. Both sides shrink alike.
    """

    pixels: NDArray[np.uint8]
    bounds_xyxy: BoxXYXY
    box_xyxy: BoxXYXY

    def inside(self, box_xyxy: BoxXYXY) -> NDArray[np.bool_]:
        """Return (H, W), true where this box of the photo's pixels lies; it may lie outside."""
        x0, y0, x1, y1 = box_xyxy
        rows = _covered(y0, y1, self.bounds_xyxy[1], self.bounds_xyxy[3], self.pixels.shape[0])
        columns = _covered(x0, x1, self.bounds_xyxy[0], self.bounds_xyxy[2], self.pixels.shape[1])
        return rows[:, None] & columns[None, :]


def cut_window(
    photo: Photo,
    box_xyxy: BoxXYXY,
    context_share: float = CONTEXT_SHARE,
    max_pixels: int = MAX_WINDOW_PIXELS,
) -> Window:
    """Return the window of a box.

    Args:
        photo: (H, W, 3) RGB.
        box_xyxy: within the photo and not empty.
        context_share: context on each side, as a share of that side of the box.
        max_pixels: a larger window is shrunk to about as many.
    """
    height, width = photo.shape[:2]
    x0, y0, x1, y1 = box_xyxy
    margin_x = max(MIN_CONTEXT, round(context_share * (x1 - x0)))
    margin_y = max(MIN_CONTEXT, round(context_share * (y1 - y0)))
    left, top = max(0, x0 - margin_x), max(0, y0 - margin_y)
    right, bottom = min(width, x1 + margin_x), min(height, y1 + margin_y)
    pixels: NDArray[np.uint8] = photo[top:bottom, left:right]
    scale = min(1.0, (max_pixels / ((right - left) * (bottom - top))) ** 0.5)
    size_wh = _shrink(right - left, scale), _shrink(bottom - top, scale)
    if size_wh != (right - left, bottom - top):
        shrunk = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA)
        pixels = np.asarray(shrunk, dtype=np.uint8)
    return Window(
        pixels=np.ascontiguousarray(pixels),
        bounds_xyxy=(left, top, right, bottom),
        box_xyxy=box_xyxy,
    )


def shrink_to_window(scores: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Return scores of the box in the window's pixels, 0 around the box.

    Args:
        scores: (H, W) of the box, in the photo's pixels.
        window: of the box.
    """
    left, top, right, bottom = window.bounds_xyxy
    x0, y0, x1, y1 = window.box_xyxy
    placed = np.zeros((bottom - top, right - left), dtype=np.float32)
    placed[y0 - top : y1 - top, x0 - left : x1 - left] = scores
    height, width = window.pixels.shape[:2]
    if placed.shape == (height, width):
        return placed
    shrunk = cv2.resize(placed, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.float32)


def enlarge_to_box(scores: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """Return scores of the window in the photo's pixels, cropped to the box.

    Args:
        scores: (H, W) of the window.
        window: where the scores lie.
    """
    left, top, right, bottom = window.bounds_xyxy
    x0, y0, x1, y1 = window.box_xyxy
    if scores.shape != (bottom - top, right - left):
        size_wh = right - left, bottom - top
        enlarged = cv2.resize(scores, size_wh, interpolation=cv2.INTER_LINEAR)
        scores = np.asarray(enlarged, dtype=np.float32)
    return scores[y0 - top : y1 - top, x0 - left : x1 - left].copy()


def ellipse_in(inside: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """Return the ellipse at the centre of a box, its axes this share of the box's sides.

    Args:
        inside: (H, W), true on the pixels of an axis-parallel box; not empty.
        share: in (0, 1]; 1 gives the inscribed ellipse.
    """
    rows = _offsets_from_centre(np.asarray(inside.any(axis=1)), share)
    columns = _offsets_from_centre(np.asarray(inside.any(axis=0)), share)
    return (rows[:, None] ** 2 + columns[None, :] ** 2 <= 1) & inside


def area_of(box_xyxy: BoxXYXY) -> int:
    """Return the pixels of a box that is not empty."""
    x0, y0, x1, y1 = box_xyxy
    return (x1 - x0) * (y1 - y0)


def _shrink(side: int, scale: float) -> int:
    return min(side, max(MIN_WINDOW_SIDE, round(scale * side)))


def _covered(start: int, stop: int, first: int, last: int, size: int) -> NDArray[np.bool_]:
    """Return which of `size` steps from `first` to `last` have their centre in [start, stop)."""
    centres = first + (np.arange(size) + 0.5) * (last - first) / size
    return np.asarray((centres >= start) & (centres < stop), dtype=bool)


def _offsets_from_centre(covered: NDArray[np.bool_], share: float) -> NDArray[np.float64]:
    """Return how far each step is from the covered ones' centre, in half axes of the ellipse."""
    places = np.flatnonzero(covered)
    half_axis = share * len(places) / 2
    return np.asarray((np.arange(len(covered)) - places.mean()) / half_axis, dtype=np.float64)
