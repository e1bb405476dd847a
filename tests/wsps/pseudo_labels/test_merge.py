import numpy as np

from annotools.categories import IGNORE_INDEX
from tests.builders import make_categories
from wsps.pseudo_labels.refine import merge_with_boxes

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))
ROAD, SKY, CAR, NO = 0, 1, 2, IGNORE_INDEX


def test_boxes_come_first_then_stuff_of_the_other_source_and_no_thing_of_its():
    boxes = np.array([[CAR, CAR, NO, NO, NO, SKY]], dtype=np.uint8)
    tags = np.array([[ROAD, NO, ROAD, CAR, NO, ROAD]], dtype=np.uint8)
    merged = merge_with_boxes(tags, boxes, CATEGORIES)
    assert merged.tolist() == [[CAR, CAR, ROAD, NO, NO, SKY]]
    assert merged.dtype == np.uint8
    assert boxes[0, 2] == NO
