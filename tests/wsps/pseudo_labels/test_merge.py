import numpy as np

from annotools.categories import IGNORE_INDEX
from tests.builders import make_categories
from wsps.pseudo_labels.merge import merge_boxes_and_tags
from wsps.pseudo_labels.records import PseudoLabel

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))
ROAD, SKY, CAR, NO = 0, 1, 2, IGNORE_INDEX


def test_boxes_come_first_then_stuff_of_the_tags_and_no_thing_of_theirs():
    boxes = np.array([[CAR, CAR, NO, NO, NO, SKY]], dtype=np.uint8)
    tags = np.array([[ROAD, NO, ROAD, CAR, NO, ROAD]], dtype=np.uint8)
    instances = np.array([[1, 1, 0, 0, 0, 0]], dtype=np.int32)
    merged = merge_boxes_and_tags(PseudoLabel(classes=boxes, instances=instances), tags, CATEGORIES)
    assert merged.classes.tolist() == [[CAR, CAR, ROAD, NO, NO, SKY]]
    assert merged.classes.dtype == np.uint8
    assert np.array_equal(merged.instances, instances)
    assert boxes[0, 2] == NO
