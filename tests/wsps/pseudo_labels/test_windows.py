import numpy as np
import pytest

from wsps.pseudo_labels.windows import (
    MIN_WINDOW_SIDE,
    cut_window,
    ellipse_in,
    enlarge_to_box,
    shrink_to_window,
)


def test_context_is_a_fifth_of_the_box_and_stops_at_the_photo() -> None:
    photo = np.zeros((60, 90, 3), dtype=np.uint8)
    window = cut_window(photo, (20, 4, 60, 44))
    assert window.bounds_xyxy == (12, 0, 68, 52)
    assert window.pixels.shape == (52, 56, 3)


def test_small_box_has_three_pixels_of_context() -> None:
    window = cut_window(np.zeros((50, 50, 3), dtype=np.uint8), (20, 20, 30, 28))
    assert window.bounds_xyxy == (17, 17, 33, 31)


def test_context_can_be_another_share() -> None:
    window = cut_window(np.zeros((60, 90, 3), dtype=np.uint8), (20, 20, 40, 30), 0.5)
    assert window.bounds_xyxy == (10, 15, 50, 35)


def test_both_sides_shrink_alike() -> None:
    # 1400 x 1400 pixels with context: 9216 are 96 x 96.
    window = cut_window(np.zeros((2000, 2000, 3), dtype=np.uint8), (500, 500, 1500, 1500))
    assert window.pixels.shape == (96, 96, 3)
    # 1400 x 350: the scale is (9216 / 490000) ** 0.5 = 0.137.
    window = cut_window(np.zeros((2000, 2000, 3), dtype=np.uint8), (500, 500, 1500, 750))
    assert window.pixels.shape == (48, 192, 3)
    window = cut_window(
        np.zeros((90, 90, 3), dtype=np.uint8), (20, 20, 70, 70), 0.2, max_pixels=49 * 49
    )
    assert window.pixels.shape == (49, 49, 3)


def test_long_thin_box_keeps_a_few_rows() -> None:
    window = cut_window(np.zeros((40, 9000, 3), dtype=np.uint8), (0, 10, 9000, 20))
    assert window.pixels.shape[0] == MIN_WINDOW_SIDE
    assert window.inside((0, 10, 9000, 20)).any()


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


def test_unshrunk_window_takes_scores_as_they_are() -> None:
    window = cut_window(np.zeros((40, 40, 3), dtype=np.uint8), (10, 10, 12, 11))
    shrunk = shrink_to_window(np.array([[0.25, 1.0]], dtype=np.float32), window)
    expected = np.zeros((7, 8), dtype=np.float32)
    expected[3, 3:5] = 0.25, 1
    np.testing.assert_array_equal(shrunk, expected)


def test_scores_shrink_to_the_box_in_the_window() -> None:
    box = (37, 11, 290, 160)
    window = cut_window(np.zeros((200, 300, 3), dtype=np.uint8), box)
    shrunk = shrink_to_window(np.ones((149, 253), dtype=np.float32), window)
    assert shrunk.shape == window.pixels.shape[:2]
    assert ((shrunk > 0.5) == window.inside(box)).mean() > 0.97


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
