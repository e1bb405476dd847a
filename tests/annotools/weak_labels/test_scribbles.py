import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotools.errors import DatasetError
from annotools.label_maps import look_up
from annotools.records import Scribble
from annotools.weak_labels.scribbles import scribbles_of
from tests.builders import make_categories, make_label
from tests.real_data import real_data
from tests.segment_maps import CAR, label_of, paint_ellipses, segment_maps

ROAD = 10
CATEGORIES = make_categories()

maps = segment_maps(5)


def rasterise_scribbles(scribbles, size_hw):
    segment_map = np.zeros(size_hw, dtype=np.int32)
    for scribble in scribbles:
        points = np.array(scribble.points_xy, dtype=np.int32)
        cv2.polylines(segment_map, [points], isClosed=False, color=scribble.segment_id)
        segment_map[points[:, 1], points[:, 0]] = scribble.segment_id  # For strokes of one point.
    return segment_map


def paint_bar(length, width, degrees):
    side = length + width + 4
    corners = cv2.boxPoints(((side / 2, side / 2), (length, width), degrees))
    segment_map = np.zeros((side, side), dtype=np.int32)
    cv2.fillPoly(segment_map, [np.round(corners).astype(np.int32)], 1)
    return segment_map


def check_strokes(segment_map, seed):
    label = label_of(segment_map)
    scribbles = scribbles_of(label, CATEGORIES, seed)

    assert [s.segment_id for s in scribbles] == [s.segment_id for s in label.segments]
    for scribble in scribbles:
        stroke = rasterise_scribbles([scribble], segment_map.shape)
        x0, y0 = scribble.points_xy[0]
        assert stroke[y0, x0] == scribble.segment_id
        assert (segment_map[stroke != 0] == scribble.segment_id).all()
        steps = np.abs(np.diff(scribble.points_xy, axis=0))
        straight = (steps.min(axis=1) == 0) | (steps[:, 0] == steps[:, 1])
        assert straight.all()
        assert (steps.max(axis=1) > 0).all()


def test_a_stroke_of_one_pixel_and_one_of_three_are_drawn_pixel_by_pixel():
    scribbles = [
        Scribble(segment_id=70_000, category_id=CAR, points_xy=((3, 0),)),
        Scribble(segment_id=5, category_id=CAR, points_xy=((0, 0), (1, 1), (2, 1))),
    ]

    assert rasterise_scribbles(scribbles, (3, 4)).tolist() == [
        [5, 0, 0, 70_000],
        [0, 5, 5, 0],
        [0, 0, 0, 0],
    ]


def test_a_segment_of_one_pixel_has_a_stroke_of_one_point():
    label = make_label([[0, 0], [0, 70_000]], {70_000: ROAD})

    assert scribbles_of(label, CATEGORIES, seed=0) == (
        Scribble(segment_id=70_000, category_id=ROAD, points_xy=((1, 1),)),
    )


def test_a_stroke_leaves_5_to_15_percent_off_at_each_end():
    label = make_label([[1] * 200], {1: CAR})
    ends = [sorted(scribbles_of(label, CATEGORIES, seed)[0].points_xy) for seed in range(40)]
    left, right = [e[0][0] for e in ends], [199 - e[1][0] for e in ends]

    assert {len(e) for e in ends} == {2}
    for off in (left, right):
        assert min(off) in range(10, 13)
        assert max(off) in range(27, 30)
    assert left != right


def test_a_stroke_keeps_to_the_middle_of_a_bar():
    segment_map = np.zeros((50, 400), dtype=np.int32)
    segment_map[10:41, 5:395] = 1
    (scribble,) = scribbles_of(label_of(segment_map), CATEGORIES, seed=0)
    middle = [y for x, y in scribble.points_xy if 100 < x < 300]
    _, drawn_columns = np.nonzero(rasterise_scribbles([scribble], segment_map.shape)[22:29])

    assert all(abs(y - 25) <= 3 for y in middle)
    assert set(drawn_columns.tolist()) >= set(range(100, 300))


def test_a_stroke_follows_a_bend():
    segment_map = np.zeros((60, 60), dtype=np.int32)
    segment_map[:, :7], segment_map[:, -7:], segment_map[-7:] = 1, 1, 1
    (scribble,) = scribbles_of(label_of(segment_map), CATEGORIES, seed=0)
    length = np.hypot(*np.diff(scribble.points_xy, axis=0).T).sum()

    assert length > 0.6 * 3 * 53
    left, right = sorted((scribble.points_xy[0][0], scribble.points_xy[-1][0]))
    assert left < 7
    assert right >= 53


def test_the_largest_part_of_a_segment_gets_the_stroke():
    segment_map = np.zeros((20, 40), dtype=np.int32)
    segment_map[2:8, 2:8], segment_map[10:13, 1:39] = 4, 4
    (scribble,) = scribbles_of(label_of(segment_map), CATEGORIES, seed=0)

    assert {y for _, y in scribble.points_xy} <= {10, 11, 12}


@settings(deadline=None)
@given(maps, st.integers(0, 99))
def test_strokes_of_blocks_stay_inside(segment_map, seed):
    check_strokes(segment_map, seed)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_strokes_of_round_overlapping_segments_stay_inside(seed):
    check_strokes(paint_ellipses(seed), seed)


@settings(deadline=None)
@given(
    width=st.integers(1, 30), share=st.floats(4, 12), degrees=st.floats(0, 90), seed=st.integers(0)
)
def test_a_stroke_covers_half_of_a_bar(width, share, degrees, seed):
    length = int(width * share)
    (scribble,) = scribbles_of(label_of(paint_bar(length, width, degrees)), CATEGORIES, seed)

    first, last = np.array(scribble.points_xy)[[0, -1]]
    assert np.hypot(*(last - first)) + 1 >= length / 2


@settings(deadline=None)
@given(maps, st.integers(0, 99))
def test_other_segments_do_not_move_a_stroke(segment_map, seed):
    for scribble in scribbles_of(label_of(segment_map), CATEGORIES, seed)[:5]:
        alone = look_up(segment_map, {scribble.segment_id: scribble.segment_id}, default=0)
        assert scribbles_of(label_of(alone), CATEGORIES, seed) == (scribble,)


def test_an_image_without_segments_has_no_strokes():
    assert scribbles_of(make_label([[0, 0]], {}), CATEGORIES, seed=0) == ()
    assert rasterise_scribbles([], (1, 2)).tolist() == [[0, 0]]


def test_a_category_outside_the_set_is_refused():
    with pytest.raises(DatasetError, match="unknown category id 77"):
        scribbles_of(make_label([[1]], {1: 77}), CATEGORIES, seed=0)


def test_strokes_stay_inside_the_segments_of_a_street():
    folder = real_data("cityscapes", "gtFine", "train", "aachen")
    path = folder / "aachen_000004_000019_gtFine_instanceIds.png"
    check_strokes(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int32), seed=0)
