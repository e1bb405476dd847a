import numpy as np
import pytest

from annotools.records import BoxXYXY
from wsps.pseudo_labels import grouping
from wsps.pseudo_labels.grouping import grouping_votes
from wsps.pseudo_labels.windows import cut_window


def test_rectangle_is_found_exactly() -> None:
    photo = np.full((40, 40, 3), 90, dtype=np.uint8)
    photo[12:28, 10:30] = (200, 20, 20)
    window = cut_window(photo, (10, 12, 30, 28))
    np.testing.assert_array_equal(grouping_votes(window) > 0.5, window.inside((10, 12, 30, 28)))


def test_cross_leaves_the_corners_of_its_box() -> None:
    photo = np.full((60, 60, 3), 90, dtype=np.uint8)
    photo[25:35, 10:50] = photo[10:50, 25:35] = (200, 20, 20)
    window = cut_window(photo, (10, 10, 50, 50))
    left, top, right, bottom = window.bounds_xyxy
    truth = (photo[..., 0] == 200)[top:bottom, left:right]
    # A gradient is wide, so the four pixels just beyond the inner corners join.
    beyond = np.zeros_like(truth)
    beyond[np.ix_([24 - top, 35 - top], [24 - left, 35 - left])] = True
    np.testing.assert_array_equal(grouping_votes(window) > 0.5, truth | beyond)


def test_object_of_two_colours_is_grouped() -> None:
    photo = np.full((40, 40, 3), 90, dtype=np.uint8)
    photo[10:20, 10:30] = (200, 20, 20)
    photo[20:30, 10:30] = (20, 20, 200)
    window = cut_window(photo, (10, 10, 30, 30))
    np.testing.assert_array_equal(grouping_votes(window) > 0.5, window.inside((10, 10, 30, 30)))


def test_region_that_runs_out_of_the_box_is_left_out() -> None:
    photo = np.full((40, 40, 3), 90, dtype=np.uint8)
    photo[10:30, 10:30] = (200, 20, 20)
    photo[26:30, :] = (20, 20, 200)
    window = cut_window(photo, (10, 10, 30, 30))
    np.testing.assert_array_equal(grouping_votes(window) > 0.5, window.inside((10, 10, 30, 26)))


@pytest.mark.parametrize("box", [(0, 0, 24, 24), (8, 8, 16, 16), (0, 4, 24, 12)])
def test_noise_stays_in_the_box(box: BoxXYXY) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    window = cut_window(photo, box)
    votes = grouping_votes(window)
    assert votes.shape == window.pixels.shape[:2]
    assert votes.dtype == np.float32
    assert 0 <= votes.min() <= votes.max() <= 1 + 1e-6
    assert not votes[~window.inside(box)].any()


def test_nothing_is_found_where_no_region_lies_in_the_box() -> None:
    photo = np.zeros((60, 60, 3), dtype=np.uint8)
    photo[:, ::2] = 255
    assert not grouping_votes(cut_window(photo, (20, 20, 30, 30))).any()


def test_a_proposal_that_fills_the_box_half_has_a_quarter_of_the_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two proposals: the whole box of 4 x 2, and its left half.
    whole = np.zeros((8, 10), dtype=np.int64)
    whole[3:5, 3:7] = 1
    half = np.zeros((8, 10), dtype=np.int64)
    half[3:5, 3:5] = 1
    monkeypatch.setattr(grouping, "_partitions", lambda pixels: iter([whole, half]))
    window = cut_window(np.zeros((8, 10, 3), dtype=np.uint8), (3, 3, 7, 5))
    votes = grouping_votes(window)
    assert window.pixels.shape == (8, 10, 3)
    np.testing.assert_allclose(votes[3], [0, 0, 0, 1, 1, 0.8, 0.8, 0, 0, 0], rtol=1e-6)
