"""Overlaps that are found in runs are those of the pixels."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotools.checks.coco_file import CocoObject
from annotools.checks.coco_overlaps import SAME_OBJECT, Mask, check_overlap
from annotools.formats.coco_masks import ColumnRuns, pixels_of, tight_boxes

HEIGHT, WIDTH = 7, 9

boxes = st.tuples(
    st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, 5), st.integers(1, 5)
)


def make_mask(number: int, pixels: NDArray[np.bool_], category: int) -> Mask:
    flat = np.concatenate([[0], pixels.T.ravel().astype(np.int8), [0]])
    starts, ends = (np.flatnonzero(np.diff(flat) == step) for step in (1, -1))
    runs = ColumnRuns(starts=starts, lengths=ends - starts)
    entry = {"category_id": category}
    described = CocoObject(place=f"n{number}", image_id=1, entry=entry, has_mask=True)
    return Mask(described=described, runs=runs, box_xyxy=tight_boxes([runs], HEIGHT)[0])


def expected(masks: Sequence[Mask]) -> list[str]:
    """Return the messages that looking at all pixels of all pairs gives."""
    counts = np.zeros(HEIGHT * WIDTH, dtype=int)
    pixels = [set(pixels_of(mask.runs).tolist()) for mask in masks]
    for found in pixels:
        counts[list(found)] += 1
    twice = int((counts > 1).sum())
    lines = [f"claim {twice} pixels"] if twice else []
    for n, mask in enumerate(masks):
        for i in range(n):
            share = len(pixels[i] & pixels[n]) / len(pixels[i] | pixels[n])
            if mask.described.entry == masks[i].described.entry and share > SAME_OBJECT:
                lines.append(f"n{n}: nearly that of n{i}, union {share:.2f}")
                break
    return lines


@given(st.lists(st.tuples(boxes, boxes, st.integers(1, 2)), max_size=6))
def test_problems_are_those_of_the_pixels(
    listed: list[tuple[tuple[int, int, int, int], tuple[int, int, int, int], int]],
) -> None:
    masks = []
    for number, (*parts, category) in enumerate(listed):
        pixels = np.zeros((HEIGHT, WIDTH), dtype=bool)
        for x, y, width, height in parts:
            pixels[y : y + height, x : x + width] = True
        masks.append(make_mask(number, pixels, category))

    found = list(check_overlap("image", masks))
    wanted = expected(masks)
    assert len(found) == len(wanted)
    for problem, line in zip(found, wanted, strict=True):
        place, _, message = line.rpartition(": ")
        if not place:
            assert problem.place == "image"
            assert message in problem.message
        else:
            first, share = message.removeprefix("nearly that of ").split(", union ")
            assert problem.place == place
            assert f"nearly that of {first}," in problem.message
            assert f"union {share})" in problem.message
