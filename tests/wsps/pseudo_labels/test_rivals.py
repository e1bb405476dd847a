import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from wsps.pseudo_labels.boxes import MIN_SCORE, subtract_rivals


def row(*scores: float) -> NDArray[np.float32]:
    return np.array([scores], dtype=np.float32)


def test_smaller_rival_counts_in_full_and_a_larger_one_less() -> None:
    large, small = subtract_rivals(
        [(0, 0, 4, 1), (3, 0, 5, 1)], [row(1.0, 1.0, 1.0, 1.0), row(0.75, 0.75)]
    )
    assert large.tolist() == [[1.0, 1.0, 1.0, 0.25]]
    np.testing.assert_allclose(small, [[0.15, 0.75]], rtol=1e-6)


def test_boxes_of_one_size_lose_a_part_of_each_others_claim() -> None:
    left, right = subtract_rivals([(0, 0, 2, 1), (1, 0, 3, 1)], [row(1.0, 1.0), row(0.25, 1.0)])
    np.testing.assert_allclose(left, [[1.0, 0.85]], rtol=1e-6)
    np.testing.assert_allclose(right, [[-0.35, 1.0]], rtol=1e-6)


def test_strongest_rival_alone_counts() -> None:
    scores = [row(1.0, 1.0, 1.0), row(0.25), row(0.5)]
    certain = subtract_rivals([(0, 0, 3, 1), (1, 0, 2, 1), (1, 0, 2, 1)], scores)
    assert certain[0].tolist() == [[1.0, 0.5, 1.0]]


def test_boxes_that_touch_are_no_rivals() -> None:
    scores = [row(1.0, 0.5), row(0.75), row(1.0, 1.0)]
    certain = subtract_rivals([(0, 0, 2, 1), (2, 0, 3, 1), (0, 1, 2, 2)], scores)
    assert [c.tolist() for c in certain] == [s.tolist() for s in scores]


def test_no_box_gives_nothing() -> None:
    assert subtract_rivals([], []) == []


@given(
    first=st.floats(0, 1, width=32),
    second=st.floats(0, 1, width=32),
    is_smaller=st.booleans(),
)
def test_no_pixel_is_certain_for_two(first: float, second: float, is_smaller: bool) -> None:
    places = [(0, 0, 2, 1), (0, 0, 1, 1) if is_smaller else (0, 0, 2, 1)]
    scores = [
        np.full((y1 - y0, x1 - x0), s, np.float32)
        for (x0, y0, x1, y1), s in zip(places, (first, second), strict=True)
    ]
    one, other = subtract_rivals(places, scores)
    assert min(one[0, 0], other[0, 0]) < MIN_SCORE
