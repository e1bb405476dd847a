import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotools.categories import IGNORE_INDEX
from annotools.label_maps import (
    build_label,
    class_map,
    find_runs,
    ids_in_box,
    instance_map,
    label_of_runs,
    look_up,
    measure_runs,
    measure_segments,
    replace_ids,
)
from annotools.records import Segment, draw_runs
from tests.builders import make_categories, make_label

ROAD, SKY, CAR = 10, 20, 30

segment_maps = arrays.arrays(
    np.int32,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=7),
    elements=st.sampled_from([0, 1, 2, 1000, 16_777_215]),
)


def test_runs_end_with_their_row_and_with_their_id():
    runs = find_runs(np.array([[7, 7, 0], [0, 2, 2]], dtype=np.uint16))

    assert (runs.height, runs.width) == (2, 3)
    assert runs.starts.tolist() == [0, 2, 3, 4]
    assert runs.lengths.tolist() == [2, 1, 1, 2]
    assert runs.ids.tolist() == [7, 0, 0, 2]


@given(segment_maps)
def test_runs_of_a_view_draw_its_map(segment_map):
    drawn = draw_runs(find_runs(segment_map.T))

    assert drawn.dtype == np.int32
    assert drawn.tolist() == segment_map.T.tolist()


@given(segment_maps)
def test_runs_with_replaced_ids_measure_like_the_map_they_draw(segment_map):
    joined = replace_ids(find_runs(segment_map), {1: 5, 2: 5, 1000: 0}, default=9)

    assert measure_runs(joined) == measure_segments(draw_runs(joined))


def test_ids_in_a_box_are_those_with_a_pixel_inside():
    runs = find_runs(np.array([[1, 2, 2, 3], [4, 0, 5, 5], [6, 6, 6, 6]]))

    assert ids_in_box(runs, (0, 0, 4, 3)) == [1, 2, 3, 4, 5, 6]
    assert ids_in_box(runs, (1, 0, 2, 2)) == [2]
    assert ids_in_box(runs, (2, 1, 3, 3)) == [5, 6]
    assert ids_in_box(runs, (1, 1, 2, 2)) == []


@given(segment_maps, st.data())
def test_ids_in_a_box_agree_with_cutting_it_out(segment_map, data):
    height, width = segment_map.shape
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    expected = sorted(set(segment_map[y0:y1, x0:x1].ravel().tolist()) - {0})

    assert ids_in_box(find_runs(segment_map), (x0, y0, x1, y1)) == expected


def test_areas_and_boxes_of_a_small_map():
    segment_map = np.array([[7, 7, 0, 2], [0, 7, 0, 0], [2, 0, 0, 0]], dtype=np.int32)

    assert measure_segments(segment_map) == {7: (3, (0, 0, 2, 2)), 2: (2, (0, 0, 4, 3))}


def test_a_map_of_void_has_no_segments():
    assert measure_segments(np.zeros((2, 3), dtype=np.int32)) == {}


@given(segment_maps)
def test_measures_agree_with_looking_at_each_segment(segment_map):
    expected = {}
    for segment_id in set(segment_map.ravel().tolist()) - {0}:
        rows, columns = np.nonzero(segment_map == segment_id)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        expected[segment_id] = (len(rows), box)

    assert measure_segments(segment_map) == expected


@given(segment_maps)
def test_a_view_measures_like_its_copy(segment_map):
    view = segment_map[::2, 1:] if segment_map.shape[1] > 1 else segment_map.T

    assert measure_segments(view) == measure_segments(view.copy())


def test_label_holds_the_segments_that_have_pixels():
    segment_map = np.array([[1, 1, 0], [1, 5, 0]], dtype=np.int32)
    label = build_label("a", segment_map, {1: CAR, 5: ROAD, 9: SKY}, groups=[1])

    assert label.image_id == "a"
    assert label.segments == (
        Segment(segment_id=1, category_id=CAR, area=3, box_xyxy=(0, 0, 2, 2), is_group=True),
        Segment(segment_id=5, category_id=ROAD, area=1, box_xyxy=(1, 1, 2, 2)),
    )


def test_label_of_a_map_is_that_of_its_runs():
    segment_map = np.array([[1, 1, 0], [1, 5, 0]], dtype=np.int32)
    category_of = {1: CAR, 5: ROAD}

    alone = build_label("a", segment_map, category_of)
    with_runs = label_of_runs("a", find_runs(segment_map), category_of)

    assert with_runs.segments == alone.segments
    assert with_runs.segment_map.tolist() == segment_map.tolist()
    assert alone.segment_map is segment_map


def test_class_map_has_class_indices_and_ignores_void():
    label = make_label([[1, 2], [3, 0]], {1: CAR, 2: ROAD, 3: CAR})
    classes = class_map(label, make_categories())

    assert classes.dtype == np.uint8
    assert classes.tolist() == [[2, 0], [2, IGNORE_INDEX]]


def test_instance_map_numbers_things_and_leaves_out_groups_and_stuff():
    label = make_label([[4, 4, 7], [6, 9, 0]], {4: CAR, 6: CAR, 7: ROAD, 9: CAR}, groups=[6])

    assert instance_map(label, make_categories()).tolist() == [[1, 1, 0], [0, 2, 0]]


def test_look_up_gives_the_default_to_ids_not_listed():
    segment_map = np.array([[0, 3], [8, 3]], dtype=np.int32)

    assert look_up(segment_map, {3: 30, 99: 1}, default=-1).tolist() == [[-1, 30], [-1, 30]]
