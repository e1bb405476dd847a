from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from wsps.tiles import blend_tiles, cut_side

LENGTHS = st.integers(1, 1500)
SIDES = st.integers(128, 700)
OVERLAPS = st.floats(0, 0.5)


@settings(deadline=None)  # Torch takes its time to begin.
@given(LENGTHS, SIDES, OVERLAPS)
def test_stretches_cover_the_side_overlap_and_their_weights_sum_to_one(
    length: int, side: int, overlap: float
) -> None:
    stretches = cut_side(length, side, overlap)
    total = torch.zeros(length)
    for stretch in stretches:
        assert 1 <= stretch.stop - stretch.start <= side
        assert len(stretch.weights) == stretch.stop - stretch.start
        assert (stretch.weights >= 0).all()
        assert stretch.start % 32 == 0
        total[stretch.start : stretch.stop] += stretch.weights
    assert (stretches[0].start, stretches[-1].stop) == (0, length)
    for first, second in pairwise(stretches):
        assert first.start < second.start < first.stop < second.stop
        # Rounding to whole cells takes 31 pixels at most.
        assert first.stop - second.start >= max(32, round(side * overlap)) - 31
    torch.testing.assert_close(total, torch.ones(length))


def test_weights_of_two_tiles_by_hand():
    first, second = cut_side(192, 128, 0.5)
    assert (first.start, first.stop, second.start, second.stop) == (0, 128, 64, 192)
    # They share 64 pixels; in the first of these the first tile still has 63.5 until its end.
    shared = (torch.arange(64) + 0.5) / 64
    torch.testing.assert_close(first.weights, torch.cat([torch.ones(64), 1 - shared]))
    torch.testing.assert_close(second.weights, torch.cat([shared, torch.ones(64)]))


def tile_sizes(size_hw: tuple[int, int], side: int | None) -> list[tuple[int, int]]:
    seen = []

    def network(images: Tensor) -> Tensor:
        seen.append((images.shape[2], images.shape[3]))
        return images

    images = torch.rand(2, 3, *size_hw)
    torch.testing.assert_close(blend_tiles(network, images, side, 0.25), images)
    return seen


def test_only_what_is_larger_than_a_tile_is_cut():
    assert tile_sizes((200, 300), None) == [(200, 300)]
    assert tile_sizes((200, 300), 300) == [(200, 300)]
    assert tile_sizes((100, 300), 160) == [(100, 160), (100, 160), (100, 140)]
    assert all(max(size) <= 128 for size in tile_sizes((333, 257), 128))


def test_an_image_no_larger_than_a_tile_is_given_as_it_is():
    images = torch.rand(1, 3, 90, 128)
    given = []
    blend_tiles(lambda part: given.append(part) or part, images, 128, 0.25)
    assert len(given) == 1
    assert given[0] is images


@pytest.mark.parametrize("overlap", [0.25, 0.5])
def test_a_network_that_sees_little_gives_the_same_but_near_the_borders(overlap: float):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, kernel_size=5, stride=4, padding=2), nn.Upsample(scale_factor=4)
    ).requires_grad_(False)
    images = torch.rand(1, 3, 256, 384)
    whole = network(images)
    tiled = blend_tiles(network, images, 160, overlap)
    # Its zero padding reaches 2 pixels far, which is the first cell of 4 behind a tile's border.
    differs = (tiled - whole).abs().amax(dim=(0, 1)) > 1e-5
    cells = torch.zeros(256, 384, dtype=torch.bool)
    for stretch in cut_side(256, 160, overlap)[1:]:
        cells[stretch.start : stretch.start + 4] = True
    for stretch in cut_side(384, 160, overlap)[1:]:
        cells[:, stretch.start : stretch.start + 4] = True
    assert not (differs & ~cells).any()
    assert differs.any()
    # There a tile counts least.
    assert (tiled - whole).abs().max() < (whole.max() - whole.min()) / 20
