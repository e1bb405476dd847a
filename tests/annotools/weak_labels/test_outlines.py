from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotools.label_maps import build_label
from annotools.records import Box, Drop, FullLabel
from annotools.weak_labels.annotators import Annotator, PolygonHabits
from annotools.weak_labels.outlines import MISSED, annotate_full
from annotools.weak_labels.weaken import weaken
from tests.builders import make_categories, make_label

CATEGORIES = make_categories()  # road 10, sky 20, car 30
EXACT = Annotator(polygons=PolygonHabits(tolerance=1e-9))

segment_maps = arrays.arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)),
                             elements=st.integers(0, 4))  # fmt: skip


def hurried(shift: float = 0.0, tolerance: float = 0.0) -> Annotator:
    return Annotator(polygons=PolygonHabits(boundary_shift=shift, tolerance=tolerance))


def label_of(segment_map: np.ndarray) -> FullLabel:
    return build_label(1, segment_map, {1: 10, 2: 20, 3: 30, 4: 30}, groups=[4])


def square(size: int = 100, margin: int = 20) -> FullLabel:
    segment_map = np.full((size, size), 1, dtype=np.int32)
    segment_map[margin : size - margin, margin : size - margin] = 3
    return label_of(segment_map)


@given(segment_maps)
def test_without_habits_a_label_stays_as_it_is(segment_map: np.ndarray) -> None:
    label = label_of(segment_map)
    assert annotate_full(label, CATEGORIES, Annotator(), 0) is label


@settings(max_examples=60)
@given(segment_maps, st.floats(0, 5), st.floats(0, 5), st.booleans())
def test_whatever_the_habits_a_label_is_valid(
    segment_map: np.ndarray, shift: float, tolerance: float, background: bool
) -> None:
    categories = make_categories(background=background)
    label = label_of(segment_map)
    drawn = annotate_full(label, categories, hurried(shift, tolerance), 0)
    assert drawn.segment_map.shape == segment_map.shape
    assert drawn.segment_map.dtype == np.int32
    areas = {s.segment_id: s.area for s in drawn.segments}
    ids, counts = np.unique(drawn.segment_map, return_counts=True)
    assert areas == {i: n for i, n in zip(ids.tolist(), counts.tolist(), strict=True) if i}
    true = {s.segment_id: (s.category_id, s.is_group) for s in label.segments}
    assert {s.segment_id: (s.category_id, s.is_group) for s in drawn.segments}.items() <= (
        true.items()
    )
    missed = {drop.place for drop in drawn.drops}
    lost = {i for i in true if i not in areas and not (background and true[i][0] == 10)}
    assert missed == {f"image 1: segment {i}" for i in lost}
    assert {drop.reason for drop in drawn.drops} <= {MISSED}


def test_holes_parts_and_single_pixels_are_redrawn_as_they_were() -> None:
    rows = [
        [1, 1, 1, 1, 1, 1, 0],
        [1, 0, 0, 1, 3, 1, 0],
        [1, 0, 0, 1, 1, 1, 3],
        [1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 2, 2],
    ]
    label = make_label(rows, {1: 10, 2: 20, 3: 30})
    drawn = annotate_full(label, CATEGORIES, EXACT, 0)
    np.testing.assert_array_equal(drawn.segment_map, label.segment_map)
    assert drawn.segments == label.segments


