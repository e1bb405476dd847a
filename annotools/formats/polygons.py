"""What formats with polygons share."""

from collections.abc import Sequence


def count_corners(points: Sequence[tuple[float, float]]) -> int:
    """Return how many corners a polygon has: its points without those given again at once.

    A polygon whose last point repeats the first one has that corner once.
    """
    return sum(point != points[i - 1] for i, point in enumerate(points))
