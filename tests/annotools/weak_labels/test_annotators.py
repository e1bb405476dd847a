from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.errors import DatasetError, RecipeError
from annotools.records import Box, Point, TaggedCrop, WeakLabel
from annotools.weak_labels.annotators import (
    Annotator,
    BoxHabits,
    MissRates,
    PointHabits,
    PolygonHabits,
    TagHabits,
    annotate_boxes,
    annotate_points,
    annotate_weak,
    read_annotator,
)
from tests.builders import make_categories

CATEGORIES = make_categories()  # road 10, sky 20, car 30
SIZE_WH = (1000, 1000)
DRAWS = 2000


def near(count: int, rate: float) -> bool:
    """Whether a count lies within four standard deviations of a binomial's mean."""
    return abs(count - DRAWS * rate) <= 4 * (DRAWS * rate * (1 - rate)) ** 0.5


def make_box(*box_xyxy: int) -> Box:
    return Box(category_id=30, box_xyxy=(box_xyxy[0], box_xyxy[1], box_xyxy[2], box_xyxy[3]))


def draw_many(box: Box, habits: BoxHabits) -> list[tuple[Box, ...]]:
    return [annotate_boxes([box], image, habits, SIZE_WH, seed=0)[0] for image in range(DRAWS)]


boxes = st.builds(
    lambda x, y, w, h: make_box(x, y, x + w, y + h),
    st.integers(0, 40),
    st.integers(0, 20),
    st.integers(1, 10),
    st.integers(1, 10),
)
shares = st.floats(0, 1)
annotators = st.builds(
    lambda shift, miss, double, tag, false: Annotator(
        boxes=BoxHabits(
            corner_shift=shift,
            miss_rate=MissRates(small=miss, medium=miss, large=miss),
            duplicate_rate=double,
        ),
        tags=TagHabits(miss_rate=tag, false_rate=false),
    ),
    st.floats(0, 5),
    shares,
    shares,
    shares,
    shares,
)
crops = st.sets(st.sampled_from([10, 20])).map(
    lambda ids: TaggedCrop(box_xyxy=(0, 0, 5, 5), category_ids=tuple(sorted(ids)))
)
labels = st.builds(
    lambda drawn, tagged: WeakLabel(
        image_id=3,
        boxes=tuple(drawn),
        crops=tuple(tagged),
        tagged_category_ids=(10, 20),
        has_boxes=True,
    ),
    st.lists(boxes, max_size=4),
    st.lists(crops, max_size=3),
)


@given(labels, st.integers(0, 9))
def test_without_habits_a_label_stays_as_it_is(weak: WeakLabel, seed: int) -> None:
    assert annotate_weak(weak, CATEGORIES, Annotator(), (50, 30), seed) == weak


@given(labels, annotators, st.integers(0, 9))
def test_whatever_the_habits_a_label_is_possible(
    weak: WeakLabel, annotator: Annotator, seed: int
) -> None:
    given_label = annotate_weak(weak, CATEGORIES, annotator, (50, 30), seed)
    assert given_label == annotate_weak(weak, CATEGORIES, annotator, (50, 30), seed)
    assert len(given_label.boxes) <= 2 * len(weak.boxes)
    for box in given_label.boxes:
        x0, y0, x1, y1 = box.box_xyxy
        assert 0 <= x0 < x1 <= 50
        assert 0 <= y0 < y1 <= 30
    assert [crop.box_xyxy for crop in given_label.crops] == [c.box_xyxy for c in weak.crops]
    for crop in given_label.crops:
        assert set(crop.category_ids) <= {10, 20}
        assert list(crop.category_ids) == sorted(crop.category_ids)
    unchanged = replace(given_label, boxes=weak.boxes, crops=weak.crops)
    assert unchanged == weak


@pytest.mark.parametrize(
    ("side", "rate"), [(1, 0.5), (57, 0.5), (59, 0.2), (172, 0.2), (174, 0.1), (1000, 0.1)]
)
def test_objects_are_missed_by_their_size(side: int, rate: float) -> None:
    habits = BoxHabits(miss_rate=MissRates(small=0.5, medium=0.2, large=0.1))
    drawn = draw_many(make_box(0, 0, side, side), habits)
    assert near(drawn.count(()), rate)
    assert set(drawn) == {(), (make_box(0, 0, side, side),)}


def test_boxes_are_drawn_twice_as_often_as_said() -> None:
    drawn = draw_many(make_box(5, 5, 9, 9), BoxHabits(duplicate_rate=0.3))
    assert near(drawn.count((make_box(5, 5, 9, 9),) * 2), 0.3)


def test_sides_are_off_by_a_share_of_width_and_height() -> None:
    drawn = draw_many(make_box(300, 400, 500, 440), BoxHabits(corner_shift=0.1))
    corners = np.array([box.box_xyxy for (box,) in drawn])  # (DRAWS, 4)
    np.testing.assert_allclose(corners.mean(axis=0), [300, 400, 500, 440], atol=2)
    # Rounding to pixels adds a variance of 1 / 12.
    np.testing.assert_allclose(corners.std(axis=0), [20, 4, 20, 4], rtol=0.06)
    assert abs(np.corrcoef(corners.T) - np.eye(4)).max() < 0.1


def test_a_box_drawn_twice_has_different_sides() -> None:
    habits = BoxHabits(corner_shift=0.2, duplicate_rate=1)
    ((first, second),) = annotate_boxes([make_box(300, 400, 500, 600)], 1, habits, SIZE_WH, 0)
    assert first != second


