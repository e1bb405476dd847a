"""Pure functions on segment maps: one pass for areas and boxes, lookups from ids to classes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.records import VOID, BoxXYXY, Drop, FullLabel, Segment, SegmentMap


def measure_segments(segment_map: NDArray[np.integer]) -> dict[int, tuple[int, BoxXYXY]]:
    """Return area in pixels and tight half-open box of each segment id, void left out.

    Args:
        segment_map: (H, W), non-negative ids of any size.
    """
    starts, lengths, ids, run_of = _find_runs(segment_map)
    rows, columns = np.divmod(starts, segment_map.shape[1])
    areas = np.bincount(run_of, weights=lengths, minlength=len(ids)).astype(np.int64)
    low, high = np.full((2, len(ids)), segment_map.size), np.zeros((2, len(ids)), dtype=np.int64)
    for axis, (first, last) in enumerate([(columns, columns + lengths), (rows, rows + 1)]):
        np.minimum.at(low[axis], run_of, first)
        np.maximum.at(high[axis], run_of, last)
    return {
        int(ids[i]): (
            int(areas[i]),
            (int(low[0, i]), int(low[1, i]), int(high[0, i]), int(high[1, i])),
        )
        for i in range(len(ids))
        if ids[i] != VOID
    }


def build_label(
    image_id: int | str,
    segment_map: SegmentMap,
    category_of: Mapping[int, int],
    groups: Sequence[int] = (),
    drops: tuple[Drop, ...] = (),
) -> FullLabel:
    """Return the full label of a segment map.

    Args:
        image_id: the dataset's own.
        segment_map: (H, W) segment ids, `VOID` where unlabelled.
        category_of: category id by segment id; ids with no pixel in the map are left out.
        groups: segment ids that are groups.
        drops: objects of the source that have no pixel in the map.
    """
    measured = measure_segments(segment_map)
    segments = tuple(
        Segment(
            segment_id=segment_id,
            category_id=category_of[segment_id],
            area=area,
            box_xyxy=box,
            is_group=segment_id in groups,
        )
        for segment_id, (area, box) in measured.items()
    )
    return FullLabel(image_id=image_id, segment_map=segment_map, segments=segments, drops=drops)


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


def look_up(
    segment_map: NDArray[np.integer], value_of: Mapping[int, int], default: int
) -> SegmentMap:
    """Return the map with each segment id replaced by its value, `default` for ids not listed."""
    _, lengths, ids, run_of = _find_runs(segment_map)
    values = np.array([value_of.get(int(i), default) for i in ids], dtype=np.int32)
    return np.repeat(values[run_of], lengths).reshape(segment_map.shape)


def _find_runs(
    segment_map: NDArray[np.integer],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.integer], NDArray[np.int64]]:
    """Return the horizontal runs of one id, in reading order.

    Label maps have a hundred times fewer runs than pixels, which makes sorting them cheap.

    Returns:
        starts: (R,), flat index where each run begins.
        lengths: (R,), pixels in each run.
        ids: (N,), the distinct ids, sorted.
        run_of: (R,), place in `ids` of each run's id.
    """
    changes = np.ones(segment_map.shape, dtype=bool)
    np.not_equal(segment_map[:, 1:], segment_map[:, :-1], out=changes[:, 1:])
    starts = np.flatnonzero(changes)
    lengths = np.diff(starts, append=segment_map.size)
    ids, run_of = np.unique(segment_map.ravel()[starts], return_inverse=True)
    return starts, lengths, ids, run_of
