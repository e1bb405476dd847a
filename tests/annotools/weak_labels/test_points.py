import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotools.errors import DatasetError
from annotools.label_maps import build_label, look_up
from annotools.records import Point
from annotools.weak_labels.points import border_distance, depth_of, points_of
from tests.builders import make_categories, make_label
from tests.segment_maps import CAR, label_of, segment_maps

ROAD, SKY = 10, 20
CATEGORIES = make_categories()
SQUARE = np.pad(np.full((5, 5), 9, dtype=np.int32), 2)
"""A 5 x 5 segment in void, from (2, 2) to (6, 6)."""

maps = segment_maps(7)


def test_border_distance_counts_from_the_segments_border_pixels_and_the_images():
    assert border_distance(np.full((5, 7), 3, dtype=np.int32)).tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 1, 2, 2, 2, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]
    # The corner of a segment touches one of nine pixels: that makes them border pixels too.
    assert border_distance(np.array([[1, 1, 1], [1, 1, 1], [1, 1, 2]], np.int32)).max() == 0


@settings(deadline=None)
@given(maps)
def test_border_distance_agrees_with_looking_at_every_border_pixel(segment_map):
    rows, columns = np.indices(segment_map.shape)
    around = np.pad(segment_map, 1, constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3))
    at_border = (windows != segment_map[..., None, None]).any(axis=(2, 3))
    expected = np.zeros(segment_map.shape)
    for segment_id in np.unique(segment_map):
        inside = segment_map == segment_id
        border = np.argwhere(inside & at_border)
        offsets = np.stack([rows, columns], axis=-1)[inside][:, None] - border
        expected[inside] = np.hypot(offsets[..., 0], offsets[..., 1]).min(axis=1)

    np.testing.assert_allclose(border_distance(segment_map), expected, rtol=0.02)


def test_depth_is_that_of_the_segment_in_its_box():
    label = make_label([[1, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2]], {1: CAR, 2: ROAD})
    depth = depth_of(label.segments[1], label.segment_map, border_distance(label.segment_map))

    assert depth.tolist() == [[-1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_point_is_any_pixel_at_least_half_as_deep_as_the_deepest():
    label = label_of(SQUARE)
    drawn = {(p.x, p.y) for seed in range(100) for p in points_of(label, CATEGORIES, seed)}

    assert drawn == {(x, y) for x in (3, 4, 5) for y in (3, 4, 5)}


def test_a_segment_of_one_pixel_gives_that_pixel():
    label = make_label([[0, 0], [0, 70_000]], {70_000: CAR})

    assert points_of(label, CATEGORIES, seed=3) == (
        Point(segment_id=70_000, category_id=CAR, x=1, y=1),
    )


def test_the_widest_part_of_a_segment_gets_its_point():
    segment_map = np.zeros((9, 30), dtype=np.int32)
    segment_map[0, :], segment_map[4:9, 20:25] = 5, 5
    label = label_of(segment_map)

    for seed in range(30):
        (point,) = points_of(label, CATEGORIES, seed)
        assert 21 <= point.x < 24
        assert 5 <= point.y < 8


def test_instances_groups_stuff_and_background_get_one_point_each():
    categories = make_categories(background=True)
    label = make_label([[1, 1, 2], [3, 4, 1]], {1: ROAD, 2: CAR, 3: CAR, 4: SKY}, groups=[3])
    points = points_of(label, categories, seed=0)

    assert [(p.segment_id, p.category_id) for p in points] == [
        (1, ROAD),
        (2, CAR),
        (3, CAR),
        (4, SKY),
    ]


@settings(deadline=None)
@given(maps, st.integers(0, 99))
def test_each_segment_has_one_point_inside_at_half_its_depth(segment_map, seed):
    label = label_of(segment_map)
    distance = border_distance(segment_map)
    points = points_of(label, CATEGORIES, seed)

    assert [p.segment_id for p in points] == [s.segment_id for s in label.segments]
    for point in points:
        assert segment_map[point.y, point.x] == point.segment_id
        deepest = distance[segment_map == point.segment_id].max()
        assert distance[point.y, point.x] >= deepest / 2


@settings(deadline=None)
@given(maps, st.integers(0, 99))
def test_other_segments_do_not_move_a_point(segment_map, seed):
    points = points_of(label_of(segment_map), CATEGORIES, seed)

    for point in points[:5]:
        alone = look_up(segment_map, {point.segment_id: point.segment_id}, default=0)
        assert points_of(label_of(alone), CATEGORIES, seed) == (point,)


def test_image_and_segment_and_seed_name_the_draw():
    wide = np.full((40, 40), 1, dtype=np.int32)
    labels = [
        build_label(image_id, wide * segment_id, {segment_id: CAR})
        for image_id, segment_id in ((1, 1), (2, 1), (1, 2))
    ]
    points = [points_of(label, CATEGORIES, 0)[0] for label in labels]
    points += [points_of(labels[0], CATEGORIES, 1)[0]]

    assert len({(p.x, p.y) for p in points}) == 4


def test_an_image_without_segments_has_no_points():
    assert points_of(make_label([[0, 0]], {}), CATEGORIES, seed=0) == ()


def test_a_category_outside_the_set_is_refused():
    with pytest.raises(DatasetError, match="unknown category id 77"):
        points_of(make_label([[1]], {1: 77}), CATEGORIES, seed=0)
