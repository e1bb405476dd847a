"""Modules hand these records to each other: image, segment, box, tagged crop, label, dataset.

Coordinates are pixels. Boxes are half-open, `[x0, y0, x1, y1)`; formats with another convention
convert at their border.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet

VOID = 0
"""Segment id of a pixel that belongs to no segment: unlabelled, left out of every score."""

SegmentMap = NDArray[np.int32]
"""(H, W) segment ids of one image, `VOID` where unlabelled."""

Photo = NDArray[np.uint8]
"""(H, W, 3) RGB."""

BoxXYXY = tuple[int, int, int, int]
"""Half-open pixel box (x0, y0, x1, y1)."""

LABEL_KINDS = ("full", "boxes", "tags", "boxes+tags", "points", "scribbles", "coarse")
"""What can be bought for an image."""

TAGGED_KINDS = ("tags", "boxes+tags")
"""Those of them that have tags."""

BOXED_KINDS = ("boxes", "boxes+tags")
"""Those of them that have boxes."""

MARKED_KINDS = ("points", "scribbles", "coarse")
"""Those of them that are marks inside segments, and say nothing of all other pixels."""

NO_LABEL = "none"
"""Stands for the kind of an image that is used without a label: it costs nothing."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image: `image_id` is the dataset's own, `path` is None where there is no photo file.

    `label_paths` are the files that hold this image's label alone. `has_photo_size` is true where
    nothing but the photo says how large the image is.
    """

    image_id: int | str
    file_name: str
    width: int
    height: int
    path: Path | None = None
    label_paths: tuple[Path, ...] = ()
    has_photo_size: bool = field(default=False, compare=False)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width, self.height


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A set of pixels with one category.

    `segment_id` is its number in the image's segment map (not `VOID`), `area` counts its pixels,
    `is_group` is true for a thing region whose instances are not told apart.
    """

    segment_id: int
    category_id: int
    area: int
    box_xyxy: BoxXYXY
    is_group: bool = False


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Something the source has that a result lacks: what and where it was, and why it went.

    As a doubt, it is something that the result has although it may be wrong: where it is, and why.
    `is_refused` is true of what readers refuse, unless missing ones are allowed.
    """

    place: str
    reason: str
    is_refused: bool = field(default=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Box:
    """A thing's half-open box; `is_group` when it encloses instances not told apart."""

    category_id: int
    box_xyxy: BoxXYXY
    is_group: bool = False


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The horizontal runs of a map, in reading order; neighbours may have the same id.

    `starts` (R,) are flat indices into the map, `lengths` (R,) are pixels; no run leaves its row.
    `ids` (R,) are the map's, void ones included. Where `is_down`, runs go down the columns, and
    all this is said of the transposed map.
    """

    height: int
    width: int
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    ids: NDArray[np.integer]
    is_down: bool = False


def draw_runs(runs: Runs) -> SegmentMap:
    """Return the (H, W) map that has these runs."""
    drawn = np.repeat(runs.ids.astype(np.int32), runs.lengths)
    if runs.is_down:
        # Several times as fast as a copy of NumPy's transposed view.
        return np.asarray(cv2.transpose(drawn.reshape(runs.width, runs.height)), dtype=np.int32)
    return drawn.reshape(runs.height, runs.width)


@dataclass(frozen=True, kw_only=True)
class FullLabel:
    """The panoptic label of an image: every segment in `segments` is in `runs`.

    A segment is what is visible of an object. `own_boxes` are the boxes of whole objects, by
    segment id, where the source tells them: of those that others cover in part, and of those
    without any visible pixel, which have a number of their own and no segment. Of the latter
    `unseen` says why. `drops` are objects of the source of which the label has neither: objects in
    the source, background left out, are as many as `objects`, background left out, and drops
    together. `doubts` are what the reader took although it may be wrong.
    """

    image_id: int | str
    runs: Runs = field(repr=False, compare=False)
    segments: tuple[Segment, ...]
    drawn: SegmentMap | None = field(default=None, repr=False, compare=False)
    """The map of the runs, where somebody has it."""
    drops: tuple[Drop, ...] = ()
    doubts: tuple[Drop, ...] = ()
    own_boxes: Mapping[int, Box] = field(default_factory=dict)
    unseen: Mapping[int, Drop] = field(default_factory=dict)

    @cached_property
    def segment_map(self) -> SegmentMap:
        """The map, (H, W), which is drawn when it is first asked for."""
        return draw_runs(self.runs) if self.drawn is None else self.drawn

    @property
    def objects(self) -> dict[int, Box]:
        """The boxes of all objects by their number, which is the segment id where there is one."""
        visible = {
            s.segment_id: Box(category_id=s.category_id, box_xyxy=s.box_xyxy, is_group=s.is_group)
            for s in self.segments
        }
        return dict(sorted({**visible, **self.own_boxes}.items()))


@dataclass(frozen=True, kw_only=True)
class TaggedCrop:
    """A fixed crop of an image and the categories present in it, sorted."""

    box_xyxy: BoxXYXY
    category_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A click on a segment: the pixel in column `x` and row `y`, inside the segment."""

    segment_id: int
    category_id: int
    x: int
    y: int


