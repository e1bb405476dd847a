"""Lay masks over each other: each pixel is that of the last one which has it.

Between the places where a run of any mask begins or ends, nothing changes. So masks are laid over
these few stretches, and not over all pixels.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from annotools.formats.coco_masks import ColumnRuns, paint
from annotools.label_maps import find_runs
from annotools.records import Runs


def stack_masks(
    masks: Sequence[ColumnRuns], ids: Sequence[int], background: int, size_wh: tuple[int, int]
) -> Runs:
    """Return the runs, down the columns, of the map that has each mask above those before it.

    Args:
        masks: of an image.
        ids: what the map has where a mask is on top.
        background: what it has where there is none.
        size_wh: width and height of the image in pixels.
    """
    width, height = size_wh
    starts = np.concatenate([np.zeros(0, dtype=np.int64), *(mask.starts for mask in masks)])
    lengths = np.concatenate([np.zeros(0, dtype=np.int64), *(mask.lengths for mask in masks)])
    ends = starts + lengths
    # No stretch leaves its column.
    borders = np.arange(0, width * height, height)
    # Sorted and compared, which is faster than `np.unique`.
    places = np.sort(np.concatenate([borders, starts, ends]))
    is_new = np.ones(len(places), dtype=bool)
    np.not_equal(places[1:], places[:-1], out=is_new[1:])
    places = places[is_new & (places < width * height)]
    first, last = np.searchsorted(places, starts), np.searchsorted(places, ends)
    count = last - first
    total = int(count.sum())
    # Many masks with many holes have more stretches than pixels.
    if total > width * height:
        return _paint(masks, ids, background, size_wh)
    found = np.full(len(places), background, dtype=np.int32)
    covered = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(total)
    id_of_run = np.repeat(np.array(ids, dtype=np.int32), [len(mask.starts) for mask in masks])
    # Of the values assigned to one place numpy keeps the last.
    found[covered] = np.repeat(id_of_run, count)
    return Runs(
        height=height,
        width=width,
        starts=places,
        lengths=np.diff(places, append=width * height),
        ids=found,
        is_down=True,
    )


def _paint(
    masks: Sequence[ColumnRuns], ids: Sequence[int], background: int, size_wh: tuple[int, int]
) -> Runs:
    """Return what `stack_masks` does, painted pixel by pixel."""
    width, height = size_wh
    flat = np.full(width * height, background, dtype=np.int32)
    for mask, segment_id in zip(masks, ids, strict=True):
        paint(flat, mask, segment_id)
    runs = find_runs(flat.reshape(width, height))
    return replace(runs, height=height, width=width, is_down=True)
