"""Check that an object's box and area in a COCO file are those of its mask.

Both may be absent: the readers measure them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from annotools.checks.coco_file import NUMBERS, CocoFile, CocoObject, FloatBox
from annotools.checks.problems import Problem, warning_at
from annotools.formats.pictures import MAX_PIXELS
from annotools.records import BoxXYXY

POLYGON_PIXELS = 1 - 1e-6
"""How far a side of a box may lie from its polygons: less than a pixel, for boxes are rounded.

The boxes of 2016 objects in 215 images of COCO are those of their polygons to 1e-12 pixels.
"""

REACH_PIXELS = 1.0
"""How far points may lie outside of their image, for tools that let them."""

AREA_PIXELS, AREA_SHARE = 1.0, 0.01
"""How far an area may be off that of polygons: a pixel, or this part of it where that is more.

Of the same objects all areas are those of their polygons to 1e-11.
"""


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What box and area an object's entry may have, by its mask.

    `tight` is the box of the mask; `other_box` is as good, and so is one whose sides are all nearer
    than `POLYGON_PIXELS` to those of `outline`. `mask_area` is that of the mask in pixels, None
    where areas are not compared. Of `polygons` an area may be nearly it, as `AREA_PIXELS` has it,
    or one of `areas`; without them it must be exact.
    """

    tight: BoxXYXY
    mask_area: int | None
    other_box: FloatBox | None = None
    outline: FloatBox | None = None
    polygons: Sequence[Sequence[float]] = ()

    @cached_property
    def areas(self) -> tuple[float, ...]:
        """What tools write as the area, that of the mask aside; the first is shown."""
        if not self.polygons:
            return () if self.mask_area is None else (self.mask_area,)
        outlines = [np.array(polygon, dtype=np.float64).reshape(-1, 2) for polygon in self.polygons]
        enclosed = sum(_enclosed_area(outline) for outline in outlines)
        return enclosed, enclosed + sum(_half_border(outline) for outline in outlines)


def exact_extent(area: int, tight: BoxXYXY) -> Extent:
    """Return the extent of which box and area are exactly what the pixels fill."""
    return Extent(tight=tight, mask_area=area)


