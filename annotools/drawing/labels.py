"""Draw what was annotated over a photo, and put pictures on a contact sheet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.drawing.lettering import Name, write_block, write_names
from annotools.errors import DatasetError
from annotools.label_maps import class_map, with_map
from annotools.records import Box, FullLabel, Photo, Segment, SegmentMap, TaggedCrop, WeakLabel
from annotools.weak_labels.buy import take_kind
from annotools.weak_labels.coarse import outlines_of
from annotools.weak_labels.points import points_of
from annotools.weak_labels.scribbles import scribbles_of

GAP = 4
"""Pixels of white between the pictures of a contact sheet."""

MIN_DRAWN_WIDTH = 640
"""Pixels up to which small photos are enlarged, so that names can be read on them."""

MAX_DRAWN_SIDE = 4096
"""Pixels beyond which no side is enlarged: a strip of a photo would fill the memory."""

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class _Canvas:
    """A picture in the making and what is drawn into it.

    `picture` has every pixel of the photo `factor` times along both axes, `label` is as it was.
    `names` are those to be written at last, by object; the last layer that names one says where.
    """

    picture: Photo
    label: FullLabel | WeakLabel
    factor: int
    categories: CategorySet
    crop_size_wh: tuple[int, int] | None
    seed: int
    names: dict[int, Name] = field(default_factory=dict)

    @property
    def full(self) -> FullLabel:
        """The label where it has masks; layers that need them are not asked for elsewhere."""
        assert isinstance(self.label, FullLabel)
        return self.label

    @cached_property
    def large(self) -> FullLabel:
        """The full label with every pixel as often as `picture` has it."""
        return enlarge_label(self.full, self.factor)

    @cached_property
    def objects(self) -> dict[int, Box]:
        """The boxes of all objects, or those that were given, by number; large ones first."""
        objects = self.label.objects
        area_of = {number: _box_area(box) for number, box in objects.items()}
        if isinstance(self.label, FullLabel):
            area_of |= {segment.segment_id: segment.area for segment in self.label.segments}
        return dict(sorted(objects.items(), key=lambda item: -area_of[item[0]]))

    @cached_property
    def crops(self) -> tuple[TaggedCrop, ...]:
        """The tagged crops."""
        height, width = (side // self.factor for side in self.picture.shape[:2])
        size_wh = (width, height)
        return take_kind(self.label, self.categories, "tags", self.crop_size_wh, size_wh).crops

    @property
    def line(self) -> int:
        """Width in pixels of a line that can be seen on the picture as a whole."""
        height, width, _ = self.picture.shape
        return max(1, round(int(max(height, width)) / 1200))

    def enlarged(self, points_xy: Sequence[tuple[int, int]]) -> NDArray[np.int32]:
        """Return pixels of the label as those in the middle of their place here: (P, 2)."""
        return np.array(points_xy, dtype=np.int32) * self.factor + self.factor // 2

    def name(self, number: int, category_id: int, left: int, top: int, note: str = "") -> None:
        """Ask for an object's name at a place of the picture."""
        category = self.categories.by_id(category_id)
        self.names[number] = Name(
            text=category.name + note, colour=category.colour, left=left, top=top
        )


def draw_label(
    photo: Photo,
    label: FullLabel | WeakLabel,
    categories: CategorySet,
    layers: Sequence[str] = ("segments", "boxes"),
    *,
    crop_size_wh: tuple[int, int] | None = None,
    seed: int = 0,
    factor: int = 1,
    named: bool = True,
) -> Photo:
    """Return the photo with what was annotated over it.

    - `segments`: tinted in their category's colour and outlined in white, void darkened;
    - `coarse`: the outlines an annotator in a hurry draws, tinted;
    - `boxes`: of the things; `scribbles` and `points`: of all segments;
    - `tags`: the grid of crops, and in the upper left of each crop the categories present.

    Every annotated segment has its name, unless there is no room for it; large ones go first. A
    picture that is shown small, beside a key of its colours, is better `named` not at all.

    Args:
        photo: (H, W, 3) RGB.
        label: segments, or boxes and tags alone.
        categories: those of the label.
        layers: some of `LAYERS`, or of `WEAK_LAYERS` on a label without masks; they are drawn in
            the order of `LAYERS`.
        crop_size_wh: width and height in pixels of the tagged crops; None for the whole image.
        seed: of points and scribbles.
        factor: how many times each pixel is repeated along both axes before drawing.
        named: whether names are written; those of tags are.
    """
    canvas = _Canvas(
        # OpenCV draws into contiguous arrays alone. `enlarge` copies, so the given photo stays as
        # it is.
        picture=np.ascontiguousarray(enlarge(photo, factor)),
        label=label,
        factor=factor,
        categories=categories,
        crop_size_wh=crop_size_wh,
        seed=seed,
    )
    for layer, draw in LAYERS.items():
        if layer in layers:
            draw(canvas)
    # Names come after all layers, so that no layer covers one and `write_names` knows them all.
    if named:
        write_names(canvas.picture, [canvas.names[i] for i in canvas.objects if i in canvas.names])
    if "tags" in layers:
        _write_tags(canvas)
    return canvas.picture