@dataclass(frozen=True, kw_only=True)
class Scribble:
    """A stroke inside a segment: `points_xy` are the pixels (column, row) of its polyline."""

    segment_id: int
    category_id: int
    points_xy: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A coarse region inside a segment: `polygons_xy` are simple polygons of (x, y) in pixels."""

    segment_id: int
    category_id: int
    polygons_xy: tuple[tuple[tuple[int, int], ...], ...]


Mark = Point | Scribble | Outline
"""What an annotator draws inside a segment."""


@dataclass(frozen=True, kw_only=True)
class WeakLabel:
    """What an annotator gave instead of a full label; an empty tuple where nothing was asked.

    `tagged_category_ids` are the categories the annotator was asked about, so that absence of a
    tag is knowledge for these and for no others. `drops` are boxes of a source without masks that
    are not in `boxes`; `doubts` are what the reader took although it may be wrong. `marks` are None
    where nobody was asked for any; `group_ids` are the segment ids of those that are on groups.
    """

    image_id: int | str
    boxes: tuple[Box, ...] = ()
    crops: tuple[TaggedCrop, ...] = ()
    tagged_category_ids: tuple[int, ...] = ()
    has_boxes: bool = False
    drops: tuple[Drop, ...] = ()
    doubts: tuple[Drop, ...] = ()
    marks: tuple[Mark, ...] | None = None
    group_ids: tuple[int, ...] = ()

    @property
    def objects(self) -> dict[int, Box]:
        """The boxes, numbered from 1."""
        return dict(enumerate(self.boxes, start=1))


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images of one split and the functions that read what belongs to each.

    `read_label` gives an image's full label, `read_photo` its pixels; both may raise
    `DatasetError`. `notes` says in words what rules the reader applied, `remarks` what is
    particular to this source: where files were found, what was taken in another form. `drops` are
    images of the source that are not in `images` because a file of theirs is missing; `gaps` are
    files whose absence leaves an image with a lesser label, such as things that are groups.
    `source_files` are the files that hold labels or lists of the whole split. `count_vertices`
    gives the corners of the polygons with which the objects of an image's categories were drawn,
    None where one of these has no polygon; the function is None where the source never has
    polygons. `draws_photos` is true where `read_photo` makes a photo instead of reading a file.
    `read_weak` is there where the source has boxes or tags and no masks: it gives them, and
    `read_label` raises `DatasetError`, because nobody can make masks of them.
    """

    name: str
    split: str
    categories: CategorySet
    images: tuple[Image, ...]
    read_label: Callable[[Image], FullLabel]
    read_photo: Callable[[Image], Photo]
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    drops: tuple[Drop, ...] = ()
    gaps: tuple[Drop, ...] = ()
    source_files: tuple[Path, ...] = ()
    count_vertices: Callable[[Image], int | None] | None = None
    draws_photos: bool = False
    read_weak: Callable[[Image], WeakLabel] | None = None

    @cached_property
    def image_of(self) -> Mapping[int | str, Image]:
        """The images by their id."""
        return {image.image_id: image for image in self.images}

    def has_photo(self, image: Image) -> bool:
        """Return whether `read_photo` can give this image's photo."""
        return self.draws_photos or image.path is not None