def find_extent(described: CocoObject, area: int, tight: BoxXYXY) -> Extent:
    """Return the box and area that an instance of this mask may have.

    Of run lengths both must be exact. Crowds are the exception: COCO's own have boxes without the
    last column and row, which others may have as well, and areas larger than their masks, so that
    areas are not compared. Of polygons the box may be nearly that of the polygons, or exactly that
    of the mask; the area may be nearly either's. Outlines traced through the centres of a mask's
    outer pixels, as OpenCV's are, lack half a pixel all round: their box may have one more column
    and row, and their area is that of the mask they were traced on.

    Args:
        described: the instance.
        area: of its mask, in pixels.
        tight: box of its mask.
    """
    polygons = described.entry["segmentation"]
    if not isinstance(polygons, list):
        if described.entry.get("iscrowd") == 1:
            x0, y0, x1, y1 = tight
            return Extent(tight=tight, other_box=(x0, y0, x1 - 1, y1 - 1), mask_area=None)
        return exact_extent(area, tight)
    xs = [x for polygon in polygons for x in polygon[::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    left, top, right, bottom = map(float, (min(xs), min(ys), max(xs), max(ys)))
    return Extent(
        tight=tight,
        mask_area=area,
        other_box=(left, top, right + 1, bottom + 1),
        outline=(left, top, right, bottom),
        polygons=polygons,
    )


@dataclass(kw_only=True)
class Areas:
    """The areas in a file that were compared with those of the masks, one after the other.

    Exporters are known to write the area of the box, or of the whole image, for every object: each
    of these two is one problem of the file. The readers measure areas, so that a wrong one is a
    warning.
    """

    coco: CocoFile
    compared: int = 0
    of_box: int = 0
    of_image: int = 0
    is_box_wrong: bool = False
    is_image_wrong: bool = False
    no_numbers: list[Problem] = field(default_factory=list)
    others: list[Problem] = field(default_factory=list)

    def compare(self, described: CocoObject, extent: Extent) -> None:
        """Look at the area of an object that has a mask, if its entry has one."""
        if "area" not in described.entry or extent.mask_area is None:
            return
        self.compared += 1
        area = described.entry["area"]
        # False of not-a-number as well; larger whole numbers may not fit a float.
        if type(area) not in NUMBERS or not abs(area) <= MAX_PIXELS:
            message = f"area is not a number of pixels in an image: give {extent.areas[0]:g}"
            self.no_numbers.append(warning_at(described.place, message))
            return
        is_box = _is_area(area, described.box_xyxy)
        width, height = self.coco.size_of.get(described.image_id, (0, 0))
        is_image = _is_area(area, (0, 0, width, height))
        self.of_box += is_box
        self.of_image += is_image
        if _is_right(area, extent):
            return
        self.is_box_wrong |= is_box
        self.is_image_wrong |= is_image and not is_box
        if not is_box and not is_image:
            message = f"area {area} is not that of its mask: give {extent.areas[0]:g}"
            self.others.append(warning_at(described.place, message))

    def tell(self, noun: str) -> Iterator[Problem]:
        """Yield what is wrong with the areas of objects, which the file calls by this noun."""
        yield from self.no_numbers
        counts = (
            ("the box", self.of_box, self.is_box_wrong),
            ("the whole image", self.of_image, self.is_image_wrong),
        )
        for whose, count, is_wrong in counts:
            if is_wrong:
                which = f"{count} of {self.compared} {noun}"
                message = f"area is that of {whose} in {which}: areas are measured in the masks"
                yield warning_at(self.coco.path, message)
        yield from self.others


def check_box(described: CocoObject, extent: Extent) -> Iterator[Problem]:
    """Yield where an entry's box is not that of its mask."""
    given = described.box_xyxy
    if (
        given is None
        or _is_near(given, extent.outline, POLYGON_PIXELS)
        or _is_near(given, extent.tight, 1e-6)
        or _is_near(given, extent.other_box, 1e-6)
    ):
        return
    x0, y0, x1, y1 = extent.tight
    yield warning_at(
        described.place,
        f"bbox {described.entry['bbox']} is not tight: its mask fills {[x0, y0, x1 - x0, y1 - y0]}",
    )


def check_reach(
    described: CocoObject,
    extent: Extent,
    listed_wh: tuple[int, int],
    size_wh: tuple[int, int],
) -> Iterator[Problem]:
    """Yield where points of an entry's polygons lie more than a pixel outside of their image.

    Args:
        described: the instance.
        extent: of its mask; without an outline it has no polygon.
        listed_wh: width and height of the image in pixels, as the file has them.
        size_wh: the same, as the reader takes them.
    """
    if extent.outline is None:
        return
    x0, y0, x1, y1 = extent.outline
    width, height = listed_wh
    if max(-x0, -y0, x1 - width, y1 - height) > REACH_PIXELS:
        x, y = (low if low < -REACH_PIXELS else high for low, high in ((x0, x1), (y0, y1)))
        rule = "they are clipped"
        if size_wh != listed_wh:
            rule = "the photo's EXIF turn explains it, and {} x {} are taken".format(*size_wh)
        yield warning_at(
            described.place,
            f"points reach x = {x:g}, y = {y:g} in an image of {width} x {height}: {rule}",
        )


def _is_near(box: FloatBox, other: FloatBox | None, pixels: float) -> bool:
    """Return whether all sides of two boxes are less than so many pixels apart."""
    return other is not None and all(abs(a - b) < pixels for a, b in zip(box, other, strict=True))


def _is_area(area: float, box: FloatBox | None) -> bool:
    """Return whether an area is that of a box, give or take what rounding its sides does."""
    if box is None:
        return False
    x0, y0, x1, y1 = box
    size = (x1 - x0) * (y1 - y0)
    return size > 0 and abs(area - size) <= AREA_SHARE * size


def _is_right(area: float, extent: Extent) -> bool:
    if extent.outline is None:
        return area == extent.mask_area
    # That of the mask is known, and most are near it; the others take time to work out.
    return _is_near_area(area, extent.mask_area or 0) or any(
        _is_near_area(area, value) for value in extent.areas
    )


def _is_near_area(area: float, other: float) -> bool:
    return abs(area - other) <= max(AREA_PIXELS, AREA_SHARE * other)


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
