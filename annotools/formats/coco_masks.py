"""Decode the masks of COCO files: polygons, and run lengths compressed or not."""

import itertools
import math
import operator
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from annotools.errors import DatasetError
from annotools.formats.polygons import is_near_image
from annotools.records import BoxXYXY

_LONG_RUN = 32
"""Runs of so many pixels are sooner painted one by one than pixel by pixel."""

_PART = 2**16
"""As many shorter runs are painted at once."""

_MOST = 2**40
"""Longer than any run of an image that may be."""

_MOST_LETTERS = 7
"""Numbers of more have more than the 27 bits of a pixel's place in the largest image, and a sign.
"""


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


_FOUND_LAST = deque[tuple[Sequence[Any], tuple[int, int], list[ColumnRuns | DatasetError]]](
    maxlen=1
)
"""The masks of the last image, its height and width, and their runs."""


def find_column_runs(segmentation: Any, height: int, width: int) -> ColumnRuns:
    """Return the runs of a mask.

    Args:
        segmentation: polygons, or run lengths compressed or not.
        height: of the image in pixels.
        width: of the image in pixels.

    Raises:
        DatasetError: without the place in the file, for an impossible mask.
    """
    counts = _find_counts(segmentation, height, width)
    # Every second run is inside the mask; some encoders write runs without a pixel.
    starts, lengths = np.cumsum(counts)[:-1:2], counts[1::2]
    return ColumnRuns(starts=starts[lengths > 0], lengths=lengths[lengths > 0])


def paint(flat: NDArray[np.integer], runs: ColumnRuns, value: int) -> None:
    """Give the pixels of some runs a value.

    Args:
        flat: (W H,), an image read column by column; it is changed.
        runs: of a mask.
        value: for its pixels.
    """
    if runs.area > _LONG_RUN * len(runs.starts):
        ends = runs.starts + runs.lengths
        for start, end in zip(runs.starts.tolist(), ends.tolist(), strict=True):
            flat[start:end] = value
        return
    # Part by part, so that the places of a large mask do not take more memory than its image.
    for first in range(0, len(runs.starts), _PART):
        part = slice(first, first + _PART)
        flat[pixels_of(ColumnRuns(starts=runs.starts[part], lengths=runs.lengths[part]))] = value


def find_all_column_runs(
    segmentations: Sequence[Any], height: int, width: int
) -> list[ColumnRuns | DatasetError]:
    """Return the runs of each mask of an image, or what `find_column_runs` raises for it.

    Where the same objects are asked for again at once they are not decoded again: a check looks at
    an image's masks, and then at the label that they make.
    """
    for asked, size, found in _FOUND_LAST:
        is_same = size == (height, width) and len(asked) == len(segmentations)
        if is_same and all(map(operator.is_, asked, segmentations)):
            return found
    found = _find_all(segmentations, height, width)
    _FOUND_LAST.append((tuple(segmentations), (height, width), found))
    return found


def _find_all(
    segmentations: Sequence[Any], height: int, width: int
) -> list[ColumnRuns | DatasetError]:
    """Decode masks of one polygon, which most are, together, and all others one by one."""
    alone = [
        n
        for n, mask in enumerate(segmentations)
        if isinstance(mask, list) and len(mask) == 1 and _is_polygon(mask[0], height, width)
    ]
    found: dict[int, ColumnRuns | DatasetError] = {}
    if alone:
        # pycocotools takes a list of polygons for the parts of one mask, and returns each.
        rles = coco_mask.frPyObjects([segmentations[n][0] for n in alone], height, width)
        found.update(zip(alone, _unpack_all([rle["counts"] for rle in rles]), strict=True))
    for n, mask in enumerate(segmentations):
        if n not in found:
            try:
                found[n] = find_column_runs(mask, height, width)
            except DatasetError as error:
                found[n] = error
    return [found[n] for n in range(len(segmentations))]


