import numpy as np
import pytest

from annotools.errors import RecipeError
from annotools.records import Box
from tests.builders import make_categories
from wsps.pseudo_labels.boxes import label_from_boxes, masks_from_boxes
from wsps.pseudo_labels.methods import METHODS, agreement
from wsps.pseudo_labels.windows import cut_window


@pytest.mark.parametrize("name", METHODS)
def test_scores_are_of_the_box_and_within_bounds(name: str) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    scores = METHODS[name](photo, (10, 10, 40, 35), [(20, 20, 30, 30)])
    assert scores.shape == (25, 30)
    assert scores.dtype == np.float32
    assert 0 <= scores.min() <= scores.max() <= 1 + 1e-6


def test_neither_grabcut_nor_grouping_alone_passes_one_half() -> None:
    photo = np.zeros((60, 60, 3), dtype=np.uint8)
    photo[:, ::2] = 255
    place = (20, 20, 30, 30)
    assert not METHODS["grouping"](photo, place, ()).any()
    assert METHODS["grabcut"](photo, place, ()).max() == 1
    assert agreement(cut_window(photo, place), ()).max() <= 0.5


def test_crf_takes_away_what_looks_like_the_far_background() -> None:
    # The lower half of the object has the colour of a background beyond the nearer context.
    place = (60, 60, 100, 100)
    photo = np.full((160, 160, 3), 90, dtype=np.uint8)
    photo[60:80, 60:100] = (200, 20, 20)
    photo[80:100, 60:100] = (20, 20, 200)
    window = cut_window(photo, place)
    found = agreement(window, ())
    lower_half = METHODS["agreed"](photo, place, ())[20:]
    photo[:, :52] = photo[:, 108:] = (20, 20, 200)
    np.testing.assert_array_equal(agreement(cut_window(photo, place), ()), found)
    assert METHODS["agreed"](photo, place, ())[20:].mean() < lower_half.mean() - 0.05


def test_a_method_of_ones_own_is_a_function_in_the_dict(monkeypatch: pytest.MonkeyPatch) -> None:
    def left_half(photo, place, others):
        x0, y0, x1, y1 = place
        found = np.ones((y1 - y0, x1 - x0), dtype=np.float32)
        found[:, (x1 - x0) // 2 :] = 0
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
