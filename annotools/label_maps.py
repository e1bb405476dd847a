"""Measure segment maps in one pass, and look up classes and instances by segment id.

Label maps have a hundred times fewer runs than pixels: what is asked of a map is asked of its
runs, and a caller with several questions finds them once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.records import VOID, BoxXYXY, FullLabel, Runs, Segment, SegmentMap, draw_runs


def find_runs(segment_map: NDArray[np.integer]) -> Runs:
    """Return the runs of an (H, W) map, as long as they can be."""
    flat = segment_map.ravel()
    changes = np.ones(flat.size, dtype=bool)
    np.not_equal(flat[1:], flat[:-1], out=changes[1:])
    changes.reshape(segment_map.shape)[:, :1] = True
    starts = np.flatnonzero(changes)
    height, width = segment_map.shape
    return Runs(
        height=height,
        width=width,
        starts=starts,
        lengths=np.diff(starts, append=flat.size),
        ids=flat[starts],
    )


def replace_ids(runs: Runs, value_of: Mapping[int, int], default: int) -> Runs:
    """Return the runs with each id replaced by its value, `default` for ids not listed."""
    ids, place = _distinct_ids(runs)
    values = np.array([value_of.get(i, default) for i in ids.tolist()], dtype=np.int32)
    return replace(runs, ids=values[place])


def measure_runs(runs: Runs) -> dict[int, tuple[int, BoxXYXY]]:
    """Return what `measure_segments` returns for the map that has these runs."""
    ids, place = _distinct_ids(runs)
    across, along = np.divmod(runs.starts, runs.height if runs.is_down else runs.width)
    # Weights are added as floats, which are exact for all numbers of pixels that a map can have.
    areas = np.bincount(place, weights=runs.lengths, minlength=len(ids)).astype(np.int64)
    low = np.full((2, len(ids)), runs.height * runs.width)
    high = np.zeros((2, len(ids)), dtype=np.int64)
    sides = [(along, along + runs.lengths), (across, across + 1)]
    for axis, (first, last) in enumerate(reversed(sides) if runs.is_down else sides):
        np.minimum.at(low[axis], place, first)
        np.maximum.at(high[axis], place, last)
    corners = np.concatenate([low, high])  # (4, N)
    return {
        segment_id: (area, (x0, y0, x1, y1))
        for segment_id, area, (x0, y0, x1, y1) in zip(
            ids.tolist(), areas.tolist(), corners.T.tolist(), strict=True
        )
        if segment_id != VOID
    }


def ids_in_box(runs: Runs, box_xyxy: BoxXYXY) -> list[int]:
    """Return the ids with a pixel in a half-open box, sorted, void left out."""
    x0, y0, x1, y1 = box_xyxy
    length = runs.width
    if runs.is_down:
        x0, y0, x1, y1, length = y0, x0, y1, x1, runs.height
    # No run leaves its row, so those of some rows lie together in the sorted starts.
    first, last = np.searchsorted(runs.starts, (y0 * length, y1 * length))
    columns = runs.starts[first:last] % length
    touches = (columns < x1) & (columns + runs.lengths[first:last] > x0)
    ids: list[int] = np.unique(runs.ids[first:last][touches]).tolist()
    return [segment_id for segment_id in ids if segment_id != VOID]


def measure_segments(segment_map: NDArray[np.integer]) -> dict[int, tuple[int, BoxXYXY]]:
    """Return area in pixels and tight half-open box of each segment id, void left out.

    Args:
        segment_map: (H, W), non-negative ids of any size.
    """
    return measure_runs(find_runs(segment_map))


def look_up(
    segment_map: NDArray[np.integer], value_of: Mapping[int, int], default: int
) -> SegmentMap:
    """Return the map with each segment id replaced by its value, `default` for ids not listed."""
    return draw_runs(replace_ids(find_runs(segment_map), value_of, default))


def build_label(
    image_id: int | str,
    segment_map: SegmentMap,
    category_of: Mapping[int, int],
    groups: Sequence[int] = (),
) -> FullLabel:
    """Return the full label of a segment map.

    Args:
        image_id: the dataset's own.
        segment_map: (H, W) segment ids, `VOID` where unlabelled.
        category_of: category id by segment id; ids with no pixel in the map are left out.
        groups: segment ids that are groups.
    """
    label = label_of_runs(image_id, find_runs(segment_map), category_of, groups)
    return replace(label, drawn=segment_map)


def with_map(label: FullLabel, segment_map: SegmentMap) -> FullLabel:
    """Return the segments of a label as another map of its image, or of a part of it, has them.

    What the label says of more than its map, such as boxes of whole objects, is left out.
    """
    category_of = {segment.segment_id: segment.category_id for segment in label.segments}
    groups = [segment.segment_id for segment in label.segments if segment.is_group]
    return build_label(label.image_id, segment_map, category_of, groups)


def label_of_runs(
    image_id: int | str,
    runs: Runs,
    category_of: Mapping[int, int],
    groups: Sequence[int] = (),
) -> FullLabel:
    """Return the full label of the map that has these runs, which is not drawn before it is asked.

    Args:
        image_id: the dataset's own.
        runs: of the map.
        category_of: as `build_label` has it.
        groups: as `build_label` has it.
    """
    segments = tuple(
        Segment(
            segment_id=segment_id,
            # An id without a category is a KeyError, and readers make a message of it.
            category_id=category_of[segment_id],
            area=area,
            box_xyxy=box,
            is_group=segment_id in groups,
        )
        for segment_id, (area, box) in measure_runs(runs).items()
    )
    return FullLabel(image_id=image_id, runs=runs, segments=segments)


def class_map(label: FullLabel, categories: CategorySet) -> NDArray[np.uint8]:
    """Return the class index of each pixel: (H, W), `IGNORE_INDEX` on void."""
    value_of = {s.segment_id: categories.class_index_of[s.category_id] for s in label.segments}
    return look_up(label.segment_map, value_of, default=IGNORE_INDEX).astype(np.uint8)


def instance_map(label: FullLabel, categories: CategorySet) -> NDArray[np.int32]:
    """Return (H, W) instance numbers 1..N of the things; 0 on stuff, void and groups."""
    instances = [
        s.segment_id
        for s in label.segments
        if categories.by_id(s.category_id).is_thing and not s.is_group
    ]
    value_of = {segment_id: number for number, segment_id in enumerate(instances, start=1)}
    return look_up(label.segment_map, value_of, default=0)


def _distinct_ids(runs: Runs) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """Return the distinct ids (N,), sorted, and the place of each run's id among them (R,)."""
    # Several times as fast as what np.unique does for return_inverse.
    ids = np.unique(runs.ids)
    return ids, np.searchsorted(ids, runs.ids)