def test_tolerance_straightens_a_border() -> None:
    segment_map = np.zeros((40, 80), dtype=np.int32)
    for x in range(5, 75):
        segment_map[10 + 2 * (x // 5 % 2) : 35, x] = 3
    drawn = annotate_full(label_of(segment_map), CATEGORIES, hurried(tolerance=3), 0)
    tops = (drawn.segment_map == 3).argmax(axis=0)[5:75]
    # One slanted line, where there were 14 steps.
    assert np.count_nonzero(np.diff(tops)) == 2


def test_a_border_is_off_by_pixels() -> None:
    label = square()
    shifts = []
    for seed in range(200):
        (x0, y0, x1, y1) = annotate_full(label, CATEGORIES, hurried(2), seed).segments[1].box_xyxy
        assert max(abs(x0 - 20), abs(y0 - 20), abs(x1 - 80), abs(y1 - 80)) < 12
        shifts.append(x0 - 20)
    # The lesser of the two left corners' shifts: mean -0.564, deviation 0.826 of theirs.
    assert np.mean(shifts) == pytest.approx(-0.564 * 2, abs=0.4)
    assert np.std(shifts) == pytest.approx(0.826 * 2, rel=0.15)


def test_overlaps_go_to_the_smaller_and_gaps_are_void() -> None:
    drawn = annotate_full(square(), CATEGORIES, hurried(3), 1)
    road, car = (drawn.segment_map == segment_id for segment_id in (1, 3))
    assert (drawn.segment_map == 0).any()
    assert car[35:65, 35:65].all()
    assert road[:, 1:3].any()
    alone = build_label(1, np.where(square().segment_map == 3, 3, 0).astype(np.int32), {3: 30})
    on_nothing = annotate_full(alone, CATEGORIES, hurried(3), 1)
    # The road neither covers the car nor changes how it is drawn.
    np.testing.assert_array_equal(on_nothing.segment_map == 3, car)


def test_the_background_is_what_is_left_over() -> None:
    categories = make_categories(background=True)
    segment_map = square().segment_map.copy()
    segment_map[:10, :10] = 0
    label = label_of(segment_map)
    drawn = annotate_full(label, categories, hurried(3), 1)
    np.testing.assert_array_equal(drawn.segment_map == 0, segment_map == 0)
    assert not np.array_equal(drawn.segment_map, segment_map)


def test_what_is_covered_is_missed_and_earlier_drops_stay() -> None:
    # Two cars of two pixels that shrink to one line each: the later covers the earlier.
    covered = None
    label = build_label(
        1,
        np.array([[0, 0, 0, 0], [3, 3, 4, 4], [0, 0, 0, 0]], dtype=np.int32),
        {3: 30, 4: 30},
    )
    label = replace(label, drops=(Drop(place="there", reason="before"),))
    for seed in range(50):
        drawn = annotate_full(label, CATEGORIES, hurried(3), seed)
        assert drawn.drops[0] == label.drops[0]
        if len(drawn.drops) > 1:
            covered = drawn
    assert covered is not None
    assert covered.drops[1] == Drop(place="image 1: segment 3", reason=MISSED)
    assert [segment.segment_id for segment in covered.segments] == [4]


def test_mistakes_depend_on_seed_and_image() -> None:
    first = annotate_full(square(), CATEGORIES, hurried(3), 1).segment_map
    again = annotate_full(square(), CATEGORIES, hurried(3), 1).segment_map
    np.testing.assert_array_equal(first, again)
    other = build_label(2, square().segment_map, {1: 10, 3: 30})
    for changed in (
        annotate_full(square(), CATEGORIES, hurried(3), 2),
        annotate_full(other, CATEGORIES, hurried(3), 1),
    ):
        assert not np.array_equal(first, changed.segment_map)


def test_objects_keep_the_boxes_that_they_have_behind_others() -> None:
    whole, hidden = (
        Box(category_id=30, box_xyxy=(20, 20, 95, 80)),
        Box(category_id=30, box_xyxy=(1, 1, 9, 9)),
    )
    label = replace(
        square(),
        own_boxes={3: whole, 9: hidden},
        unseen={9: Drop(place="car 9", reason="covered")},
        doubts=(Drop(place="car 3", reason="odd"),),
    )
    drawn = annotate_full(label, CATEGORIES, hurried(tolerance=2), 0)
    assert (drawn.own_boxes, drawn.unseen, drawn.doubts) == (
        label.own_boxes,
        label.unseen,
        label.doubts,
    )
    boxes = weaken(drawn, CATEGORIES, "boxes", None).boxes
    assert boxes == weaken(label, CATEGORIES, "boxes", None).boxes
    assert set(boxes) == {whole, hidden}
    # What the annotator misses has no box either.
    tiny = build_label(
        1, np.array([[0] * 4, [3, 3, 4, 4], [0] * 4], dtype=np.int32), {3: 30, 4: 30}
    )
    tiny = replace(tiny, own_boxes={n: replace(whole, box_xyxy=(0, 0, n, 2)) for n in (3, 4)})
    lost = [
        found
        for seed in range(50)
        for found in [annotate_full(tiny, CATEGORIES, hurried(3), seed)]
        if len(found.segments) == 1
    ]
    assert lost
    for found in lost:
        assert found.own_boxes.keys() == {segment.segment_id for segment in found.segments}
