"""Filter values at points with a Gaussian of the points' distances, in time linear in the points.

The points are embedded in a hyperplane that the permutohedral lattice divides into simplices.
Values are splatted onto the corners of each point's simplex, blurred along the axes of the
lattice, and sliced: read off at the points again. Each of these steps sums rows of a matrix with
given weights, so that a filter is a chain of sparse matrices. The gradient goes through the values
and not through the points.

Source: Adams, Baek, Davis, Fast High-Dimensional Filtering Using the Permutohedral Lattice,
Eurographics 2010. Normalisation: Kraehenbuehl, Koltun, Parameter Learning and Convergent Inference
for Dense Random Fields, ICML 2013.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

NORMALISATIONS = ("symmetric", "after")
"""With K the kernel and D the diagonal of its row sums: D^-1/2 K D^-1/2, or D^-1 K."""

PART_BYTES = {"cpu": 2**25, "cuda": 2**28}
"""Channels are filtered in parts whose rows on the lattice take no more than this.

It bounds the memory: a lattice has up to d + 1 times the rows of an image. On a CPU larger arrays
are slower, because the C library takes them anew from the system for each sum."""

_TOO_NARROW = "the Gaussian is too narrow for the range of the features: widen it"

_LARGEST_NUMBER = 2**62

_LARGEST_FEATURE = 1e5
"""Beyond it single precision does not tell the corners of a simplex apart."""


@dataclass(frozen=True, kw_only=True)
class WeightedSums:
    """A sparse matrix of R rows: which rows of another one each row sums, and with what weights.

    Row i has the entries from `starts[i]` to `starts[i + 1]` of `indices` (E,) and `weights` (E,);
    `starts` is (R + 1,). A row without an entry is zero.
    """

    indices: Tensor
    starts: Tensor
    weights: Tensor

    @property
    def num_rows(self) -> int:
        """R."""
        return len(self.starts) - 1

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the (R, C) sums of (S, C) rows."""
        return functional.embedding_bag(
            self.indices,
            rows,
            self.starts,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )


@dataclass(frozen=True, kw_only=True)
class Lattice:
    """A Gaussian kernel over P points, which do not see those of other images.

    `splat`, one of `blurs` for each axis, and `cut`, which slices, are one after the other the
    kernel without normalisation; `before` (P,) is what values are scaled with before them, and
    `after` (P,) afterwards.
    """

    splat: WeightedSums
    blurs: tuple[WeightedSums, ...]
    cut: WeightedSums
    before: Tensor
    after: Tensor

    @cached_property
    def chain(self) -> tuple[WeightedSums, ...]:
        """The normalised kernel."""
        cut = _scale_rows(self.cut, self.after)
        return (_scale_columns(self.splat, self.before), *self.blurs, cut)

    @cached_property
    def adjoint(self) -> tuple[WeightedSums, ...]:
        """Its transpose: every blur is its own, and slicing is that of splatting."""
        blurs = tuple(reversed(self.blurs))
        if self.before is self.after:
            return (self.chain[0], *blurs, self.chain[-1])
        cut = _scale_rows(self.cut, self.before)
        return (_scale_columns(self.splat, self.after), *blurs, cut)

    def filter(self, values: Tensor) -> Tensor:
        """Return the filtered values of all points: (P, C) for (P, C), with a gradient."""
        filtered: Tensor = _Filter.apply(values, self)
        return filtered


def build_lattice(features: Tensor, normalisation: str = "symmetric") -> Lattice:
    """Return the normalised kernel exp(-|f_i - f_j|^2 / 2) over the points of each image.

    A point is its own neighbour. The weights have the type of the features.

    Args:
        features: (B, N, d) finite features f of N points in each of B images, in standard
            deviations of the Gaussian.
        normalisation: one of `NORMALISATIONS`.

    Raises:
        ValueError: where the features span so many standard deviations that single precision
            cannot place them on the lattice, or 62 bits not number its points.
    """
    images, points, dimensions = features.shape
    if not features.abs().max() <= _LARGEST_FEATURE:
        raise ValueError(_TOO_NARROW)
    with torch.no_grad():
        corner, rank, nearness = _find_simplices(features.flatten(0, 1).t().contiguous())
        numbers, digits, remainder_digit = _number_corners(corner, rank, images)
        splat, cut, found = _splat_and_slice(numbers, nearness)
        # The next point on an axis is one up in all coordinates and d + 1 down in that of the axis:
        # the next remainder, or after the last one remainder 0 with all coordinates one up.
        is_last = found >= dimensions * remainder_digit
        up = torch.where(is_last, sum(digits) - dimensions * remainder_digit, remainder_digit)
        blurs = tuple(_blur(found, up - down, features.dtype) for down in digits)
        ones = features.new_ones(images * points, 1)
        row_sums = _apply(ones, (splat, *blurs, cut))[:, 0]
        if normalisation == "symmetric":
            before = after = row_sums.rsqrt()
        else:
            before, after = torch.ones_like(row_sums), row_sums.reciprocal()
        return Lattice(splat=splat, blurs=blurs, cut=cut, before=before, after=after)


