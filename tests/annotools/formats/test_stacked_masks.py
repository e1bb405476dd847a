"""Masks laid over each other give the map that painting pixel by pixel gives."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotools.formats import stacked_masks
from annotools.formats.coco_masks import ColumnRuns
from annotools.formats.stacked_masks import stack_masks
from annotools.label_maps import find_runs, ids_in_box, measure_runs
from annotools.records import draw_runs

HEIGHT, WIDTH = 5, 4

masks = st.lists(
    st.lists(st.booleans(), min_size=HEIGHT * WIDTH, max_size=HEIGHT * WIDTH).map(
        lambda pixels: np.array(pixels).reshape(HEIGHT, WIDTH)
    ),
    max_size=5,
)


def runs_of(mask: NDArray[np.bool_]) -> ColumnRuns:
    flat = np.concatenate([[0], mask.T.ravel().astype(np.int8), [0]])
    starts, ends = (np.flatnonzero(np.diff(flat) == step) for step in (1, -1))
    return ColumnRuns(starts=starts, lengths=ends - starts)


@given(masks, st.sampled_from([0, 9]))
def test_the_last_mask_is_on_top(stack: list[NDArray[np.bool_]], background: int) -> None:
    expected = np.full((HEIGHT, WIDTH), background)
    for number, mask in enumerate(stack, start=1):
        expected[mask] = number
    size_wh = (WIDTH, HEIGHT)
    runs = [runs_of(mask) for mask in stack]
    ids = list(range(1, len(stack) + 1))
    for found in (
        stack_masks(runs, ids, background, size_wh),
        stacked_masks._paint(runs, ids, background, size_wh),
    ):
        drawn = draw_runs(found)
        assert drawn.dtype == np.int32
        np.testing.assert_array_equal(drawn, expected)
        # What is asked of the runs is the same, whichever way they go.
        across = find_runs(expected.astype(np.int32))
        assert measure_runs(found) == measure_runs(across)
        for box in ((0, 0, WIDTH, HEIGHT), (1, 2, 3, 4), (3, 0, 4, 1)):
            assert ids_in_box(found, box) == ids_in_box(across, box)


def test_masks_with_more_stretches_than_pixels_are_painted() -> None:
    # Every second pixel begins a stretch, and each of the masks below has them all.
    comb = np.arange(HEIGHT * WIDTH).reshape(WIDTH, HEIGHT).T % 2 == 1
    full = np.ones((HEIGHT, WIDTH), dtype=bool)
    stack = [full] * 9 + [comb]
    drawn = draw_runs(stack_masks(list(map(runs_of, stack)), range(1, 11), 0, (WIDTH, HEIGHT)))
    np.testing.assert_array_equal(drawn, np.where(comb, 10, 9))


def test_no_stretch_leaves_its_column() -> None:
    full = runs_of(np.ones((HEIGHT, WIDTH), dtype=bool))
    found = stack_masks([full], [7], 0, (WIDTH, HEIGHT))
    assert found.starts.tolist() == [0, 5, 10, 15]
    assert found.lengths.tolist() == [5, 5, 5, 5]
    assert found.ids.tolist() == [7, 7, 7, 7]
    empty = stack_masks([], [], 3, (WIDTH, HEIGHT))
    assert draw_runs(empty).tolist() == [[3] * WIDTH] * HEIGHT
