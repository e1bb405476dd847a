import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.records import Box, TaggedCrop, WeakLabel
from annotools.weak_labels.weaken import crop_grid, weaken
from tests.builders import make_categories, make_label

ROAD, SKY, CAR = 10, 20, 30
BACKGROUND = 10

LABEL = make_label(
    [
        [1, 1, 1, 1, 0, 0],
        [2, 3, 3, 2, 2, 0],
        [2, 3, 3, 2, 4, 4],
        [2, 2, 2, 2, 4, 4],
    ],
    {1: SKY, 2: ROAD, 3: CAR, 4: CAR},
    groups=[4],
)
BOXES = (
    Box(category_id=CAR, box_xyxy=(1, 1, 3, 3)),
    Box(category_id=CAR, box_xyxy=(4, 2, 6, 4), is_group=True),
)

sides = st.integers(1, 60)


def test_cityscapes_crops_are_those_of_the_paper():
    grid = crop_grid(2048, 1024, 500, 400)

    assert [box[:2] for box in grid] == [
        (x, y) for x in (0, 387, 774, 1161, 1548) for y in (0, 312, 624)
    ]
    assert {(x1 - x0, y1 - y0) for x0, y0, x1, y1 in grid} == {(500, 400)}


@pytest.mark.parametrize(
    ("size", "crop", "boxes"),
    [
        ((6, 4), (6, 4), [(0, 0, 6, 4)]),
        ((6, 4), (10, 2), [(0, 0, 6, 2), (0, 2, 6, 4)]),
        ((7, 1), (4, 9), [(0, 0, 4, 1), (3, 0, 7, 1)]),
        # The rule's overlap of 1 gives starts 0, 2, 4, 6, 8 and would end at 11 of 14 pixels.
        (
            (14, 1),
            (3, 1),
            [(0, 0, 3, 1), (2, 0, 5, 1), (5, 0, 8, 1), (8, 0, 11, 1), (11, 0, 14, 1)],
        ),
    ],
)
def test_small_grids(size, crop, boxes):
    assert list(crop_grid(*size, *crop)) == boxes


@given(sides, sides, sides, sides)
def test_crops_have_one_size_and_cover_the_image_without_leaving_it(
    width, height, crop_width, crop_height
):
    covered = np.zeros((height, width), dtype=bool)
    grid = crop_grid(width, height, crop_width, crop_height)
    for x0, y0, x1, y1 in grid:
        assert (x1 - x0, y1 - y0) == (min(crop_width, width), min(crop_height, height))
        assert x0 >= 0
        assert y0 >= 0
        assert x1 <= width
        assert y1 <= height
        covered[y0:y1, x0:x1] = True

    assert covered.all()
    assert len(set(grid)) == len(grid) == -(-width // crop_width) * -(-height // crop_height)


@pytest.mark.parametrize("numbers", [(0, 4, 2, 2), (4, 4, 0, 2), (4, 4, 2, -1)])
def test_crops_without_pixels_are_refused(numbers):
    with pytest.raises(ValueError, match="at least one pixel"):
        crop_grid(*numbers)


def test_boxes_are_one_a_thing_and_ask_nothing_about_stuff():
    weak = weaken(LABEL, make_categories(), "boxes", (3, 4))

    assert weak == WeakLabel(image_id=1, boxes=BOXES, has_boxes=True)


def test_tags_are_things_and_stuff_of_each_crop():
    weak = weaken(LABEL, make_categories(), "tags", (2, 4))

    assert weak == WeakLabel(
        image_id=1,
        crops=(
            TaggedCrop(box_xyxy=(0, 0, 2, 4), category_ids=(ROAD, SKY, CAR)),
            TaggedCrop(box_xyxy=(2, 0, 4, 4), category_ids=(ROAD, SKY, CAR)),
            TaggedCrop(box_xyxy=(4, 0, 6, 4), category_ids=(ROAD, CAR)),
        ),
        tagged_category_ids=(ROAD, SKY, CAR),
    )


def test_boxes_and_tags_ask_about_stuff_only():
    weak = weaken(LABEL, make_categories(), "boxes+tags", None)

    assert weak == WeakLabel(
        image_id=1,
        boxes=BOXES,
        crops=(TaggedCrop(box_xyxy=(0, 0, 6, 4), category_ids=(ROAD, SKY)),),
        tagged_category_ids=(ROAD, SKY),
        has_boxes=True,
    )


def test_background_is_never_asked_about():
    categories = make_categories(stuff=("background",), background=True)
    label = make_label([[1, 1, 2]], {1: BACKGROUND, 2: 20})

    tags = weaken(label, categories, "tags", (2, 1))
    assert tags.tagged_category_ids == (20,)
    assert [crop.category_ids for crop in tags.crops] == [(), (20,)]

    both = weaken(label, categories, "boxes+tags", (2, 1))
    assert both == weaken(label, categories, "boxes", None)
    assert both.crops == both.tagged_category_ids == ()


def test_an_image_of_void_has_neither_boxes_nor_tags():
    weak = weaken(make_label([[0, 0]], {}), make_categories(), "boxes+tags", None)

    assert weak.boxes == ()
    assert weak.crops == (TaggedCrop(box_xyxy=(0, 0, 2, 1), category_ids=()),)


@pytest.mark.parametrize("kind", ["full", "points", ""])
def test_other_kinds_are_refused(kind):
    with pytest.raises(ValueError, match="give one of boxes, tags, boxes"):
        weaken(LABEL, make_categories(), kind, None)
