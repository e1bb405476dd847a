"""Formats with polygons share how their corners are counted and which coordinates are possible."""

import operator
from collections.abc import Sequence
from typing import Any


def count_corners(points: Sequence[tuple[float, float]]) -> int:
    """Return how many corners a polygon has: its points without those given again at once.

    A polygon whose last point repeats the first one has that corner once.
    """
    return sum(map(operator.ne, points, [*points[-1:], *points]))


def is_near_image(value: Any, size: int) -> bool:
    """Return whether a value of a file is a number that a coordinate can be.

    Drawing walks along every edge: one that ends far away would take forever, or all memory.

    Args:
        value: what the file has.
        size: width or height of the image in pixels; at most as much may lie off the image.
    """
    # False of not-a-number as well.
    return type(value) in (int, float) and -size <= value <= 2 * size
