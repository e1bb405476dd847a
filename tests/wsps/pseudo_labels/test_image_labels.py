import numpy as np
import pytest

from annotools.categories import IGNORE_INDEX
from tests.builders import make_categories
from wsps.pseudo_labels.image_labels import label_image
from wsps.pseudo_labels.records import PseudoLabel

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))
ROAD, SKY, CAR, NO = 0, 1, 2, IGNORE_INDEX
FROM_BOXES = PseudoLabel(
    classes=np.array([[CAR, NO, NO]], dtype=np.uint8),
    instances=np.array([[1, 0, 0]], dtype=np.int32),
)
FROM_TAGS = np.array([[ROAD, SKY, CAR]], dtype=np.uint8)


def test_boxes_come_first_and_tags_add_stuff() -> None:
    both = label_image(FROM_BOXES, FROM_TAGS, CATEGORIES)
    assert both.classes.tolist() == [[CAR, SKY, NO]]
    assert both.instances.tolist() == [[1, 0, 0]]


def test_one_source_alone_is_taken_as_it_is() -> None:
    assert label_image(FROM_BOXES, None, CATEGORIES) is FROM_BOXES
    tags = label_image(None, FROM_TAGS, CATEGORIES)
    assert tags.classes.tolist() == [[ROAD, SKY, CAR]]
    assert tags.instances.tolist() == [[0, 0, 0]]
    with pytest.raises(ValueError, match="boxes or tags"):
        label_image(None, None, CATEGORIES)
