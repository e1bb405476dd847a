from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX
from annotools.records import Box, TaggedCrop, WeakLabel
from tests.builders import make_categories
from wsps.pseudo_labels.refine import (
    PseudoLabel,
    fill_background,
    fill_boxes,
    instances_from_boxes,
    keep_certain,
    keep_in_boxes,
    keep_tagged,
    refine_label,
)
from wsps.recipe import RefinementSettings

STREET = make_categories(things=("car", "dog"), stuff=("road", "sky"))
VOC = make_categories(things=("car", "dog"), stuff=("background",), background=True)
ROAD, SKY, CAR, DOG, NO = 0, 1, 2, 3, IGNORE_INDEX
ROAD_ID, SKY_ID, CAR_ID, DOG_ID = 10, 20, 30, 40
VOC_CAR_BOX = Box(category_id=20, box_xyxy=(1, 0, 3, 1))
SETTINGS = RefinementSettings()
SIDE = 6


def as_map(rows: list[list[int]]) -> NDArray[np.uint8]:
    return np.array(rows, dtype=np.uint8)


def car(x0: int, y0: int, x1: int, y1: int, is_group: bool = False) -> Box:
    return Box(category_id=CAR_ID, box_xyxy=(x0, y0, x1, y1), is_group=is_group)


def dog(x0: int, y0: int, x1: int, y1: int, is_group: bool = False) -> Box:
    return Box(category_id=DOG_ID, box_xyxy=(x0, y0, x1, y1), is_group=is_group)


def weak_label(
    boxes: tuple[Box, ...] | None = None,
    crops: tuple[TaggedCrop, ...] = (),
    asked: tuple[int, ...] = (),
) -> WeakLabel:
    return WeakLabel(
        image_id=1,
        boxes=boxes or (),
        crops=crops,
        tagged_category_ids=asked,
        has_boxes=boxes is not None,
    )


@st.composite
def boxes_in(draw: st.DrawFn, category_ids: tuple[int, ...]) -> Box:
    """A box that may reach over the border of the image or lie outside it."""
    x0, y0 = draw(st.integers(-2, SIDE)), draw(st.integers(-2, SIDE))
    x1, y1 = draw(st.integers(x0 + 1, SIDE + 3)), draw(st.integers(y0 + 1, SIDE + 3))
    return Box(
        category_id=draw(st.sampled_from(category_ids)),
        box_xyxy=(x0, y0, x1, y1),
        is_group=draw(st.booleans()),
    )


def maps(values: tuple[int, ...]) -> st.SearchStrategy[NDArray[np.uint8]]:
    return arrays(np.uint8, (SIDE, SIDE), elements=st.sampled_from(values))


def box_lists(category_ids: tuple[int, ...]) -> st.SearchStrategy[tuple[Box, ...]]:
    return st.lists(boxes_in(category_ids), max_size=4).map(tuple)


@st.composite
def weak_labels(draw: st.DrawFn) -> WeakLabel:
    """Boxes and two overlapping tagged crops; asked about stuff only or about everything."""
    asked = draw(st.sampled_from([(ROAD_ID, SKY_ID), (ROAD_ID, SKY_ID, CAR_ID, DOG_ID)]))
    crops = tuple(
        TaggedCrop(
            box_xyxy=box_xyxy,
            category_ids=tuple(sorted(draw(st.sets(st.sampled_from(asked))))),
        )
        for box_xyxy in ((0, 0, 4, SIDE), (2, 0, SIDE, SIDE))
    )
    boxes = draw(st.none() | box_lists((CAR_ID, DOG_ID)))
    return weak_label(boxes, crops, asked)


STREET_MAPS = maps((ROAD, SKY, CAR, DOG, NO))


