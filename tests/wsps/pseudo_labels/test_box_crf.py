import numpy as np

from wsps.pseudo_labels.methods import sharpen_box

PLACE = (20, 20, 50, 45)


def test_pixels_follow_those_of_their_colour() -> None:
    photo = np.full((70, 70, 3), 90, dtype=np.uint8)
    photo[20:45, 20:40] = (200, 20, 20)
    scores = np.zeros((25, 30), dtype=np.float32)
    scores[:, :20] = 0.9
    scores[5:10, 5:10] = 0.4
    scores[5:10, 24:28] = 0.6
    sharpened = sharpen_box(photo, PLACE, scores)
    assert sharpened.shape == scores.shape
    assert sharpened.dtype == np.float32
    # The hole closes and the speck goes; a score is half of the result.
    np.testing.assert_allclose(sharpened[5:10, 5:10], 0.7, atol=0.01)
    np.testing.assert_allclose(sharpened[5:10, 24:28], 0.3, atol=0.01)
    np.testing.assert_allclose(sharpened[15:, :18], 0.95, atol=0.01)


def test_nothing_found_stays_nothing() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (70, 70, 3)).astype(np.uint8)
    assert sharpen_box(photo, PLACE, np.zeros((25, 30), dtype=np.float32)).max() < 0.1


def test_box_as_large_as_the_photo() -> None:
    photo = np.full((30, 40, 3), 90, dtype=np.uint8)
    sharpened = sharpen_box(photo, (0, 0, 40, 30), np.ones((30, 40), dtype=np.float32))
    assert sharpened.min() > 0.9
