import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsps.pseudo_labels.grabcut import grabcut_from_votes, grabcut_mask
from wsps.pseudo_labels.windows import cut_window

RED, GREEN, BLUE = (200, 30, 30), (40, 160, 40), (30, 40, 200)


def paint(
    height: int, width: int, *discs: tuple[int, int, int, tuple[int, int, int]]
) -> NDArray[np.uint8]:
    """A noisy green photo with discs (x, y, radius, colour)."""
    photo = np.full((height, width, 3), GREEN, dtype=np.int64)
    for x, y, radius, colour in discs:
        photo[disc_mask(height, width, x, y, radius)] = colour
    noise = np.random.default_rng(0).integers(-8, 9, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


def disc_mask(height: int, width: int, x: int, y: int, radius: int) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:height, :width]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def test_disc_is_found_to_the_pixel() -> None:
    window = cut_window(paint(60, 60, (30, 30, 15, RED)), (15, 15, 46, 46))
    left, top, right, bottom = window.bounds_xyxy
    truth = disc_mask(60, 60, 30, 30, 15)[top:bottom, left:right]
    assert (grabcut_mask(window) == truth).mean() > 0.99


def test_votes_for_a_part_of_a_disc_grow_to_the_disc() -> None:
    window = cut_window(paint(60, 60, (30, 30, 15, RED)), (15, 15, 46, 46))
    left, top, right, bottom = window.bounds_xyxy
    truth = disc_mask(60, 60, 30, 30, 15)[top:bottom, left:right]
    votes = np.where(window.inside(window.box_xyxy), 0.4, 0).astype(np.float32)
    votes[disc_mask(60, 60, 30, 30, 8)[top:bottom, left:right]] = 0.9
    assert (grabcut_from_votes(window, votes) == truth).mean() > 0.99


def test_pixels_with_hardly_a_vote_stay_background_and_sure_ones_object() -> None:
    window = cut_window(paint(60, 60, (30, 30, 15, RED)), (15, 15, 46, 46))
    votes = np.where(window.inside(window.box_xyxy), 0.4, 0).astype(np.float32)
    votes[10:20, 10:20], votes[20:30, 20:30] = 0.9, 0.1
    mask = grabcut_from_votes(window, votes)
    assert mask[10:20, 10:20].all()
    assert not mask[20:30, 20:30].any()


@pytest.mark.parametrize("vote", [0.0, 0.3, 1.0])
def test_unanimous_votes_are_returned_as_they_are(vote: float) -> None:
    window = cut_window(paint(40, 40), (0, 0, 40, 40))
    votes = np.full((40, 40), vote, dtype=np.float32)
    np.testing.assert_array_equal(grabcut_from_votes(window, votes), votes >= 0.5)


def test_same_mask_whatever_ran_before() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    window = cut_window(photo, (8, 8, 34, 30))
    first = grabcut_mask(window)
    cv2.setRNGSeed(99)
    grabcut_mask(cut_window(photo, (2, 2, 20, 38)))
    np.testing.assert_array_equal(grabcut_mask(window), first)


def test_smaller_box_in_front_is_cut_out_and_a_larger_one_is_not() -> None:
    window = cut_window(paint(80, 80, (40, 40, 25, RED), (40, 40, 8, BLUE)), (15, 15, 66, 66))
    centre = (40 - window.bounds_xyxy[1], 40 - window.bounds_xyxy[0])
    alone = grabcut_mask(window)
    assert alone[centre]
    assert not grabcut_mask(window, [(32, 32, 49, 49)])[centre]
    np.testing.assert_array_equal(grabcut_mask(window, [(0, 0, 80, 80)]), alone)


def test_box_hidden_by_smaller_ones_still_has_a_core() -> None:
    window = cut_window(paint(60, 60, (30, 30, 15, RED)), (15, 15, 46, 46))
    halves = [(15, 15, 30, 46), (30, 15, 46, 46)]
    np.testing.assert_array_equal(grabcut_mask(window, halves), grabcut_mask(window))


def test_box_of_the_whole_photo_takes_its_background_from_the_corners() -> None:
    mask = grabcut_mask(cut_window(paint(41, 41, (20, 20, 20, RED)), (0, 0, 41, 41)))
    assert mask[20, 20]
    assert not mask[[0, 0, -1, -1], [0, -1, 0, -1]].any()


@given(
    x0=st.integers(0, 100),
    y0=st.integers(0, 60),
    width=st.integers(8, 60),
    height=st.integers(8, 60),
    is_flat=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_mask_is_in_the_box_and_holds_its_centre(
    x0: int, y0: int, width: int, height: int, is_flat: bool
) -> None:
    photo = np.full((120, 160, 3), 128, dtype=np.uint8) if is_flat else paint(120, 160)
    box = (x0, y0, x0 + width, y0 + height)
    window = cut_window(photo, box)
    mask = grabcut_mask(window)
    assert not (mask & ~window.inside(box)).any()
    rows, columns = np.nonzero(window.inside(box))
    assert mask[(rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2]
