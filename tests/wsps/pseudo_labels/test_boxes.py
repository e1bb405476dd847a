import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX
from annotools.records import Box, BoxXYXY
from tests.builders import make_categories
from wsps.pseudo_labels.boxes import label_from_boxes, masks_from_boxes
from wsps.pseudo_labels.methods import METHODS

CATEGORIES = make_categories(("bus", "car", "person"), stuff=("background",), background=True)
CAR, PERSON = 30, 40
"""Their class indices are 2 and 3; the background's is 0."""

# Boxes of up to 3 x 3 pixels have full squares as inscribed ellipses, so labels can be worked out
# by hand.
BLANK = np.zeros((4, 6, 3), dtype=np.uint8)
X = IGNORE_INDEX


def car(*box_xyxy: int, is_group: bool = False) -> Box:
    return box(CAR, *box_xyxy, is_group=is_group)


def person(*box_xyxy: int) -> Box:
    return box(PERSON, *box_xyxy)


def box(category_id: int, *box_xyxy: int, is_group: bool = False) -> Box:
    x0, y0, x1, y1 = box_xyxy
    return Box(category_id=category_id, box_xyxy=(x0, y0, x1, y1), is_group=is_group)


def red_cross_photo() -> NDArray[np.uint8]:
    """A red cross in (10, 10, 50, 50) on noisy grey."""
    noise = np.random.default_rng(0).integers(-5, 6, (60, 60, 3))
    photo = np.full((60, 60, 3), 90) + noise
    photo[20:40, 10:50] = photo[10:50, 20:40] = (200, 20, 20)
    return photo.astype(np.uint8)