def _unpack_all(texts: Sequence[bytes]) -> list[ColumnRuns]:
    """Return the runs of compressed masks of one image that pycocotools made, so that all fit."""
    bits = np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(bits & 0x20 == 0)
    numbers = _numbers_of(bits, ends)
    # How many numbers each text has, and so how many pairs: outside and inside the mask.
    size = np.diff(np.searchsorted(ends, np.cumsum([len(text) for text in texts])), prepend=0)
    num_pairs = (size + 1) // 2
    last = np.cumsum(num_pairs) - 1
    first = last + 1 - num_pairs
    is_odd = size % 2 == 1
    # What is inside is missing from the last pair where a text has an odd number of numbers.
    is_there = np.ones(2 * int(num_pairs.sum()), dtype=bool)
    is_there[2 * last[is_odd] + 1] = False
    pairs = np.zeros((len(is_there) // 2, 2), dtype=np.int64)
    pairs.ravel()[is_there] = numbers
    # The first number stands alone; all others are differences to those two places before.
    alone = pairs[first, 0]
    pairs[first, 0] = 0
    counts = _sums_within(pairs, first, num_pairs)
    counts[first, 0] = alone
    counts[last[is_odd], 1] = 0
    lengths = counts[:, 1]
    starts = _sums_within(counts[:, 0] + counts[:, 1], first, num_pairs) - lengths
    # Some runs are without a pixel.
    is_run = lengths > 0
    num_runs = np.cumsum(is_run)[last].tolist()
    starts, lengths = starts[is_run], lengths[is_run]
    return [
        ColumnRuns(starts=starts[begin:end], lengths=lengths[begin:end])
        for begin, end in zip([0, *num_runs[:-1]], num_runs, strict=True)
    ]


def _sums_within(
    values: NDArray[np.int64], first: NDArray[np.int64], count: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the running sums of rows, which begin anew at each first row of so many."""
    sums = np.cumsum(values, axis=0)
    return np.asarray(sums - np.repeat(sums[first] - values[first], count, axis=0))


def _numbers_of(bits: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the signed numbers of letters of 6 bits, the last ones of which are at `ends`."""
    starts = np.concatenate([[0], ends[:-1] + 1])
    letters = ends - starts + 1
    shifts = 5 * (np.arange(bits.size) - np.repeat(starts, letters))
    numbers = np.add.reduceat((bits & 0x1F) << shifts, starts)
    # The highest bit of a number's last character is its sign.
    return np.asarray(numbers - np.where(bits[ends] & 0x10, 1 << 5 * letters, 0))


def pixels_of(runs: ColumnRuns) -> NDArray[np.int64]:
    """Return the places of the pixels that some runs have: (P,), in order."""
    # One range counts all pixels: what each run repeats is its start, less the number of pixels in
    # the runs before it.
    first = np.cumsum(runs.lengths) - runs.lengths
    return np.repeat(runs.starts - first, runs.lengths) + np.arange(runs.area)


def tight_boxes(masks: Sequence[ColumnRuns], height: int) -> list[BoxXYXY]:
    """Return the half-open box of each mask of an image, as pycocotools' `toBbox` has it.

    Args:
        masks: with a pixel or more each.
        height: of the image in pixels.
    """
    if not masks:
        return []
    starts = np.concatenate([runs.starts for runs in masks])
    last = starts + np.concatenate([runs.lengths for runs in masks]) - 1
    ends = np.cumsum([len(runs.starts) for runs in masks])
    firsts = np.concatenate([[0], ends[:-1]])
    (first_x, first_y), (last_x, last_y) = np.divmod(starts, height), np.divmod(last, height)
    # A run that goes on in the next column has a pixel at the bottom of one and the top of another.
    goes_on = first_x != last_x
    first_y[goes_on], last_y[goes_on] = 0, height - 1
    corners = (
        first_x[firsts],
        np.minimum.reduceat(first_y, firsts),
        last_x[ends - 1] + 1,
        np.maximum.reduceat(last_y, firsts) + 1,
    )
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in np.stack(corners, axis=1).tolist()]


def count_common(runs: ColumnRuns, others: ColumnRuns) -> int:
    """Return how many pixels two masks share; neither is empty."""
    ends = runs.starts + runs.lengths
    return int((_pixels_before(others, ends) - _pixels_before(others, runs.starts)).sum())


def _pixels_before(runs: ColumnRuns, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many pixels of a mask come before each place."""
    # Of the last run that begins before a place, as many count as come before it.
    last = np.searchsorted(runs.starts, places, side="right") - 1
    before = np.cumsum(runs.lengths) - runs.lengths
    inside = np.minimum(places - runs.starts[last], runs.lengths[last])
    return np.where(last < 0, 0, before[last] + inside)


def _find_counts(segmentation: Any, height: int, width: int) -> NDArray[np.int64]:
    """Return run lengths, column by column, outside and inside the mask in turn."""
    if isinstance(segmentation, list):
        check_polygons(segmentation, height, width)
        masks = coco_mask.frPyObjects(segmentation, height, width)
        # The polygons of an annotation are parts of one object and never holes, so they are united.
        mask = masks[0] if len(masks) == 1 else coco_mask.merge(masks)
        segmentation = {"size": [height, width], "counts": mask["counts"].decode("ascii")}
    if not isinstance(segmentation, dict):
        raise DatasetError("segmentation is neither polygons nor run lengths: give one of them")
    size = segmentation.get("size")
    if size != [height, width]:
        raise DatasetError(
            f"run lengths of size {str(size)[:80]} on an image of height and width "
            f"{[height, width]}: encode the mask at the size of its image"
        )
    given = segmentation.get("counts")
    counts = _unpack_counts(given) if isinstance(given, str) else _take_counts(given)
    if counts is None or counts.min(initial=0) < 0:
        raise DatasetError("run lengths are not counts of pixels: encode the mask again")
    pixels = height * width
    # Without a longer run, the sum of all that a file can hold is a number as others are.
    if counts.max(initial=0) > pixels:
        raise DatasetError(
            f"a run is longer than all {pixels} pixels: encode the mask at the size of its image"
        )
    if counts.sum() != pixels:
        raise DatasetError(
            f"run lengths add up to {counts.sum()} pixels, not {pixels}: "
            "encode the mask at the size of its image"
        )
    return counts


def _take_counts(given: Any) -> NDArray[np.int64] | None:
    """Return run lengths that are a list, None where something else is in it."""
    if not isinstance(given, list) or not set(map(type, given)) <= {int}:
        return None
    # Python's numbers have no end; what does not fit here is longer than any image.
    return np.array([min(max(count, -1), _MOST) for count in given], dtype=np.int64)


def check_polygons(polygons: list[Any], height: int, width: int) -> None:
    """Make sure that polygons are lists of coordinates near the image.

    Raises:
        DatasetError: without the place in the file, when one is not.
    """
    if not polygons:
        raise DatasetError("segmentation has no polygon: add a mask, a box is no mask")
    for polygon in polygons:
        if _is_polygon(polygon, height, width):
            continue
        # pycocotools would take a list of four numbers for a box and not for a polygon.
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise DatasetError("a polygon is not a list of x, y for 3 points or more: repair it")
        for value, size in zip(polygon, itertools.cycle((width, height))):
            if not is_near_image(value, size):
                raise DatasetError(
                    f"a polygon has the coordinate {value!r}, not one near the image: repair it"
                )


def _is_polygon(polygon: Any, height: int, width: int) -> bool:
    """Tell at once what `check_polygons` looks for number by number."""
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    if not set(map(type, polygon)) <= {int, float}:
        return False
    x, y = polygon[::2], polygon[1::2]
    is_near = all(is_near_image(v, width) for v in (min(x), max(x))) and all(
        is_near_image(v, height) for v in (min(y), max(y))
    )
    # Not-a-number hides from the least and the largest, and not from the sum.
    return is_near and not math.isnan(sum(polygon))


def _unpack_counts(text: str) -> NDArray[np.int64] | None:
    """Return the run lengths in COCO's compressed text, None where it is damaged.

    Each character holds 5 bits of a number, lowest first, and one that says whether more follow;
    numbers are signed, and from the fourth on are differences to the number two places before.
    pycocotools' own decoder reads past the end of damaged text, and where the runs are too short
    returns memory as it was; hence this one.
    """
    try:
        # A text without a character is a mask without a run.
        bits = np.frombuffer(text.encode("latin-1"), dtype=np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        return None
    if not bits.size:
        return bits
    ends = np.flatnonzero(bits & 0x20 == 0)
    if bits.min() < 0 or bits.max() >= 64 or not ends.size or ends[-1] != bits.size - 1:
        return None
    if np.diff(ends, prepend=-1).max() > _MOST_LETTERS:
        return None
    numbers = _numbers_of(bits, ends)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
