import numpy as np
import pytest

from annotools.errors import RecipeError
from annotools.records import Box
from tests.builders import make_categories
from wsps.pseudo_labels import methods
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


def test_grabcut_alone_brings_no_pixel_above_one_half() -> None:
    photo = np.zeros((60, 60, 3), dtype=np.uint8)
    photo[:, ::2] = 255
    place = (20, 20, 30, 30)
    assert not METHODS["grouping"](photo, place, ()).any()
    assert METHODS["grabcut"](photo, place, ()).max() == 1
    assert agreement(cut_window(photo, place), ()).max() <= 0.5


def test_grabcut_from_the_box_counts_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = np.full((40, 40, 3), 90, dtype=np.uint8)
    photo[12:28, 10:30] = (200, 20, 20)
    window = cut_window(photo, (10, 12, 30, 28))
    inside = window.inside(window.box_xyxy)
    found = agreement(window, ())
    monkeypatch.setattr(methods, "grabcut_mask", lambda window, others: ~inside & inside)
    np.testing.assert_allclose(agreement(window, ())[inside], found[inside] - 0.25, atol=1e-6)


def test_other_boxes_reach_grabcut() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    window = cut_window(photo, (10, 10, 50, 50))
    assert (agreement(window, [(10, 10, 30, 50)]) != agreement(window, ())).any()


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
    with pytest.raises(RecipeError, match=r"unknown boxes\.method 'right': use agreed, grabcut"):
        masks_from_boxes(photo, boxes, method="right")


def test_method_sees_the_boxes_of_the_other_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def remember(photo, place, others):
        asked.append((place, list(others)))
        return np.ones((place[3] - place[1], place[2] - place[0]), dtype=np.float32)

    monkeypatch.setitem(METHODS, "remember", remember)
    places = [(0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10)]
    boxes = [Box(category_id=30, box_xyxy=place) for place in places]
    masks_from_boxes(np.zeros((20, 60, 3), dtype=np.uint8), boxes, method="remember")
    assert asked == [(p, [other for other in places if other != p]) for p in places]


@pytest.mark.parametrize(
    "scores",
    [np.ones((20, 60)), np.full((10, 12), 255.0), np.full((10, 12), np.nan), np.full((10, 12), -1)],
)
def test_method_that_breaks_the_contract_is_named(
    monkeypatch: pytest.MonkeyPatch, scores: np.ndarray
) -> None:
    monkeypatch.setitem(METHODS, "wrong", lambda photo, place, others: scores)
    boxes = [Box(category_id=30, box_xyxy=(4, 4, 16, 14))]
    with pytest.raises(RecipeError, match=r"'wrong' gave .*return \(10, 12\) in \[0, 1\]"):
        masks_from_boxes(np.zeros((20, 60, 3), dtype=np.uint8), boxes, method="wrong")