class _Filter(torch.autograd.Function):
    """A filter is linear: its gradient is filtered with the transposed kernel."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: Lattice) -> Tensor:
        ctx.lattice = lattice
        return _apply(values, lattice.chain)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _apply(gradients[0], ctx.lattice.adjoint), None


def _apply(values: Tensor, chain: tuple[WeightedSums, ...]) -> Tensor:
    channel_bytes = chain[1].num_rows * values.element_size()
    most = max(1, PART_BYTES[values.device.type] // channel_bytes)
    # Parts alike in size: a narrow last one would cost as much as a whole one.
    count = -(-values.shape[1] // most)
    parts = []
    for part in values.tensor_split(count, dim=1):
        rows = part.contiguous()
        for sums in chain:
            rows = sums(rows)
        parts.append(rows)
    return parts[0] if count == 1 else torch.cat(parts, dim=1)


def _find_simplices(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where in the lattice the (d, P) points are: three arrays of (d + 1, P).

    `corner`: the lattice point of remainder 0 next to each point, divided by d + 1, so that it has
    whole numbers; `rank`: the place of each coordinate when the differences to that corner are
    sorted, largest first; `nearness`: the barycentric weight of the corner of each remainder.

    Source: Adams et al. 2010, sec. 3.1 and 3.2.
    """
    dimensions, points = features.shape
    sides = dimensions + 1
    elevated = features.new_empty(sides, points)
    rest = features.new_zeros(points)
    for axis in range(dimensions, 0, -1):
        # A blur along all axes has the variance (2 / 3) (d + 1)^2 in the elevated space.
        scale = math.sqrt(2 / 3) * sides / math.sqrt(axis * (axis + 1))
        coordinate = features[axis - 1] * scale
        elevated[axis] = rest - axis * coordinate
        rest = rest + coordinate
    elevated[0] = rest
    elevated /= sides
    corner = elevated.round()
    difference = elevated - corner
    rank = torch.zeros(sides, points, dtype=torch.int64, device=features.device)
    for one in range(sides):
        for other in range(one + 1, sides):
            is_less = difference[one] < difference[other]
            rank[one] += is_less
            rank[other] += ~is_less
    # Rounding leaves the hyperplane by a few whole steps: the extreme coordinates take them back.
    rank += corner.sum(dim=0).to(torch.int64)
    step = (rank < 0).to(torch.int64) - (rank >= sides).to(torch.int64)
    rank += sides * step
    corner += step
    by_rank = torch.empty_like(elevated).scatter_(0, rank, elevated - corner)
    nearness = torch.empty_like(elevated)
    nearness[0] = 1 + by_rank[-1] - by_rank[0]
    nearness[1:] = (by_rank[:-1] - by_rank[1:]).flip(0)
    return corner.to(torch.int64), rank, nearness


