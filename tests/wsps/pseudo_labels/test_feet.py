import numpy as np
from numpy.typing import NDArray

from wsps.pseudo_labels.methods import doubt_feet


def ones(height: int) -> NDArray[np.float32]:
    return np.ones((height, 2), dtype=np.float32)


def test_lowest_tenth_counts_less() -> None:
    doubted = doubt_feet(ones(20), (3, 10, 5, 30), photo_height=40)
    assert doubted.dtype == np.float32
    assert (doubted[:18] == 1).all()
    np.testing.assert_allclose(doubted[18:], 0.7)


def test_box_at_the_lower_edge_of_the_photo_has_its_feet_elsewhere() -> None:
    assert (doubt_feet(ones(20), (3, 20, 5, 40), photo_height=40) == 1).all()


def test_low_box_may_have_no_row_of_feet() -> None:
    assert (doubt_feet(ones(4), (3, 10, 5, 14), photo_height=40) == 1).all()
