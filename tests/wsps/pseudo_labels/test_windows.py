import numpy as np
import pytest

from wsps.pseudo_labels.windows import MAX_WINDOW_SIDE, cut_window, ellipse_in, enlarge_to_box


def test_context_is_a_fifth_of_the_box_and_stops_at_the_photo() -> None:
    photo = np.zeros((60, 90, 3), dtype=np.uint8)
    window = cut_window(photo, (20, 4, 60, 44))
    assert window.bounds_xyxy == (12, 0, 68, 52)
    assert window.pixels.shape == (52, 56, 3)


def test_small_box_has_three_pixels_of_context() -> None:
    window = cut_window(np.zeros((50, 50, 3), dtype=np.uint8), (20, 20, 30, 28))
    assert window.bounds_xyxy == (17, 17, 33, 31)


def test_long_thin_box_keeps_its_width() -> None:
    window = cut_window(np.zeros((1000, 100, 3), dtype=np.uint8), (40, 100, 50, 900))
    assert window.pixels.shape == (MAX_WINDOW_SIDE, 16, 3)


@pytest.mark.parametrize("box", [(10, 10, 30, 25), (0, 0, 300, 200), (37, 11, 290, 160)])
def test_box_in_the_window_enlarges_to_the_whole_box(box: tuple[int, int, int, int]) -> None:
    window = cut_window(np.zeros((200, 300, 3), dtype=np.uint8), box)
    scores = enlarge_to_box(window.inside(box).astype(np.float32), window)
    assert scores.shape == (box[3] - box[1], box[2] - box[0])
    assert scores.mean() > 0.97
    assert scores.max() <= 1


def test_unshrunk_window_gives_the_box_exactly() -> None:
    window = cut_window(np.zeros((40, 40, 3), dtype=np.uint8), (10, 10, 20, 22))
    scores = np.zeros((18, 16), dtype=np.float32)
    scores[3, 3], scores[0, 0] = 0.25, 1
    enlarged = enlarge_to_box(scores, window)
    assert enlarged.shape == (12, 10)
    assert np.argwhere(enlarged).tolist() == [[0, 0]]
    assert enlarged[0, 0] == 0.25


def test_box_outside_the_window_covers_nothing() -> None:
    window = cut_window(np.zeros((90, 90, 3), dtype=np.uint8), (10, 10, 20, 20))
    assert not window.inside((60, 60, 80, 80)).any()


def test_ellipse_in_a_box_of_four_by_four_lacks_the_corners() -> None:
    inside = np.zeros((6, 5), dtype=bool)
    inside[1:5, 1:5] = True
    expected = np.zeros((6, 5), dtype=bool)
    expected[2:4, 1:5] = expected[1:5, 2:4] = True
    np.testing.assert_array_equal(ellipse_in(inside, 1.0), expected)
    assert ellipse_in(inside, 0.5).sum() == 4
