from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotools.errors import DatasetError
from annotools.records import Drop, Outline
from annotools.weak_labels.coarse import outlines_of
from tests.builders import make_categories, make_label
from tests.real_data import real_data
from tests.segment_maps import CAR, label_of, paint_ellipses, segment_maps

ROAD = 10
CATEGORIES = make_categories()

maps = segment_maps(9)


def rasterise_outlines(outlines, size_hw):
    segment_map = np.zeros(size_hw, dtype=np.int32)
    for outline in outlines:
        for polygon in outline.polygons_xy:
            cv2.fillPoly(segment_map, [np.array(polygon, dtype=np.int32)], outline.segment_id)
    return segment_map


def sides_cross(polygon):
    def turn(a, b, c):
        return np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    sides = list(zip(polygon, polygon[1:] + polygon[:1], strict=True))
    return any(
        turn(a, b, c) * turn(a, b, d) < 0 and turn(c, d, a) * turn(c, d, b) < 0
        for (a, b), (c, d) in combinations(sides, 2)
    )


def check_outlines(segment_map):
    label = label_of(segment_map)
    outlines, drops = outlines_of(label, CATEGORIES)
    dropped = [int(drop.place.removeprefix("image 1: segment ")) for drop in drops]

    kept = [outline.segment_id for outline in outlines]
    assert sorted(kept + dropped) == [s.segment_id for s in label.segments]
    for outline in outlines:
        drawn = rasterise_outlines([outline], segment_map.shape)
        assert (segment_map[drawn != 0] == outline.segment_id).all()
        assert all(len(set(polygon)) == len(polygon) >= 3 for polygon in outline.polygons_xy)
        assert not any(sides_cross(polygon) for polygon in outline.polygons_xy)
    return outlines


def coverage(outlines, segment_map):
    drawn = rasterise_outlines(outlines, segment_map.shape)
    return np.count_nonzero(drawn) / np.count_nonzero(segment_map)


def test_polygons_are_filled_with_their_border():
    triangle, line = ((0, 0), (2, 0), (2, 2)), ((0, 3), (1, 3), (1, 3))
    outline = Outline(segment_id=70_000, category_id=CAR, polygons_xy=(triangle, line))

    assert (rasterise_outlines([outline], (4, 4)) // 70_000).tolist() == [
        [1, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 0, 1, 0],
        [1, 1, 0, 0],
    ]


def test_a_square_is_outlined_one_pixel_inside_its_border():
    segment_map = np.zeros((30, 30), dtype=np.int32)
    segment_map[5:25, 4:24] = 8
    (outline,), drops = outlines_of(label_of(segment_map), CATEGORIES)

    assert (outline.segment_id, outline.category_id, drops) == (8, CAR, ())
    assert [sorted(polygon) for polygon in outline.polygons_xy] == [
        [(5, 6), (5, 23), (22, 6), (22, 23)]
    ]


def test_the_margin_grows_with_the_segment_up_to_eight_pixels():
    for side, margin in ((122, 6), (1000, 8)):
        label = label_of(np.ones((side, side), dtype=np.int32))
        (outline,), _ = outlines_of(label, CATEGORIES)
        x, y = np.array(outline.polygons_xy[0]).T

        for low, high in ((x.min(), x.max()), (y.min(), y.max())):
            assert margin <= low <= 2.4 * margin
            assert margin <= side - 1 - high <= 2.4 * margin


def test_a_segment_around_another_is_one_polygon_that_leaves_the_other_out():
    segment_map = np.full((80, 80), 1, dtype=np.int32)
    segment_map[30:50, 30:50] = 2
    outlines = check_outlines(segment_map)

    assert [len(outline.polygons_xy) for outline in outlines] == [1, 1]
    assert coverage(outlines[:1], segment_map == 1) > 0.6


def test_holes_above_each_other_all_open_to_the_outside():
    segment_map = np.full((120, 60), 1, dtype=np.int32)
    segment_map[20:30, 25:35], segment_map[55:65, 25:35], segment_map[90:100, 20:30] = 0, 0, 0
    outlines = check_outlines(segment_map)

    assert [len(outline.polygons_xy) for outline in outlines] == [1]
    assert coverage(outlines, segment_map) > 0.6


def test_a_disc_has_few_vertices_and_keeps_most_of_its_pixels():
    segment_map = cv2.circle(np.zeros((220, 220), dtype=np.int32), (110, 110), 100, 1, -1)
    outlines = check_outlines(segment_map)

    ((polygon,),) = (outline.polygons_xy for outline in outlines)
    assert len(polygon) <= 12
    assert coverage(outlines, segment_map) > 0.7


def test_parts_get_polygons_of_their_own_unless_small():
    segment_map = np.zeros((60, 200), dtype=np.int32)
    segment_map[5:45, 5:45], segment_map[5:45, 60:190], segment_map[48:58, 3:13] = 1, 1, 1
    (outline,), _ = outlines_of(label_of(segment_map), CATEGORIES)
    boxes = sorted(cv2.boundingRect(np.array(polygon)) for polygon in outline.polygons_xy)

    assert [(x // 10, y // 10) for x, y, _, _ in boxes] == [(0, 0), (6, 0)]


def test_segments_too_thin_or_too_small_are_dropped_by_name():
    label = make_label(
        [[1] * 30, [1] * 30, [2, 0, 0] + [70_000] * 3 + [0] * 24], {1: ROAD, 2: CAR, 70_000: CAR}
    )
    reason = "too thin or too small for a coarse outline"

    assert outlines_of(label, CATEGORIES) == (
        (),
        tuple(
            Drop(place=f"image 1: segment {segment_id}", reason=reason)
            for segment_id in (1, 2, 70_000)
        ),
    )


@pytest.mark.parametrize(("side", "num_outlines"), [(6, 0), (7, 1)])
def test_a_polygon_has_at_least_twelve_pixels_of_area(side, num_outlines):
    outlines, drops = outlines_of(label_of(np.ones((side, side), dtype=np.int32)), CATEGORIES)

    assert (len(outlines), len(drops)) == (num_outlines, 1 - num_outlines)


@settings(deadline=None)
@given(maps)
def test_outlines_of_blocks_stay_inside(segment_map):
    check_outlines(segment_map)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_outlines_of_round_overlapping_segments_stay_inside(seed):
    check_outlines(paint_ellipses(seed))


def test_an_image_without_segments_has_no_outlines():
    assert outlines_of(make_label([[0, 0]], {}), CATEGORIES) == ((), ())
    assert rasterise_outlines([], (1, 2)).tolist() == [[0, 0]]


def test_a_category_outside_the_set_is_refused():
    with pytest.raises(DatasetError, match="unknown category id 77"):
        outlines_of(make_label([[1]], {1: 77}), CATEGORIES)


def test_outlines_of_a_street_keep_most_pixels_with_few_vertices():
    folder = real_data("cityscapes", "gtFine", "train", "aachen")
    path = folder / "aachen_000004_000019_gtFine_instanceIds.png"
    segment_map = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int32)
    outlines = check_outlines(segment_map)

    num_vertices = [len(polygon) for outline in outlines for polygon in outline.polygons_xy]
    assert np.mean(num_vertices) <= 12
    assert coverage(outlines, segment_map) > 0.7
