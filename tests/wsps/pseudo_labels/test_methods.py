import numpy as np
import pytest

from annotools.errors import RecipeError
from annotools.records import Box
from tests.builders import make_categories
from wsps.pseudo_labels.boxes import label_from_boxes, masks_from_boxes
from wsps.pseudo_labels.methods import METHODS
from wsps.pseudo_labels.windows import cut_window


@pytest.mark.parametrize("name", METHODS)
def test_scores_are_of_the_window_within_bounds_and_in_the_box(name: str) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    window = cut_window(photo, (10, 10, 40, 35))
    scores = METHODS[name](window, [(20, 20, 30, 30)])
    assert scores.shape == window.pixels.shape[:2]
    assert scores.dtype == np.float32
    assert 0 <= scores.min() < scores.max() <= 1 + 1e-6
    assert not scores[~window.inside(window.box_xyxy)].any()


def test_neither_grabcut_nor_grouping_alone_passes_one_half() -> None:
    photo = np.zeros((60, 60, 3), dtype=np.uint8)
    photo[:, ::2] = 255
    window = cut_window(photo, (20, 20, 30, 30))
    assert not METHODS["grouping"](window, ()).any()
    assert METHODS["grabcut"](window, ()).max() == 1
    assert METHODS["agreed"](window, ()).max() <= 0.5


def test_a_method_of_ones_own_is_a_function_in_the_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    def left_half(window, other_boxes):
        found = window.inside(window.box_xyxy).astype(np.float32)
        found[:, found.shape[1] // 2 :] = 0
        return found

    monkeypatch.setitem(METHODS, "left", left_half)
    categories = make_categories()
    car = next(c.category_id for c in categories.categories if c.is_thing)
    photo, boxes = (
        np.zeros((40, 60, 3), dtype=np.uint8),
        [Box(category_id=car, box_xyxy=(10, 10, 50, 30))],
    )
    label = label_from_boxes(photo, boxes, categories, method="left")
    assert (label.instances[10:30, 10:30] == 1).all()
    assert label.instances.sum() == 400
    with pytest.raises(RecipeError, match="unknown box_method 'right': use agreed, grabcut"):
        masks_from_boxes(photo, boxes, method="right")