def _number_corners(corner: Tensor, rank: Tensor, images: int) -> tuple[Tensor, list[int], int]:
    """Return a number for each corner of each point's simplex, and what its digits count.

    The corners of a simplex have the remainders 0 to d, and corners of different remainders are
    never the same: row r of the numbers, (d + 1, P), has those of remainder r, all less than those
    of the next row. From the highest digit to the lowest a number has the remainder, the image,
    and the corner's coordinates but the first, which follows from the others.

    Coordinates count in steps of d + 1, of which the remainder is what is left. Returned are the
    numbers, what 1 in each of the d + 1 coordinates is in them, and what 1 in the remainder is.
    """
    sides, points = corner.shape
    # A corner lies up to 1 below the first one, a neighbour up to 1 below or above that.
    lowest = corner.amin(dim=1, keepdim=True) - 2
    spans = (corner.amax(dim=1, keepdim=True) - lowest + 2).flatten().tolist()
    digits = [0, 1]
    for span in (*spans[1:], images):
        digits.append(digits[-1] * span)
    *along, image_digit, remainder_digit = digits
    if remainder_digit * sides > _LARGEST_NUMBER:
        raise ValueError(_TOO_NARROW)
    device = corner.device
    weight = torch.tensor(along, device=device)[:, None]
    numbers = torch.empty(sides, points, dtype=torch.int64, device=device)
    torch.sum((corner - lowest) * weight, dim=0, out=numbers[0])
    numbers[0].view(images, -1).add_(image_digit * torch.arange(images, device=device)[:, None])
    by_rank = torch.empty_like(rank).scatter_(0, rank, weight.expand_as(rank))
    for remainder in range(1, sides):
        # From one remainder to the next, the coordinate of the next lower rank wraps around.
        torch.sub(numbers[remainder - 1], by_rank[sides - remainder], out=numbers[remainder])
    numbers += remainder_digit * torch.arange(sides, device=device)[:, None]
    return numbers, along, remainder_digit


def _splat_and_slice(
    numbers: Tensor, nearness: Tensor
) -> tuple[WeightedSums, WeightedSums, Tensor]:
    """Return both steps between points and lattice, and the numbers of the lattice's points.

    These (M,) are the different ones of the corners, sorted; a row of the lattice is a place
    among them.
    """
    sides, points = numbers.shape
    device = numbers.device
    # The rows apart: they share no number, and short sorts are faster. Stable, because the order
    # of equal numbers decides the last bit of their sum.
    ordered, order = torch.sort(numbers, dim=1, stable=True)
    is_new = torch.ones(sides, points, dtype=torch.bool, device=device)
    torch.ne(ordered[:, 1:], ordered[:, :-1], out=is_new[:, 1:])
    first = torch.nonzero(is_new.flatten())[:, 0]
    row = torch.cumsum(is_new.flatten(), 0, dtype=torch.int32).sub_(1).view(sides, points)
    splat = WeightedSums(
        indices=order.flatten().int(),
        starts=functional.pad(first, (0, 1), value=sides * points).int(),
        weights=nearness.gather(1, order).flatten(),
    )
    cut = WeightedSums(
        indices=torch.empty_like(row).scatter_(1, order, row).t().flatten(),
        starts=torch.arange(0, sides * points + 1, sides, dtype=torch.int32, device=device),
        weights=nearness.t().flatten(),
    )
    return splat, cut, ordered.flatten()[first]


def _blur(found: Tensor, step: Tensor, dtype: torch.dtype) -> WeightedSums:
    """Return the blur along an axis: a point itself and half of each neighbour that exists.

    Args:
        found: (M,) numbers of the lattice's points, sorted.
        step: (M,) what is to be added for the number of the next point on the axis.
        dtype: of the weights.
    """
    rows, device = len(found), found.device
    wanted = found + step
    place = torch.searchsorted(found, wanted).clamp_(max=rows - 1)
    one = torch.nonzero(found[place] == wanted)[:, 0]
    next_one = place[one]
    # A row has itself, then the one before it on the axis, then the one after it.
    ends = torch.ones(rows, dtype=torch.int64, device=device)
    ends[one] += 1
    ends[next_one] += 1
    ends.cumsum_(0)
    starts = functional.pad(ends, (1, 0))
    indices = torch.empty(rows + 2 * len(one), dtype=torch.int32, device=device)
    weights = torch.full((len(indices),), 0.5, dtype=dtype, device=device)
    indices[starts[:-1]] = torch.arange(rows, dtype=torch.int32, device=device)
    weights[starts[:-1]] = 1.0
    indices[starts[next_one] + 1] = one.int()
    indices[ends[one] - 1] = next_one.int()
    return WeightedSums(indices=indices, starts=starts.int(), weights=weights)


def _scale_columns(sums: WeightedSums, factors: Tensor) -> WeightedSums:
    return replace(sums, weights=sums.weights * factors[sums.indices])


def _scale_rows(sums: WeightedSums, factors: Tensor) -> WeightedSums:
    return replace(sums, weights=sums.weights * factors.repeat_interleave(sums.starts.diff()))
