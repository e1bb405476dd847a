"""Simulated annotators are hurried or careless: they give less than the perfect label.

All habits default to none, which leaves every label as it is. Each mistake is drawn from a stream
of its own, named by image and object, so that taking an object away does not change what happens
to the others.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from annotools.categories import CategorySet
from annotools.errors import RecipeError
from annotools.random_streams import stream
from annotools.records import Box, BoxXYXY, Point, TaggedCrop, WeakLabel
from annotools.settings import read_settings, read_toml

SMALL_BELOW = 0.058
"""Relative size below which an object is small: COCO's 32 pixels on its usual 640 x 480."""

MAX_LENGTH = 100_000
"""Most pixels, or widths of a box, that a habit may be off: more than any image has."""

LARGE_FROM = 0.173
"""Relative size from which an object is large: COCO's 96 pixels on its usual 640 x 480."""


@dataclass(frozen=True, kw_only=True)
class MissRates:
    """Probability in [0, 1] that an object is missed, by its relative size.

    That is the square root of its box's area over the image's area, and `SMALL_BELOW` and
    `LARGE_FROM` are where sizes part.
    """

    small: float = 0.0
    medium: float = 0.0
    large: float = 0.0

    def __post_init__(self) -> None:
        _check_rates(small=self.small, medium=self.medium, large=self.large)


@dataclass(frozen=True, kw_only=True)
class BoxHabits:
    """The mistakes in boxes."""

    corner_shift: float = 0.0
    """Each side is off by a normal draw of its own: the standard deviation, as a share of the
    box's width for its left and right side, of its height for the others."""
    miss_rate: MissRates = field(default_factory=MissRates)
    duplicate_rate: float = 0.0
    """Probability in [0, 1] that an object that was not missed is drawn a second time."""

    def __post_init__(self) -> None:
        _check_rates(duplicate_rate=self.duplicate_rate)
        _check_lengths(corner_shift=self.corner_shift)


@dataclass(frozen=True, kw_only=True)
class TagHabits:
    """Probabilities in [0, 1] of a wrong answer to whether a category is in a crop."""

    miss_rate: float = 0.0
    """Of "no" where the category is present."""
    false_rate: float = 0.0
    """Of "yes" where it is not."""

    def __post_init__(self) -> None:
        _check_rates(miss_rate=self.miss_rate, false_rate=self.false_rate)


@dataclass(frozen=True, kw_only=True)
class PolygonHabits:
    """The mistakes in outlines of full and of coarse labels: see `annotate_full`."""

    tolerance: float = 0.0
    """Pixels that the outline may be off for the sake of fewer vertices."""
    boundary_shift: float = 0.0
    """Each vertex is off by a normal draw along x and along y: the standard deviation in pixels."""

    def __post_init__(self) -> None:
        _check_lengths(tolerance=self.tolerance, boundary_shift=self.boundary_shift)


@dataclass(frozen=True, kw_only=True)
class PointHabits:
    """The mistakes in points."""

    shift: float = 0.0
    """A click is off by a normal draw along x and along y: the standard deviation in pixels."""

    def __post_init__(self) -> None:
        _check_lengths(shift=self.shift)


@dataclass(frozen=True, kw_only=True)
class Annotator:
    """The habits of an annotator; the default makes no mistake."""

    boxes: BoxHabits = field(default_factory=BoxHabits)
    tags: TagHabits = field(default_factory=TagHabits)
    polygons: PolygonHabits = field(default_factory=PolygonHabits)
    points: PointHabits = field(default_factory=PointHabits)


def read_annotator(path: Path) -> Annotator:
    """Read an annotator from a TOML file with tables `boxes`, `tags`, `polygons` and `points`.

    Raises:
        RecipeError: when the file cannot be read, or a habit is unknown or impossible.
    """
    return read_settings(Annotator, read_toml(path), where=str(path))


def annotate_weak(
    weak: WeakLabel,
    categories: CategorySet,
    annotator: Annotator,
    image_size_wh: tuple[int, int],
    seed: int,
) -> WeakLabel:
    """Return the boxes and tags that this annotator gives instead of the perfect ones.

    Args:
        weak: the perfect label.
        categories: the dataset's, in which all tags must be.
        annotator: the one with the habits.
        image_size_wh: width and height of the image in pixels.
        seed: the mistakes are drawn from it, and from the image and object.

    Raises:
        DatasetError: for a tag asked about that is not in the set.
    """
    for category_id in weak.tagged_category_ids:
        categories.by_id(category_id)
    drawn = annotate_boxes(weak.boxes, weak.image_id, annotator.boxes, image_size_wh, seed)
    crops = (
        _annotate_crop(crop, weak.tagged_category_ids, weak.image_id, annotator.tags, seed)
        for crop in weak.crops
    )
    return replace(weak, boxes=tuple(box for boxes in drawn for box in boxes), crops=tuple(crops))


