"""Make points of a full label: one click on each segment, well inside it."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.random_streams import stream
from annotools.records import FullLabel, Point, Segment, SegmentMap

INNER_SHARE = 0.5
"""A click lies at least this share of the segment's largest border distance inside it."""

STEP_DEPTH = 0.75
"""Least border distance, in grid steps, of a grid's pixel from which the straight lines to its
eight neighbours on the grid stay in the segment halfway: sqrt(1 / 2), and 6 % for the error of
`border_distance`."""


def points_of(label: FullLabel, categories: CategorySet, seed: int) -> tuple[Point, ...]:
    """Return one point for each segment, in the label's order.

    Every segment gets one: an instance, a group, a stuff segment however many parts it has, and
    the background of a background-only set. The pixel is drawn at random among those of the
    segment whose `border_distance` is at least `INNER_SHARE` of the segment's largest, so that
    it lies in the widest parts. The draw depends on seed, image and segment alone: other
    segments of the image do not move it.

    Raises:
        DatasetError: for a segment whose category is not in the set.
    """
    points = []
    for segment, depth in segment_depths(label, categories):
        generator = stream(seed, "points", label.image_id, segment.segment_id)
        x, y = _draw_pixel(segment, depth, generator)
        point = Point(segment_id=segment.segment_id, category_id=segment.category_id, x=x, y=y)
        points.append(point)
    return tuple(points)


def segment_depths(
    label: FullLabel, categories: CategorySet
) -> Iterator[tuple[Segment, NDArray[np.float32]]]:
    """Yield each segment with its part of the border distance, as `depth_of` has it.

    Raises:
        DatasetError: for a segment whose category is not in the set.
    """
    distance = border_distance(label.segment_map)
    for segment in label.segments:
        categories.by_id(segment.category_id)
        yield segment, depth_of(segment, label.segment_map, distance)


def border_distance(segment_map: SegmentMap) -> NDArray[np.float32]:
    """Return how far each pixel is inside its segment: (H, W), in pixels.

    It is the distance to the nearest border pixel of the pixel's own segment, 0 on these. Border
    pixels are those that touch another segment or void, corners included, and those at the
    border of the image. Euclidean, up to 2 % off (OpenCV's 5 x 5 mask).
    """
    # One transform serves all segments: the way from a pixel to another segment's border crosses
    # the border of its own segment first.
    distance = cv2.distanceTransform(_inner_pixels(segment_map), cv2.DIST_L2, 5)
    return distance.astype(np.float32, copy=False)


def depth_of(
    segment: Segment, segment_map: SegmentMap, distance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return a segment's part of the border distance in its box: (H, W), -1 off the segment."""
    x0, y0, x1, y1 = segment.box_xyxy
    is_inside = segment_map[y0:y1, x0:x1] == segment.segment_id
    return np.where(is_inside, distance[y0:y1, x0:x1], np.float32(-1))


def _inner_pixels(segment_map: SegmentMap) -> NDArray[np.uint8]:
    """Return (H, W), 1 on pixels whose eight neighbours are all of the same segment, else 0."""
    # All nine pixels are the same if three rows are, each along x, and the middle column along y.
    centre = segment_map[:, 1:-1]
    same = (segment_map[:, 2:] == centre) & (segment_map[:, :-2] == centre)
    inner = np.zeros(segment_map.shape, dtype=np.uint8)
    inner[1:-1, 1:-1] = same[1:-1] & same[:-2] & same[2:]
    inner[1:-1, 1:-1] &= (centre[2:] == centre[1:-1]) & (centre[:-2] == centre[1:-1])
    return inner


def _draw_pixel(
    segment: Segment, depth: NDArray[np.float32], generator: np.random.Generator
) -> tuple[int, int]:
    candidates = np.flatnonzero(depth >= INNER_SHARE * depth.max())
    row, column = divmod(int(generator.choice(candidates)), depth.shape[1])
    x0, y0, _, _ = segment.box_xyxy
    return x0 + column, y0 + row
