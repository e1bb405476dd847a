"""Check that an object's box and area in a COCO file are those of its mask.

Both may be absent: the readers measure them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from annotools.checks.coco_file import CocoObject
from annotools.checks.problems import Problem, error_at
from annotools.formats.pictures import MAX_PIXELS
from annotools.records import BoxXYXY

POLYGON_PIXELS = 1 - 1e-6
"""How far a side of a box may lie from its polygons: less than a pixel, for boxes are rounded.

The boxes of 2016 objects in 215 images of COCO are those of their polygons to 1e-12 pixels.
"""

AREA_PIXELS, AREA_SHARE = 1.0, 0.01
"""How far an area may be off that of polygons: a pixel, or this part of it where that is more.

Of the same objects all areas are those of their polygons to 1e-11.
"""


def check_measured(described: CocoObject, area: int, tight: BoxXYXY) -> Iterator[Problem]:
    """Yield where an entry's box or area is not exactly what its pixels fill."""
    yield from _check_box(described, tight, [tight])
    yield from _check_area(described, area, [area], pixels=0, share=0)


def check_extent(described: CocoObject, mask: NDArray[np.int64], height: int) -> Iterator[Problem]:
    """Yield where the box or area of an instance is not that of its mask.

    Of run lengths both must be exact. Crowds are the exception: COCO's own have boxes without the
    last column and row, which others may have as well, and areas larger than their masks, so that
    areas are not compared. Of polygons the box may be nearly that of the polygons, or exactly that
    of the mask; the area may be nearly either's. Outlines traced through the centres of a mask's
    outer pixels, as OpenCV's are, lack half a pixel all round: their box may have one more column
    and row, and their area is that of the mask they were traced on.

    Args:
        described: the instance.
        mask: (P,), places of its pixels in the image read column by column, in order, one or more.
        height: of the image.
    """
    # Places run down the columns, so columns only rise, and rows alone need a minimum and maximum.
    columns, rows = np.divmod(mask, height)
    tight = (int(columns[0]), int(rows.min()), int(columns[-1]) + 1, int(rows.max()) + 1)
    polygons = described.entry["segmentation"]
    if not isinstance(polygons, list):
        if described.entry.get("iscrowd") == 1:
            x0, y0, x1, y1 = tight
            yield from _check_box(described, tight, [tight, (x0, y0, x1 - 1, y1 - 1)])
        else:
            yield from check_measured(described, len(mask), tight)
        return
    outlines = [np.array(polygon, dtype=np.float64).reshape(-1, 2) for polygon in polygons]
    points = np.concatenate(outlines)
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    if not _is_near(described, (x0, y0, x1, y1)):
        traced = (x0, y0, x1 + 1, y1 + 1)
        yield from _check_box(described, tight, [tight, traced])
    enclosed = sum(_enclosed_area(outline) for outline in outlines)
    traced_area = enclosed + sum(_half_border(outline) for outline in outlines)
    areas = [enclosed, len(mask), traced_area]
    yield from _check_area(described, enclosed, areas, pixels=AREA_PIXELS, share=AREA_SHARE)


def _is_near(described: CocoObject, box: tuple[float, float, float, float]) -> bool:
    given = described.box_xyxy
    return given is not None and (
        max(abs(a - b) for a, b in zip(given, box, strict=True)) < POLYGON_PIXELS
    )


def _check_box(
    described: CocoObject,
    tight: BoxXYXY,
    allowed: Sequence[tuple[float, float, float, float]],
) -> Iterator[Problem]:
    given = described.box_xyxy
    if given is None or any(np.allclose(given, box, rtol=0, atol=1e-6) for box in allowed):
        return
    x0, y0, x1, y1 = tight
    yield error_at(
        described.place,
        f"bbox {described.entry['bbox']} is not tight: its mask fills {[x0, y0, x1 - x0, y1 - y0]}",
    )


def _check_area(
    described: CocoObject, measured: float, allowed: Sequence[float], *, pixels: float, share: float
) -> Iterator[Problem]:
    if "area" not in described.entry:
        return
    area = described.entry["area"]
    is_number = isinstance(area, int | float) and not isinstance(area, bool)
    # False of not-a-number as well; larger whole numbers may not fit a float.
    if not (is_number and abs(area) <= MAX_PIXELS):
        yield error_at(
            described.place, f"area is not a number of pixels in an image: give {measured:g}"
        )
    elif not any(abs(area - value) <= max(pixels, share * value) for value in allowed):
        yield error_at(described.place, f"area {area} is not that of its mask: give {measured:g}")


def _enclosed_area(outline: NDArray[np.float64]) -> float:
    """Return the area in pixels that an outline encloses: (N, 2), x and y, not closed."""
    (x, y), (next_x, next_y) = outline.T, np.roll(outline, -1, axis=0).T
    return float(abs((x * next_y - next_x * y).sum()) / 2)


def _half_border(outline: NDArray[np.float64]) -> float:
    """Return how many pixels more a mask has than its outline through their centres encloses.

    By Pick's theorem that is half of the centres on the outline, and one; 0 of an outline with
    fractions, which was not traced.
    """
    whole = outline.astype(np.int64)
    if (whole != outline).any():
        return 0.0
    # A side passes as many pixel centres as the greatest common divisor of its width and height.
    steps = np.roll(whole, -1, axis=0) - whole
    return float(np.gcd(steps[:, 0], steps[:, 1]).sum() / 2 + 1)