def annotate_boxes(
    boxes: Sequence[Box],
    image_id: int | str,
    habits: BoxHabits,
    image_size_wh: tuple[int, int],
    seed: int,
) -> tuple[tuple[Box, ...], ...]:
    """Return the boxes drawn for each box: none where it is missed, two where it is drawn twice.

    A drawn box lies in the image and has at least one pixel; it keeps its category. Boxes carry
    no segment id: mistakes are keyed by category and corners, and by count where these are equal.
    """
    if habits == BoxHabits():
        return tuple((box,) for box in boxes)
    seen: Counter[Box] = Counter()
    drawn = []
    for box in boxes:
        key = (box.category_id, int(box.is_group), *box.box_xyxy, seen[box])
        generator = stream(seed, "annotator", "boxes", image_id, *key)
        seen[box] += 1
        drawn.append(_draw_box(box, habits, image_size_wh, generator))
    return tuple(drawn)


def annotate_points(
    points: Sequence[Point],
    image_id: int | str,
    habits: PointHabits,
    image_size_wh: tuple[int, int],
    seed: int,
) -> tuple[Point, ...]:
    """Return the points clicked: inside the image, but not always inside their segment."""
    if habits == PointHabits():
        return tuple(points)
    clicked = []
    for point in points:
        generator = stream(seed, "annotator", "points", image_id, point.segment_id)
        x, y = np.rint(generator.normal((point.x, point.y), habits.shift))
        width, height = image_size_wh
        x, y = min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)
        clicked.append(replace(point, x=x, y=y))
    return tuple(clicked)


def _draw_box(
    box: Box, habits: BoxHabits, image_size_wh: tuple[int, int], generator: np.random.Generator
) -> tuple[Box, ...]:
    # Both are drawn before either is used, so that one rate does not move the draws of the sides.
    missing, doubling = generator.random(2)
    if missing < _miss_rate(box.box_xyxy, habits.miss_rate, image_size_wh):
        return ()
    count = 2 if doubling < habits.duplicate_rate else 1
    return tuple(
        replace(
            box, box_xyxy=_shift_sides(box.box_xyxy, habits.corner_shift, image_size_wh, generator)
        )
        for _ in range(count)
    )


def _miss_rate(box_xyxy: BoxXYXY, rates: MissRates, image_size_wh: tuple[int, int]) -> float:
    x0, y0, x1, y1 = box_xyxy
    relative_size = math.sqrt((x1 - x0) * (y1 - y0) / math.prod(image_size_wh))
    if relative_size < SMALL_BELOW:
        return rates.small
    return rates.medium if relative_size < LARGE_FROM else rates.large


def _shift_sides(
    box_xyxy: BoxXYXY, share: float, image_size_wh: tuple[int, int], generator: np.random.Generator
) -> BoxXYXY:
    x0, y0, x1, y1 = box_xyxy
    spread = share * np.array([x1 - x0, y1 - y0, x1 - x0, y1 - y0])
    left, top, right, bottom = np.rint(generator.normal(box_xyxy, spread)).astype(int).tolist()
    width, height = image_size_wh
    x0, x1 = _order_sides(left, right, width)
    y0, y1 = _order_sides(top, bottom, height)
    return x0, y0, x1, y1


def _order_sides(first: int, second: int, length: int) -> tuple[int, int]:
    """Return two sides in rising order inside 0..length, at least one pixel apart."""
    low, high = (min(max(side, 0), length) for side in sorted((first, second)))
    if low < high:
        return low, high
    low = min(low, length - 1)
    return low, low + 1


def _annotate_crop(
    crop: TaggedCrop, asked: Sequence[int], image_id: int | str, habits: TagHabits, seed: int
) -> TaggedCrop:
    if habits == TagHabits():
        return crop
    given = []
    for category_id in asked:
        key = (*crop.box_xyxy, category_id)
        # One number serves both mistakes: a category is either there to miss or not.
        draw = stream(seed, "annotator", "tags", image_id, *key).random()
        is_seen = category_id in crop.category_ids and draw >= habits.miss_rate
        is_made_up = category_id not in crop.category_ids and draw < habits.false_rate
        if is_seen or is_made_up:
            given.append(category_id)
    return replace(crop, category_ids=tuple(sorted(given)))


def _check_rates(**rates: float) -> None:
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise RecipeError(f"{name} = {rate}: give a probability from 0 to 1")


def _check_lengths(**lengths: float) -> None:
    for name, length in lengths.items():
        if not 0 <= length <= MAX_LENGTH:
            raise RecipeError(f"{name} = {length}: give 0 to {MAX_LENGTH}")
