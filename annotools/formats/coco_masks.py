"""Decode the masks of COCO files: polygons, and run lengths compressed or not."""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from annotools.errors import DatasetError
from annotools.formats.polygons import is_near_image
from annotools.records import BoxXYXY


@dataclass(frozen=True, kw_only=True)
class ColumnRuns:
    """The pixels of a mask as runs down the columns, each of a pixel or more, in order.

    `starts` (R,) are places in the image read column by column, `lengths` (R,) are pixels; a run
    goes on at the top of the next column. A mask without a pixel has no run.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @cached_property
    def area(self) -> int:
        """How many pixels there are."""
        return int(self.lengths.sum())


def find_column_runs(segmentation: Any, height: int, width: int) -> ColumnRuns:
    """Return the runs of a mask.

    Args:
        segmentation: polygons, or run lengths compressed or not.
        height: of the image in pixels.
        width: of the image in pixels.

    Raises:
        DatasetError: without the place in the file, for an impossible mask.
    """
    counts = np.array(_find_counts(segmentation, height, width), dtype=np.int64)
    # Every second run is inside the mask; some encoders write runs without a pixel.
    starts, lengths = np.cumsum(counts)[:-1:2], counts[1::2]
    return ColumnRuns(starts=starts[lengths > 0], lengths=lengths[lengths > 0])


def find_pixels(segmentation: Any, height: int, width: int) -> NDArray[np.int64]:
    """Return the pixels of a mask: (P,), places in the image read column by column.

    Raises:
        DatasetError: as `find_column_runs`.
    """
    return pixels_of(find_column_runs(segmentation, height, width))


def pixels_of(runs: ColumnRuns) -> NDArray[np.int64]:
    """Return the places of the pixels that some runs have: (P,), in order."""
    # One range counts all pixels: what each run repeats is its start, less the number of pixels in
    # the runs before it.
    first = np.cumsum(runs.lengths) - runs.lengths
    return np.repeat(runs.starts - first, runs.lengths) + np.arange(runs.area)


def tight_box(runs: ColumnRuns, height: int) -> BoxXYXY:
    """Return the half-open box of a mask with a pixel or more, as pycocotools' `toBbox` has it.

    Args:
        runs: of the mask.
        height: of the image in pixels.
    """
    last = runs.starts + runs.lengths - 1
    left, right = int(runs.starts[0]) // height, int(last[-1]) // height
    # A run that goes on in the next column has a pixel at the bottom of one and the top of another.
    if (runs.starts // height != last // height).any():
        return left, 0, right + 1, height
    return left, int((runs.starts % height).min()), right + 1, int((last % height).max()) + 1


def _find_counts(segmentation: Any, height: int, width: int) -> list[int]:
    """Return run lengths, column by column, outside and inside the mask in turn."""
    if isinstance(segmentation, list):
        check_polygons(segmentation, height, width)
        # The polygons of an annotation are parts of one object and never holes, so they are united.
        mask = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
        segmentation = {"size": [height, width], "counts": mask["counts"].decode("ascii")}
    if not isinstance(segmentation, dict):
        raise DatasetError("segmentation is neither polygons nor run lengths: give one of them")
    if segmentation.get("size") != [height, width]:
        raise DatasetError(
            f"run lengths of size {segmentation.get('size')} on an image of height and width "
            f"{[height, width]}: encode the mask at the size of its image"
        )
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = _unpack_counts(counts)
    if not isinstance(counts, list) or any(type(c) is not int or c < 0 for c in counts):
        raise DatasetError("run lengths are not counts of pixels: encode the mask again")
    if sum(counts) != height * width:
        raise DatasetError(
            f"run lengths add up to {sum(counts)} pixels, not {height * width}: "
            "encode the mask at the size of its image"
        )
    return counts


def check_polygons(polygons: list[Any], height: int, width: int) -> None:
    """Make sure that polygons are lists of coordinates near the image.

    Raises:
        DatasetError: without the place in the file, when one is not.
    """
    if not polygons:
        raise DatasetError("segmentation has no polygon: add a mask, a box is no mask")
    for polygon in polygons:
        # pycocotools would take a list of four numbers for a box and not for a polygon.
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise DatasetError("a polygon is not a list of x, y for 3 points or more: repair it")
        for value, size in zip(polygon, itertools.cycle((width, height))):
            if not is_near_image(value, size):
                raise DatasetError(
                    f"a polygon has the coordinate {value!r}, not one near the image: repair it"
                )


def _unpack_counts(text: str) -> list[int] | None:
    """Return the run lengths in COCO's compressed text, None where it is damaged.

    Each character holds 5 bits of a number, lowest first, and one that says whether more follow;
    numbers are signed, and from the fourth on are differences to the number two places before.
    pycocotools' own decoder reads past the end of damaged text, and where the runs are too short
    returns memory as it was; hence this one.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        # The highest bit of a number's last character is its sign.
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts if shift == 0 else None
