"""Run a network over a large picture in overlapping tiles, and blend what they give."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_CELL = 32
"""Tiles begin at multiples of it, where the feature maps of the whole picture have a cell too: no
backbone has a larger stride."""


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The part of an image's side that a tile covers: pixels `start` to `stop`, half-open.

    `weights` (stop - start,) say what the tile counts there; they fall off towards its ends, except
    where these are the image's, and those of all stretches sum to 1 at each pixel.
    """

    start: int
    stop: int
    weights: Tensor


def cut_side(length: int, side: int, overlap: float) -> list[Stretch]:
    """Return the stretches of at most `side` pixels that cover an image's side, in order.

    Args:
        length: of the image's side in pixels.
        side: of a tile in pixels, at least 128.
        overlap: least share of `side` that neighbours have in common, 0 to 0.5; at least 32 pixels,
            of which rounding to whole cells may take all but one.
    """
    if length <= side:
        return [Stretch(start=0, stop=length, weights=torch.ones(length))]
    last = -(-(length - side) // _CELL) * _CELL
    step = side - max(_CELL, round(side * overlap))
    count = -(-last // step) + 1
    starts = [last * number // (count - 1) // _CELL * _CELL for number in range(count)]
    stops = [*(start + side for start in starts[:-1]), length]
    weights = torch.zeros(count, length, dtype=torch.float64)
    for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        places = torch.arange(start, stop, dtype=torch.float64) + 0.5
        # An end of the image has nothing beyond it that a tile could lack.
        from_start = places - (start if number else -length)
        to_stop = (stop if number < count - 1 else 2 * length) - places
        weights[number, start:stop] = torch.minimum(from_start, to_stop)
    weights /= weights.sum(dim=0)
    return [
        Stretch(start=start, stop=stop, weights=weights[number, start:stop].float())
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]


def blend_tiles(
    network: Callable[[Tensor], Tensor], images: Tensor, side: int | None, overlap: float
) -> Tensor:
    """Return what a network gives of images, by tiles where they are larger than one.

    What bounds memory is one tile in the network and one map of the whole images beside it.

    Args:
        network: (B, 3, h, w) to (B, K, h, w).
        images: (B, 3, H, W).
        side: longer side of a tile in pixels, None for whole images.
        overlap: least share of a tile's side that the next one has too.
    """
    height, width = images.shape[-2:]
    if side is None or max(height, width) <= side:
        return network(images)
    blended: Tensor | None = None
    for row in cut_side(height, side, overlap):
        for column in cut_side(width, side, overlap):
            place = (..., slice(row.start, row.stop), slice(column.start, column.stop))
            found = network(images[place])
            if blended is None:
                blended = found.new_zeros(*found.shape[:2], height, width)
            weights = row.weights[:, None] * column.weights
            blended[place] += weights.to(found) * found
    assert blended is not None
    return blended
