import numpy as np

from annotools.categories import IGNORE_INDEX
from annotools.records import Box, WeakLabel
from tests.builders import make_categories, make_label
from wsps.examples import example_from_full, example_from_weak
from wsps.pseudo_labels.records import PseudoLabel

CATEGORIES = make_categories(things=("car", "bus"), stuff=("road", "sky"))  # ids 10 to 40
PHOTO = np.zeros((2, 4, 3), dtype=np.uint8)


def test_a_full_label_gives_classes_instances_and_tight_boxes_but_no_target_for_a_group():
    label = make_label(
        [[1, 1, 5, 5], [7, 7, 0, 9]], category_of={1: 10, 5: 40, 7: 30, 9: 30}, groups=[9]
    )
    example = example_from_full(PHOTO, label, CATEGORIES)
    assert example.classes.tolist() == [[0, 0, 3, 3], [2, 2, IGNORE_INDEX, 2]]
    assert example.instances.tolist() == [[0, 0, 1, 1], [2, 2, 0, 0]]
    assert example.boxes_xyxy.tolist() == [[2, 0, 4, 1], [0, 1, 2, 2]]
    assert example.box_classes.tolist() == [3, 2]
    assert example.has_boxes


def test_a_full_label_without_things_has_boxes_but_none_to_give():
    example = example_from_full(PHOTO, make_label([[1] * 4] * 2, {1: 10}), CATEGORIES)
    assert example.has_boxes
    assert example.boxes_xyxy.shape == (0, 4)
    assert example.box_classes.shape == (0,)


def test_a_weak_label_gives_the_pseudo_label_and_the_annotators_boxes():
    pseudo = PseudoLabel(
        classes=np.full((2, 4), IGNORE_INDEX, dtype=np.uint8),
        instances=np.zeros((2, 4), dtype=np.int32),
    )
    boxes = (
        Box(category_id=40, box_xyxy=(0, 0, 3, 2)),
        Box(category_id=30, box_xyxy=(1, 0, 4, 2), is_group=True),
    )
    weak = WeakLabel(image_id=1, boxes=boxes, has_boxes=True)
    example = example_from_weak(PHOTO, pseudo, weak, CATEGORIES)
    assert example.classes is pseudo.classes
    assert example.boxes_xyxy.tolist() == [[0, 0, 3, 2]]
    assert example.box_classes.tolist() == [3]
    tagged = example_from_weak(PHOTO, pseudo, WeakLabel(image_id=1), CATEGORIES)
    assert not tagged.has_boxes
