import numpy as np
import pytest

from annotools.categories import IGNORE_INDEX
from annotools.records import Box, WeakLabel
from tests.builders import make_categories
from wsps.pseudo_labels.refine import PseudoLabel
from wsps.pseudo_labels.round_labels import first_label
from wsps.recipe import RefinementSettings

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))
ROAD, SKY, CAR, NO = 0, 1, 2, IGNORE_INDEX
FROM_BOXES = PseudoLabel(
    classes=np.array([[CAR, NO, NO]], dtype=np.uint8),
    instances=np.array([[1, 0, 0]], dtype=np.int32),
)
FROM_TAGS = np.array([[ROAD, SKY, CAR]], dtype=np.uint8)
CAR_ID = CATEGORIES.categories[CAR].category_id
WEAK = WeakLabel(
    image_id=1, boxes=(Box(category_id=CAR_ID, box_xyxy=(0, 0, 3, 1)),), has_boxes=True
)
NO_BOXES = WeakLabel(image_id=1)
SETTINGS = RefinementSettings()


def test_boxes_come_first_and_tags_add_stuff() -> None:
    both = first_label(FROM_BOXES, FROM_TAGS, WEAK, CATEGORIES, SETTINGS)
    assert both.classes.tolist() == [[CAR, SKY, NO]]
    assert both.instances.tolist() == [[1, 0, 0]]


def test_one_source_alone_is_taken_as_it_is() -> None:
    boxes = first_label(FROM_BOXES, None, WEAK, CATEGORIES, SETTINGS)
    assert boxes.classes.tolist() == [[CAR, NO, NO]]
    assert boxes.instances.tolist() == [[1, 0, 0]]
    tags = first_label(None, FROM_TAGS, NO_BOXES, CATEGORIES, SETTINGS)
    assert tags.classes.tolist() == [[ROAD, SKY, CAR]]
    assert tags.instances.tolist() == [[0, 0, 0]]
    with pytest.raises(ValueError, match="boxes or tags"):
        first_label(None, None, NO_BOXES, CATEGORIES, SETTINGS)


def test_the_released_code_fills_boxes_from_the_start() -> None:
    settings = RefinementSettings(fill_from_round=0)
    boxes = (Box(category_id=CAR_ID, box_xyxy=(0, 0, 3, 3)),)
    weak = WeakLabel(image_id=1, boxes=boxes, has_boxes=True)
    classes = np.full((3, 3), NO, dtype=np.uint8)
    classes[0, 0] = CAR
    from_boxes = PseudoLabel(classes=classes, instances=(classes == CAR).astype(np.int32))
    filled = first_label(from_boxes, None, weak, CATEGORIES, settings)
    assert filled.classes.tolist() == [[CAR, NO, NO], [NO, CAR, CAR], [NO, CAR, CAR]]
    assert filled.instances.tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 1]]
    unfilled = first_label(from_boxes, None, weak, CATEGORIES, SETTINGS)
    np.testing.assert_array_equal(unfilled.classes, classes)


def test_masks_tell_instances_apart_where_boxes_of_a_class_meet() -> None:
    boxes = tuple(Box(category_id=CAR_ID, box_xyxy=(x, 0, x + 2, 1)) for x in (0, 1))
    weak = WeakLabel(image_id=1, boxes=boxes, has_boxes=True)
    from_boxes = PseudoLabel(
        classes=np.full((1, 3), CAR, dtype=np.uint8),
        instances=np.array([[1, 2, 2]], dtype=np.int32),
    )
    label = first_label(from_boxes, None, weak, CATEGORIES, SETTINGS)
    assert label.instances.tolist() == [[1, 2, 2]]