def readable_factor(width: int, height: int) -> int:
    """Return how many times a photo of so many pixels is enlarged, so that names can be read.

    No side becomes longer by it than `MAX_DRAWN_SIDE`: a photo may be narrow and very high.
    """
    wanted = -(-MIN_DRAWN_WIDTH // width)
    return max(1, min(wanted, MAX_DRAWN_SIDE // max(width, height)))


def enlarge(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return a picture or a map with every pixel repeated `factor` times along both axes."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def enlarge_label(label: FullLabel, factor: int) -> FullLabel:
    """Return the label of the enlarged picture."""
    return with_map(label, enlarge(label.segment_map, factor))


def contact_sheet(pictures: Sequence[Photo], columns: int) -> Photo:
    """Return the pictures in rows of `columns`, each at the upper left of its cell, on white.

    All cells are as high as the highest picture and as wide as the widest, with `GAP` between.

    Raises:
        ValueError: without pictures or columns.
    """
    if not pictures or columns < 1:
        raise ValueError(f"{len(pictures)} pictures in {columns} columns: give at least one each")
    columns = min(columns, len(pictures))
    num_rows = -(-len(pictures) // columns)
    height = max(picture.shape[0] for picture in pictures) + GAP
    width = max(picture.shape[1] for picture in pictures) + GAP
    sheet = np.full((num_rows * height - GAP, columns * width - GAP, 3), 255, dtype=np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet


def encode_png(picture: Photo) -> bytes:
    """Return the content of a PNG file.

    Raises:
        DatasetError: where the picture is larger than such a file can be.
    """
    return _encode(picture, ".png")


def encode_jpeg(picture: Photo, quality: int = 95) -> bytes:
    """Return the content of a JPEG file, for pictures that are looked at.

    Args:
        picture: (H, W, 3) RGB.
        quality: from 0 to 100; a small file has little.

    Raises:
        DatasetError: where a side is longer than a JPEG's can be, 65,500 pixels.
    """
    return _encode(picture, ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality)


def _encode(picture: Photo, suffix: str, *settings: int) -> bytes:
    height, width = picture.shape[:2]
    is_encoded, content = cv2.imencode(suffix, picture[..., ::-1], settings)
    if not is_encoded:
        raise DatasetError(
            f"a picture of {width} x {height} pixels is too large for {suffix}: leave it out"
        )
    return content.tobytes()


def _draw_segments(canvas: _Canvas) -> None:
    # Sixteen bits keep the sum with the photo from wrapping around before it is halved.
    colours = np.zeros((256, 3), dtype=np.uint16)  # Void stays black.
    colours[: len(canvas.categories)] = canvas.categories.palette
    canvas.picture[:] = (canvas.picture + colours[class_map(canvas.large, canvas.categories)]) // 2
    canvas.picture[_borders(canvas.large.segment_map)] = _WHITE
    for segment in canvas.large.segments:
        x, y = _deepest_point(canvas.large.segment_map, segment)
        canvas.name(segment.segment_id, segment.category_id, x, y)


def _draw_coarse(canvas: _Canvas) -> None:
    outlines, _ = outlines_of(canvas.full, canvas.categories)
    for outline in outlines:
        colour = canvas.categories.by_id(outline.category_id).colour
        polygons = [canvas.enlarged(polygon) for polygon in outline.polygons_xy]
        # Polygons of one segment may overlap: filled together first, they tint a pixel only once.
        filled = canvas.picture.copy()
        for polygon in polygons:
            cv2.fillPoly(filled, [polygon], colour)
        canvas.picture[:] = (canvas.picture.astype(np.uint16) + filled) // 2
        cv2.polylines(canvas.picture, polygons, isClosed=True, color=_WHITE, thickness=canvas.line)
        x, y = polygons[0].mean(axis=0).astype(int).tolist()
        canvas.name(outline.segment_id, outline.category_id, x, y)


def _draw_boxes(canvas: _Canvas) -> None:
    for number, box in canvas.objects.items():
        category = canvas.categories.by_id(box.category_id)
        if category.is_thing:
            x0, y0, x1, y1 = (canvas.factor * side for side in box.box_xyxy)
            rim = canvas.line
            # Dark colours would be lost on dark photos without a rim inside.
            for inset, ink in ((rim, _WHITE), (0, category.colour)):
                corners = (x0 + inset, y0 + inset), (x1 - 1 - inset, y1 - 1 - inset)
                cv2.rectangle(canvas.picture, *corners, ink, rim)
            note = " (group)" if box.is_group else ""
            canvas.name(number, box.category_id, x0, y0, note)


def _draw_scribbles(canvas: _Canvas) -> None:
    for scribble in scribbles_of(canvas.full, canvas.categories, canvas.seed):
        colour = canvas.categories.by_id(scribble.category_id).colour
        stroke = [canvas.enlarged(scribble.points_xy)]
        # The white and the black rim keep a stroke visible on ground of any colour.
        for ink, width in ((_WHITE, 5), (_BLACK, 4), (colour, 3)):
            cv2.polylines(
                canvas.picture, stroke, isClosed=False, color=ink, thickness=width * canvas.line
            )
        x, y = stroke[0][len(stroke[0]) // 2].tolist()
        canvas.name(scribble.segment_id, scribble.category_id, x, y)


def _draw_points(canvas: _Canvas) -> None:
    for point in points_of(canvas.full, canvas.categories, canvas.seed):
        colour = canvas.categories.by_id(point.category_id).colour
        x, y = canvas.enlarged([(point.x, point.y)])[0].tolist()
        for ink, radius in ((_WHITE, 6), (_BLACK, 5), (colour, 4)):
            cv2.circle(canvas.picture, (x, y), radius * canvas.line, ink, cv2.FILLED, cv2.LINE_AA)
        canvas.name(point.segment_id, point.category_id, x + 7 * canvas.line, y)


def _draw_grid(canvas: _Canvas) -> None:
    """Draw the crops, which overlap: heavy lines where they begin, light ones where they end."""
    line = canvas.line
    for crop in canvas.crops:
        x0, y0, x1, y1 = (canvas.factor * side for side in crop.box_xyxy)
        cv2.rectangle(canvas.picture, (x0, y0), (x1 - 1, y1 - 1), _WHITE, 1)
        for ink, width in ((_BLACK, 4 * line), (_WHITE, 2 * line)):
            cv2.line(canvas.picture, (x0, y0), (x1 - 1, y0), ink, width)
            cv2.line(canvas.picture, (x0, y0), (x0, y1 - 1), ink, width)


def _write_tags(canvas: _Canvas) -> None:
    """Write each crop's categories where no later crop begins, so that no two blocks meet."""
    lefts = {crop.box_xyxy[0] for crop in canvas.crops}
    tops = {crop.box_xyxy[1] for crop in canvas.crops}
    for crop in canvas.crops:
        x0, y0, x1, y1 = crop.box_xyxy
        x1 = min((x for x in lefts if x > x0), default=x1)
        y1 = min((y for y in tops if y > y0), default=y1)
        margin = 3 * canvas.line
        area = (
            canvas.factor * x0 + margin,
            canvas.factor * y0 + margin,
            canvas.factor * x1 - margin,
            canvas.factor * y1 - margin,
        )
        tagged = [canvas.categories.by_id(i) for i in crop.category_ids]
        names = [Name(text=c.name, colour=c.colour, left=area[0], top=area[1]) for c in tagged]
        write_block(canvas.picture, names, area)


def _box_area(box: Box) -> int:
    x0, y0, x1, y1 = box.box_xyxy
    return (x1 - x0) * (y1 - y0)


def _borders(segment_map: SegmentMap) -> NDArray[np.bool_]:
    """Return (H, W), true on pixels whose right or lower neighbour is of another segment."""
    borders = np.zeros(segment_map.shape, dtype=bool)
    borders[:, :-1] |= segment_map[:, 1:] != segment_map[:, :-1]
    borders[:-1] |= segment_map[1:] != segment_map[:-1]
    return borders


def _deepest_point(segment_map: SegmentMap, segment: Segment) -> tuple[int, int]:
    """Return (x, y) of the segment's pixel that is farthest from everything else."""
    x0, y0, x1, y1 = segment.box_xyxy
    # The rim of zeros makes the sides of the box count as borders of the segment.
    mask = np.pad(segment_map[y0:y1, x0:x1] == segment.segment_id, 1).astype(np.uint8)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return x0 + int(x), y0 + int(y)


LAYERS: dict[str, Callable[[_Canvas], None]] = {
    "segments": _draw_segments,
    "coarse": _draw_coarse,
    "boxes": _draw_boxes,
    "scribbles": _draw_scribbles,
    "points": _draw_points,
    "tags": _draw_grid,
}
"""The function that draws each layer, in the order in which they are drawn."""

WEAK_LAYERS = ("boxes", "tags")
"""The layers that a label without masks has."""