def covered(boxes: tuple[Box, ...], category_id: int | None = None) -> NDArray[np.bool_]:
    """Where the boxes lie, those of one category or all."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside = np.zeros((SIDE, SIDE), dtype=bool)
    for box in boxes:
        x0, y0, x1, y1 = box.box_xyxy
        if category_id in (None, box.category_id):
            inside |= (rows >= y0) & (rows < y1) & (columns >= x0) & (columns < x1)
    return inside


def refine(
    classes: NDArray[np.uint8],
    weak: WeakLabel,
    from_boxes: NDArray[np.uint8] | None = None,
    scores: NDArray[np.float32] | None = None,
    round_number: int = 1,
    categories=STREET,
    refinement: RefinementSettings = SETTINGS,
) -> PseudoLabel:
    masks = None
    if from_boxes is not None:
        masks = PseudoLabel(classes=from_boxes, instances=np.zeros(from_boxes.shape, np.int32))
    return refine_label(
        classes,
        scores=scores,
        from_boxes=masks,
        weak=weak,
        categories=categories,
        settings=refinement,
        round_number=round_number,
    )


def test_a_score_at_the_threshold_is_certain():
    scores = np.array([[0.99, 0.98, 1.0, np.nan]], dtype=np.float32)
    assert keep_certain(as_map([[CAR, CAR, NO, ROAD]]), scores, 0.99).tolist() == [
        [CAR, NO, NO, NO]
    ]


def test_only_classes_that_were_asked_about_need_a_tag():
    crops = (
        TaggedCrop(box_xyxy=(0, 0, 3, 1), category_ids=(ROAD_ID,)),
        TaggedCrop(box_xyxy=(2, 0, 5, 1), category_ids=(ROAD_ID, SKY_ID)),
    )
    classes = as_map([[SKY, ROAD, SKY, SKY, CAR, SKY], [SKY] * 6])
    stuff_only = weak_label(crops=crops, asked=(ROAD_ID, SKY_ID))
    assert keep_tagged(classes, stuff_only, STREET).tolist() == [
        [NO, ROAD, NO, SKY, CAR, SKY],
        [SKY] * 6,
    ]
    everything = weak_label(crops=crops, asked=(ROAD_ID, SKY_ID, CAR_ID, DOG_ID))
    assert keep_tagged(classes, everything, STREET)[0].tolist() == [NO, ROAD, NO, SKY, NO, SKY]


def test_things_stay_in_boxes_of_their_class_groups_included():
    classes = as_map([[CAR, CAR, DOG, CAR, DOG, ROAD, NO]])
    boxes = [car(1, 0, 3, 1), car(3, -4, 4, 9, is_group=True)]
    assert keep_in_boxes(classes, boxes, STREET).tolist() == [[NO, CAR, NO, CAR, NO, ROAD, NO]]


def test_outside_every_box_is_background_where_the_dataset_has_it():
    classes = as_map([[1, 2, NO, 1, NO, 0]])
    boxes = [car(1, 0, 2, 1), dog(2, 0, 4, 1, is_group=True)]
    assert fill_background(classes, boxes, VOC).tolist() == [[0, 2, NO, 1, 0, 0]]
    assert fill_background(classes, boxes, STREET).tolist() == classes.tolist()
    # Beside other stuff, what is outside may be that.
    beside = make_categories(things=("car", "dog"), stuff=("background", "sky"), background=True)
    assert fill_background(classes, boxes, beside).tolist() == classes.tolist()


def test_a_box_with_too_little_of_its_class_is_filled_but_for_its_first_row_and_column():
    classes = as_map(
        [
            [ROAD, ROAD, ROAD, ROAD],
            [ROAD, DOG, NO, ROAD],
            [ROAD, CAR, CAR, SKY],
        ]
    )
    filled = [
        [ROAD, ROAD, ROAD, ROAD],
        [ROAD, DOG, CAR, CAR],
        [ROAD, CAR, CAR, CAR],
    ]
    whole = [car(0, 0, 4, 3)]  # The class covers 2 of its 12 pixels.
    assert fill_boxes(classes, whole, STREET, 0.2).tolist() == filled
    assert fill_boxes(classes, whole, STREET, 2 / 12).tolist() == classes.tolist()
    assert fill_boxes(classes, whole, STREET, 0.0).tolist() == classes.tolist()
    group = [replace(whole[0], is_group=True)]
    assert fill_boxes(classes, group, STREET, 0.5).tolist() == classes.tolist()


def test_a_pixel_of_two_filled_boxes_goes_to_the_smaller_whatever_their_order():
    classes = np.full((4, 4), SKY, dtype=np.uint8)
    boxes = [dog(0, 0, 3, 3), car(0, 0, 4, 4)]
    expected = [
        [SKY, SKY, SKY, SKY],
        [SKY, DOG, DOG, CAR],
        [SKY, DOG, DOG, CAR],
        [SKY, CAR, CAR, CAR],
    ]
    assert fill_boxes(classes, boxes, STREET, 0.5).tolist() == expected
    assert fill_boxes(classes, boxes[::-1], STREET, 0.5).tolist() == expected


def test_an_instance_is_where_one_box_of_the_class_lies():
    classes = as_map([[CAR, CAR, CAR, DOG, ROAD, CAR, DOG]])
    boxes = [
        car(20, 0, 22, 1),  # Not in the image: no number.
        car(0, 0, 2, 1),
        car(0, 0, 7, 1, is_group=True),
        car(0, 0, 2, 1),  # A repetition.
        car(1, 0, 5, 1),
        dog(-3, -3, 9, 9),
    ]
    assert instances_from_boxes(classes, boxes, STREET).tolist() == [[1, 0, 2, 3, 0, 0, 3]]


def test_the_steps_follow_each_other():
    classes = as_map([[SKY, ROAD, CAR, CAR, DOG, SKY]])
    scores = np.array([[0.5, 1, 1, 1, 1, 1]], dtype=np.float32)
    crops = (TaggedCrop(box_xyxy=(0, 0, 6, 1), category_ids=(ROAD_ID,)),)
    weak = weak_label((car(2, 0, 5, 1),), crops, (ROAD_ID, SKY_ID))
    masks = as_map([[NO, NO, CAR, NO, CAR, NO]])
    label = refine(classes, weak, masks, scores)
    assert label.classes.tolist() == [[NO, ROAD, CAR, NO, CAR, NO]]
    assert label.instances.tolist() == [[0, 0, 1, 0, 1, 0]]
    # After the last round with masks the prediction is trusted, in boxes of its class.
    label = refine(classes, weak, masks, scores, round_number=SETTINGS.merge_rounds + 1)
    assert label.classes.tolist() == [[NO, ROAD, CAR, CAR, NO, NO]]
    assert label.instances.tolist() == [[0, 0, 1, 1, 0, 0]]


def test_boxes_alone_begin_with_a_map_of_nothing():
    nothing = np.full((1, 4), NO, dtype=np.uint8)
    masks = as_map([[0, 1, NO, 0]])
    label = refine(nothing, weak_label((VOC_CAR_BOX,)), masks, categories=VOC, round_number=0)
    assert label.classes.tolist() == masks.tolist()


def test_background_comes_from_boxes_without_masks_too():
    classes = as_map([[2, 1, 2, 1]])
    weak = weak_label((VOC_CAR_BOX,))
    assert refine(classes, weak, categories=VOC).classes.tolist() == [[0, 1, NO, 0]]
    everywhere = replace(SETTINGS, keep_in_boxes=False)
    unchanged = refine(classes, weak, categories=VOC, refinement=everywhere)
    assert unchanged.classes.tolist() == classes.tolist()


def test_without_boxes_things_are_left_alone_and_no_boxes_means_no_things():
    classes = as_map([[CAR, ROAD, DOG]])
    crops = (TaggedCrop(box_xyxy=(0, 0, 3, 1), category_ids=(CAR_ID, ROAD_ID)),)
    asked = (ROAD_ID, SKY_ID, CAR_ID, DOG_ID)
    from_tags = refine(classes, weak_label(None, crops, asked))
    assert from_tags.classes.tolist() == [[CAR, ROAD, NO]]
    assert not from_tags.instances.any()
    unchecked = refine(
        classes, weak_label(None, crops, asked), refinement=replace(SETTINGS, keep_tagged=False)
    )
    assert unchecked.classes.tolist() == classes.tolist()
    assert refine(classes, weak_label(())).classes.tolist() == [[NO, ROAD, NO]]


def test_crowds_can_make_a_label_incomplete_so_that_it_forbids_nothing():
    classes = as_map([[DOG, SKY, CAR], [ROAD, ROAD, ROAD], [SKY, SKY, SKY]])
    crops = (TaggedCrop(box_xyxy=(0, 0, 3, 3), category_ids=(ROAD_ID,)),)
    crowd = replace(car(0, 0, 1, 1), is_group=True)
    weak = weak_label((car(1, 1, 3, 3), crowd), crops, (ROAD_ID, SKY_ID))
    coco = replace(SETTINGS, complete="without groups")
    label = refine(classes, weak, refinement=coco)
    assert label.classes.tolist() == [[DOG, SKY, CAR], [ROAD, ROAD, ROAD], [SKY, SKY, CAR]]
    assert not label.instances.any()
    without = weak_label((car(1, 1, 3, 3),), crops, (ROAD_ID, SKY_ID))
    coarse = refine(classes, without, refinement=replace(SETTINGS, complete="never"))
    assert coarse.classes.tolist() == label.classes.tolist()
    assert not coarse.instances.any()
    for one, other in ((weak, SETTINGS), (without, coco)):
        complete = refine(classes, one, refinement=other)
        assert complete.classes.tolist() == [[NO, NO, NO], [ROAD, ROAD, ROAD], [NO, NO, CAR]]
        assert complete.instances.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


@given(classes=STREET_MAPS, masks=STREET_MAPS, weak=weak_labels(), seed=st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_a_refined_label_keeps_to_the_weak_label(classes, masks, weak, seed):
    scores = np.random.default_rng(seed).uniform(0.97, 1, classes.shape).astype(np.float32)
    masks[np.isin(masks, STREET.stuff_indices)] = NO
    before = classes.copy(), masks.copy(), scores.copy()
    label = refine(classes, weak, masks, scores)
    for category_id, class_index in ((CAR_ID, CAR), (DOG_ID, DOG)):
        if weak.has_boxes:
            assert not ((label.classes == class_index) & ~covered(weak.boxes, category_id)).any()
    for crop in weak.crops:
        x0, y0, x1, y1 = crop.box_xyxy
        window = label.classes[y0:y1, x0:x1]
        for category_id, class_index in ((ROAD_ID, ROAD), (SKY_ID, SKY)):
            assert category_id in crop.category_ids or class_index not in window
    asked_for = {NO, *np.unique(classes), *np.unique(masks)}
    asked_for |= {STREET.class_index_of[box.category_id] for box in weak.boxes}
    assert set(np.unique(label.classes)) <= asked_for
    assert not label.instances[~np.isin(label.classes, STREET.thing_indices)].any()
    for given_map, copy in zip((classes, masks, scores), before, strict=True):
        np.testing.assert_array_equal(given_map, copy)
    assert label.classes is not classes


@given(classes=STREET_MAPS, weak=weak_labels(), fill_below=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=100, deadline=None)
def test_each_step_done_twice_is_done_once_and_leaves_its_input(classes, weak, fill_below):
    before = classes.copy()
    steps = [
        lambda m: keep_tagged(m, weak, STREET),
        lambda m: keep_in_boxes(m, weak.boxes, STREET),
        lambda m: fill_background(m, weak.boxes, STREET),
        lambda m: fill_background(np.minimum(m, 2), weak.boxes, VOC),
        lambda m: keep_certain(m, np.full(m.shape, 0.5, np.float32), 0.9),
    ]
    for step in steps:
        once = step(classes)
        assert once.dtype == np.uint8
        np.testing.assert_array_equal(step(once), once)
        np.testing.assert_array_equal(classes, before)
    filled = fill_boxes(classes, weak.boxes, STREET, fill_below)
    is_thing = np.isin(classes, STREET.thing_indices)
    np.testing.assert_array_equal(filled[is_thing], classes[is_thing])
    instances_from_boxes(classes, weak.boxes, STREET)
    np.testing.assert_array_equal(classes, before)


@given(classes=maps((0, 1, 2, NO)), boxes=box_lists((20, 30)))
@settings(max_examples=60, deadline=None)
def test_outside_all_boxes_a_background_dataset_has_background(classes, boxes):
    label = refine(classes, weak_label(boxes), categories=VOC)
    assert (label.classes[~covered(boxes)] == 0).all()


@given(classes=STREET_MAPS, boxes=box_lists((CAR_ID, DOG_ID)))
@settings(max_examples=60, deadline=None)
def test_each_instance_lies_in_its_box_and_has_its_class(classes, boxes):
    numbers = instances_from_boxes(classes, boxes, STREET)
    visible = [box for box in dict.fromkeys(boxes) if not box.is_group and covered((box,)).any()]
    assert numbers.max() <= len(visible)
    for number, box in enumerate(visible, start=1):
        mine = numbers == number
        assert not (mine & ~covered((box,))).any()
        assert (classes[mine] == STREET.class_index_of[box.category_id]).all()


@pytest.mark.parametrize("has_boxes", [True, False])
def test_the_map_given_is_never_the_map_returned(has_boxes: bool):
    classes = as_map([[ROAD, SKY]])
    untouched = replace(SETTINGS, keep_tagged=False, keep_in_boxes=False, fill_below=0.0)
    label = refine(classes, weak_label(() if has_boxes else None), refinement=untouched)
    label.classes[:] = NO
    assert classes.tolist() == [[ROAD, SKY]]


def test_where_things_may_lack_boxes_a_prediction_stands_against_the_background_around_them():
    predicted = as_map([[2, 2, 0, 1]])  # dog, dog, background, car; in a box is the car
    from_boxes = PseudoLabel(
        classes=as_map([[0, 0, 0, 1]]), instances=np.array([[0, 0, 0, 1]], np.int32)
    )
    box = Box(category_id=20, box_xyxy=(3, 0, 4, 1))
    weak = WeakLabel(image_id=1, boxes=(box,), has_boxes=True)

    def label(complete: str, scores: NDArray[np.float32] | None) -> list[list[int]]:
        found = refine_label(
            predicted if scores is not None else np.full_like(predicted, NO),
            scores=scores,
            from_boxes=from_boxes,
            weak=weak,
            categories=VOC,
            settings=replace(SETTINGS, complete=complete),
            round_number=0 if scores is None else 1,
        )
        return found.classes.tolist()

    sure = np.ones(predicted.shape, np.float32)
    assert label("always", sure) == [[0, 0, 0, 1]]
    assert label("never", sure) == [[NO, NO, 0, 1]]
    # Before the first training nothing else says where the background is.
    assert label("never", None) == [[0, 0, 0, 1]]