def test_taking_an_object_away_changes_nothing_for_the_others() -> None:
    habits = BoxHabits(
        corner_shift=0.3, miss_rate=MissRates(small=0.5, medium=0.5), duplicate_rate=0.5
    )
    many = [make_box(10 * i, 0, 10 * i + 9, 50) for i in range(60)]
    drawn = annotate_boxes(many, "x", habits, SIZE_WH, 4)
    assert annotate_boxes(many[::2], "x", habits, SIZE_WH, 4) == drawn[::2]
    assert {len(boxes) for boxes in drawn} == {0, 1, 2}
    for image_id, seed in (("y", 4), ("x", 5)):
        assert annotate_boxes(many, image_id, habits, SIZE_WH, seed) != drawn


def test_equal_boxes_have_mistakes_of_their_own() -> None:
    box = make_box(100, 100, 300, 300)
    (first,), (second,) = annotate_boxes([box, box], 1, BoxHabits(corner_shift=0.3), SIZE_WH, 0)
    assert first != second


def test_tags_are_missed_and_invented_as_often_as_said() -> None:
    habits = Annotator(tags=TagHabits(miss_rate=0.25, false_rate=0.05))
    found = {10: 0, 20: 0}
    for image_id in range(DRAWS):
        weak = WeakLabel(
            image_id=image_id,
            crops=(TaggedCrop(box_xyxy=(0, 0, 9, 9), category_ids=(10,)),),
            tagged_category_ids=(10, 20),
        )
        (crop,) = annotate_weak(weak, CATEGORIES, habits, SIZE_WH, 0).crops
        for category_id in crop.category_ids:
            found[category_id] += 1
    assert near(found[10], 0.75)
    assert near(found[20], 0.05)


def test_a_question_has_its_own_answer() -> None:
    crop = TaggedCrop(box_xyxy=(0, 0, 9, 9), category_ids=(10,))
    others = tuple(replace(crop, box_xyxy=(x, 0, x + 9, 9)) for x in range(1, 40))
    habits = Annotator(tags=TagHabits(miss_rate=0.5, false_rate=0.5))
    all_asked, one_asked = (
        WeakLabel(image_id=0, crops=(crop, *others), tagged_category_ids=ids)
        for ids in ((10, 20), (10,))
    )
    every = annotate_weak(all_asked, CATEGORIES, habits, SIZE_WH, 0).crops
    alone = annotate_weak(one_asked, CATEGORIES, habits, SIZE_WH, 0).crops
    assert [10 in crop.category_ids for crop in every] == [bool(c.category_ids) for c in alone]
    assert len({crop.category_ids for crop in every}) == 4


def test_tags_of_another_dataset_are_refused() -> None:
    weak = WeakLabel(image_id=0, tagged_category_ids=(99,))
    with pytest.raises(DatasetError, match="unknown category id 99"):
        annotate_weak(weak, CATEGORIES, Annotator(), SIZE_WH, 0)


def test_clicks_are_off_and_stay_in_the_image() -> None:
    points = [Point(segment_id=i, category_id=30, x=0, y=500) for i in range(DRAWS)]
    assert annotate_points(points, 0, PointHabits(), SIZE_WH, 0) == tuple(points)
    clicked = annotate_points(points, 0, PointHabits(shift=3), SIZE_WH, 0)
    xy = np.array([(point.x, point.y) for point in clicked])
    assert xy.min(axis=0)[0] == 0
    assert near(int((xy[:, 0] > 0).sum()), 0.434)  # P(normal > 0.5 / 3)
    assert xy[:, 1].std() == pytest.approx(3, rel=0.08)
    assert xy[:, 1].mean() == pytest.approx(500, abs=0.3)
    assert annotate_points(points[7:], 0, PointHabits(shift=3), SIZE_WH, 0) == clicked[7:]
    (far,) = annotate_points(points[:1], 0, PointHabits(shift=1e5), (2, 2), 0)
    assert far.x in (0, 1)
    assert far.y in (0, 1)


def test_habits_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "hurried.toml"
    path.write_text(
        "[boxes]\ncorner_shift = 0.05\nmiss_rate = { small = 1 }\n[polygons]\ntolerance = 2\n"
    )
    assert read_annotator(path) == Annotator(
        boxes=BoxHabits(corner_shift=0.05, miss_rate=MissRates(small=1)),
        polygons=PolygonHabits(tolerance=2),
    )
    path.write_text("")
    assert read_annotator(path) == Annotator()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[boxes]\nmiss_rate = { small = 1.5 }", "boxes.miss_rate: small = 1.5: give a prob"),
        ("[boxes]\nduplicate_rate = -0.1", "boxes: duplicate_rate = -0.1: give a probability"),
        ("[boxes]\ncorner_shift = nan", "boxes: corner_shift = nan: give 0 to 100000"),
        ("[tags]\nfalse_rate = 2", "tags: false_rate = 2"),
        ("[points]\nshift = -1", "points: shift = -1"),
        ("[points]\nshift = 1e308", r"points: shift = 1e\+308: give 0 to 100000"),
        ("[polygons]\nboundary_shift = inf", "polygons: boundary_shift = inf"),
        ("[lines]", "unknown setting lines"),
        ("[", "not valid TOML"),
        (None, "cannot be read"),
    ],
)
def test_impossible_habits_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "a.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeError, match=rf"a\.toml: {message}"):
        read_annotator(path)


def test_sizes_are_relative_to_the_image() -> None:
    habits = BoxHabits(miss_rate=MissRates(small=1))
    box = make_box(0, 0, 40, 40)
    for size_wh in ((640, 480), (1000, 1000)):
        is_small = 40 / prod(size_wh) ** 0.5 < 0.058
        assert (annotate_boxes([box], 0, habits, size_wh, 0) == ((),)) == is_small