def test_one_box_on_background() -> None:
    label = label_from_boxes(BLANK, [car(1, 1, 3, 3)], CATEGORIES)
    assert label.classes.dtype == np.uint8
    assert label.classes.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 2, 2, 0, 0, 0],
        [0, 2, 2, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert label.instances.dtype == np.int32
    np.testing.assert_array_equal(label.instances, label.classes == 2)


def test_outside_is_ignored_where_stuff_is_labelled_in_its_own_right() -> None:
    label = label_from_boxes(BLANK, [car(1, 1, 3, 3)], make_categories())
    assert (label.classes == X).sum() == 20
    assert (label.classes == 2).sum() == 4


def test_overlap_of_one_class_is_ignored() -> None:
    label = label_from_boxes(BLANK, [car(0, 0, 3, 3), car(2, 1, 5, 4)], CATEGORIES)
    assert label.classes.tolist() == [
        [2, 2, 2, 0, 0, 0],
        [2, 2, X, 2, 2, 0],
        [2, 2, X, 2, 2, 0],
        [0, 0, 2, 2, 2, 0],
    ]
    assert label.instances.tolist() == [
        [1, 1, 1, 0, 0, 0],
        [1, 1, 0, 2, 2, 0],
        [1, 1, 0, 2, 2, 0],
        [0, 0, 2, 2, 2, 0],
    ]


@pytest.mark.parametrize("is_reversed", [False, True])
def test_overlap_of_two_classes_is_ignored_while_enough_is_left_of_both(is_reversed: bool) -> None:
    boxes = [car(0, 0, 3, 3), person(2, 1, 4, 3)]
    label = label_from_boxes(BLANK, boxes[::-1] if is_reversed else boxes, CATEGORIES)
    assert label.classes.tolist() == [
        [2, 2, 2, 0, 0, 0],
        [2, 2, X, 3, 0, 0],
        [2, 2, X, 3, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert label.instances[0, 0] == (2 if is_reversed else 1)


def test_object_inside_a_larger_one_is_taken_to_be_in_front() -> None:
    label = label_from_boxes(BLANK, [person(1, 1, 3, 2), car(0, 0, 3, 3)], CATEGORIES)
    assert label.classes[:3].tolist() == [
        [2, 2, 2, 0, 0, 0],
        [2, 3, 3, 0, 0, 0],
        [2, 2, 2, 0, 0, 0],
    ]
    assert label.instances[1].tolist() == [2, 1, 1, 0, 0, 0]


def test_third_class_in_front_of_a_contested_pixel_keeps_it() -> None:
    boxes = [car(0, 0, 3, 3), car(1, 0, 4, 3), person(1, 1, 2, 2)]
    label = label_from_boxes(BLANK, boxes, CATEGORIES)
    assert label.classes[:3].tolist() == [
        [2, X, X, 2, 0, 0],
        [2, 3, X, 2, 0, 0],
        [2, X, X, 2, 0, 0],
    ]
    assert label.instances[1].tolist() == [1, 3, 0, 2, 0, 0]


def test_group_is_ignored_except_for_other_instances() -> None:
    boxes = [car(0, 0, 4, 2, is_group=True), person(1, 0, 3, 2)]
    label = label_from_boxes(BLANK, boxes, CATEGORIES)
    assert label.classes[:3].tolist() == [
        [X, 3, 3, X, 0, 0],
        [X, 3, 3, X, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert label.instances[0].tolist() == [0, 1, 1, 0, 0, 0]


def test_box_is_cut_off_at_the_photo() -> None:
    (mask,) = masks_from_boxes(BLANK, [car(-3, -2, 2, 1)])
    assert mask.box_xyxy == (0, 0, 2, 1)
    assert mask.mask.tolist() == [[True, True]]
    assert mask.is_fallback


@pytest.mark.parametrize("place", [(2, 2, 2, 4), (3, 1, 2, 2), (-9, 0, -4, 3), (6, 0, 9, 3)])
def test_box_without_pixels_is_skipped(place: BoxXYXY) -> None:
    boxes = [car(*place), person(0, 0, 1, 1)]
    assert [m.box for m in masks_from_boxes(BLANK, boxes)] == boxes[1:]
    label = label_from_boxes(BLANK, boxes, CATEGORIES)
    assert (label.classes != 0).sum() == label.instances.sum() == 1


def test_repeated_box_is_one_instance() -> None:
    label = label_from_boxes(BLANK, [car(0, 0, 2, 2), car(0, 0, 2, 2)], CATEGORIES)
    assert (label.instances == 1).sum() == (label.classes == 2).sum() == 4


def test_object_in_a_larger_box_is_found_and_the_rest_ignored() -> None:
    photo = red_cross_photo()
    cross = photo[..., 0] > 150
    (found,) = masks_from_boxes(photo, [car(10, 10, 50, 50)])
    assert not found.is_fallback
    assert (found.mask == cross[10:50, 10:50]).mean() > 0.99
    label = label_from_boxes(photo, [car(10, 10, 50, 50)], CATEGORIES)
    assert (label.classes[:10] == 0).all()
    assert (label.classes[11:14, 11:14] == X).all()


def test_centre_stands_for_an_object_that_grouping_does_not_find() -> None:
    photo = np.zeros((60, 60, 3), dtype=np.uint8)
    photo[:, ::2] = 255
    (found,) = masks_from_boxes(photo, [car(20, 20, 30, 30)])
    assert found.is_fallback
    assert found.mask[5, 5]
    assert not found.mask[0].any()


def test_other_methods_are_chosen_by_name() -> None:
    photo = red_cross_photo()
    found = {
        name: masks_from_boxes(photo, [car(10, 10, 50, 50)], method=name)[0] for name in METHODS
    }
    assert list(found) == ["agreed", "grabcut", "grouping", "box"]
    assert found["box"].mask.all()
    cross = photo[10:50, 10:50, 0] > 150
    assert (found["agreed"].mask != cross).sum() <= 2
    # Grouping alone takes some of the noise between the arms with the cross, and all of the cross.
    assert found["grouping"].mask[cross].all()
    assert found["grouping"].mask.sum() < 1.1 * cross.sum()
    # GrabCut's sure core reaches into the corners between the arms.
    assert cross.sum() <= found["grabcut"].mask.sum() < found["box"].mask.sum()


def test_two_pixels_in_a_hundred_are_enough_to_stand_for_an_object(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find(count):
        scores = np.zeros((10, 10), dtype=np.float32)
        scores.ravel()[:count] = 1
        return lambda photo, place, others: scores

    photo = np.zeros((20, 20, 3), dtype=np.uint8)
    monkeypatch.setitem(METHODS, "two", find(2))
    monkeypatch.setitem(METHODS, "one", find(1))
    (two,) = masks_from_boxes(photo, [car(5, 5, 15, 15)], method="two")
    assert two.mask.sum() == 2
    assert not two.is_fallback
    (one,) = masks_from_boxes(photo, [car(5, 5, 15, 15)], method="one")
    assert one.is_fallback
    assert one.mask[5, 5]


def test_objects_that_leave_each_other_nothing_keep_what_they_would_have_alone() -> None:
    photo = red_cross_photo()
    place = (10, 10, 50, 50)
    (alone,) = masks_from_boxes(photo, [car(*place)])
    both = masks_from_boxes(photo, [car(*place), person(*place)])
    assert not alone.is_fallback
    for found in both:
        assert found.is_fallback
        np.testing.assert_array_equal(found.mask, alone.mask)


@given(
    st.lists(
        st.builds(
            lambda x, y, width, height, category_id, is_group: Box(
                category_id=category_id, box_xyxy=(x, y, x + width, y + height), is_group=is_group
            ),
            st.integers(-5, 45),
            st.integers(-5, 45),
            st.integers(0, 20),
            st.integers(0, 20),
            st.sampled_from([CAR, PERSON]),
            st.booleans(),
        ),
        max_size=4,
    )
)
@settings(max_examples=25, deadline=None)
def test_label_agrees_with_its_boxes(boxes: list[Box]) -> None:
    photo = red_cross_photo()[:40, :40]
    masks = masks_from_boxes(photo, boxes)
    label = label_from_boxes(photo, boxes, CATEGORIES)
    assert label.instances.max() <= len(masks)
    np.testing.assert_array_equal(label.instances > 0, np.isin(label.classes, (2, 3)))
    for number, found in enumerate(masks, start=1):
        assert found.mask.any()
        x0, y0, x1, y1 = found.box_xyxy
        allowed = np.zeros(label.classes.shape, dtype=bool)
        allowed[y0:y1, x0:x1] = found.mask
        own = label.instances == number
        assert not (own & ~allowed).any()
        class_index = CATEGORIES.class_index_of[found.box.category_id]
        assert (label.classes[own] == class_index).all()
