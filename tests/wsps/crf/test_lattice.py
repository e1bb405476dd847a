import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from wsps.crf import lattice
from wsps.crf.lattice import NORMALISATIONS, Lattice, build_lattice

STEP = math.sqrt(3) / 2
"""Distance of neighbouring lattice points on a line, in standard deviations: both blurs together
have the variance 1, and each moves half the weight by one step to each side of twice the rest."""


def on_a_line(*places: float, normalisation: str = "after") -> Lattice:
    return build_lattice(torch.tensor(places)[None, :, None], normalisation)


def matrix(kernel: Lattice, points: int) -> Tensor:
    """The kernel as a (P, P) matrix."""
    return kernel.filter(torch.eye(points))


def exact(features: Tensor, normalisation: str) -> Tensor:
    """All pairs of points of one image: (N, N) for (N, d)."""
    kernel = torch.exp(-torch.cdist(features, features).square() / 2)
    sums = kernel.sum(dim=1, keepdim=True)
    return kernel / (sums * sums.t()).sqrt() if normalisation == "symmetric" else kernel / sums


def assert_close(found: Tensor, expected: list[list[float]]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=0)


def test_three_neighbours_on_a_line_by_hand():
    # A blur is [[1, 1/2, 0], [1/2, 1, 1/2], [0, 1/2, 1]]; there are two, the one way and the other:
    # [[5/4, 1, 1/4], [1, 3/2, 1], [1/4, 1, 5/4]], whose rows sum to 5/2, 7/2 and 5/2.
    found = matrix(on_a_line(0.0, STEP, 2 * STEP), 3)
    assert_close(found, [[1 / 2, 2 / 5, 1 / 10], [2 / 7, 3 / 7, 2 / 7], [1 / 10, 2 / 5, 1 / 2]])
    found = matrix(on_a_line(0.0, STEP, 2 * STEP, normalisation="symmetric"), 3)
    across = 1 / math.sqrt(5 / 2 * 7 / 2)
    assert_close(found, [[1 / 2, across, 1 / 10], [across, 3 / 7, across], [1 / 10, across, 1 / 2]])


def test_the_numbers_of_points_are_no_places():
    found = matrix(on_a_line(2 * STEP, 0.0, STEP), 3)
    assert_close(found, [[1 / 2, 1 / 10, 2 / 5], [1 / 10, 1 / 2, 2 / 5], [2 / 7, 2 / 7, 3 / 7]])


def test_a_point_between_two_lattice_points_by_hand():
    # The second point gives a quarter of its value to the place of the first and three quarters to
    # the next one. Blurred twice: [[5/4, 1], [1, 5/4]].
    found = matrix(on_a_line(0.0, 0.75 * STEP), 2)
    near, far = 5 / 4, 1.0
    across = near / 4 + far * 3 / 4
    own = (near / 4 + far * 3 / 4) / 4 + (far / 4 + near * 3 / 4) * 3 / 4
    assert_close(
        found,
        [
            [near / (near + across), across / (near + across)],
            [across / (across + own), own / (across + own)],
        ],
    )


def test_points_too_far_apart_do_not_see_each_other():
    assert_close(matrix(on_a_line(0.0, 5 * STEP), 2), [[1.0, 0.0], [0.0, 1.0]])
    assert_close(matrix(on_a_line(7.0, 7.0), 2), [[0.5, 0.5], [0.5, 0.5]])


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("dimensions", [1, 2, 3, 5])
def test_beliefs_are_off_by_less_than_two_percent_on_average(dimensions: int, normalisation: str):
    generator = torch.Generator().manual_seed(dimensions)
    # A photo's features: places in rows and columns, and colours that change with them.
    side = 48
    y, x = torch.meshgrid(torch.arange(side) / 9.0, torch.arange(side) / 7.0, indexing="ij")
    colours = [torch.sin(x + k * y) for k in (0, 1, 2)]
    features = torch.stack([x, y, *colours], dim=-1).flatten(0, 1)[:, :dimensions]
    values = torch.rand(side * side, 2, generator=generator)
    found = build_lattice(features[None], normalisation).filter(values)
    expected = exact(features, normalisation) @ values
    error = (found - expected).abs().mean()
    assert error < 0.02
    assert error < 0.1 * (values - expected).abs().mean()


def test_every_direction_counts_alike():
    # 5 points at one distance from the origin, along axes and between them.
    places = torch.tensor([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5], [-1.5, 0.0], [1.06066, 1.06066]])
    grid = torch.cartesian_prod(torch.arange(-4, 4.01, 0.25), torch.arange(-4, 4.01, 0.25))
    features = torch.cat([places, grid])[None]
    values = torch.zeros(len(features[0]), 1)
    values[0] = 1.0
    found = build_lattice(features, "symmetric").filter(values)[1:5, 0]
    expected = exact(features[0], "symmetric")[1:5, 0]
    assert (found / expected - 1).abs().max() < 0.25


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_gradient_is_the_numerical_one(normalisation: str):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 7, 3, generator=generator, dtype=torch.float64) * 2
    kernel = build_lattice(features, normalisation)
    values = torch.rand(14, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(kernel.filter, (values,))


def test_the_adjoint_is_the_transpose():
    generator = torch.Generator().manual_seed(1)
    kernel = build_lattice(torch.rand(1, 40, 5, generator=generator) * 3, "after")
    forward = lattice._apply(torch.eye(40), kernel.chain)
    adjoint = lattice._apply(torch.eye(40), kernel.adjoint)
    torch.testing.assert_close(adjoint, forward.t())
    # The rows of one sum to 1, and so the columns of the other, whose rows do not.
    torch.testing.assert_close(forward.sum(dim=1), torch.ones(40))
    assert (adjoint.sum(dim=1) - 1).abs().max() > 0.05


def test_images_of_a_batch_do_not_see_each_other():
    generator = torch.Generator().manual_seed(2)
    features = torch.rand(3, 50, 4, generator=generator) * 4 - 2
    values = torch.rand(150, 3, generator=generator)
    together = build_lattice(features).filter(values).view(3, 50, 3)
    for image in range(3):
        alone = build_lattice(features[image : image + 1]).filter(values.view(3, 50, 3)[image])
        torch.testing.assert_close(together[image], alone)


def test_channels_filtered_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(3)
    kernel = build_lattice(torch.rand(1, 30, 2, generator=generator))
    values = torch.rand(30, 7, generator=generator)
    whole = kernel.filter(values)
    monkeypatch.setitem(lattice.PART_BYTES, "cpu", 1)
    torch.testing.assert_close(kernel.filter(values), whole)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    points=st.integers(1, 30),
    dimensions=st.integers(1, 6),
    # With 300 some draws of six dimensions are too far apart for the lattice, which refuses them.
    spread=st.sampled_from([0.0, 0.1, 3.0, 100.0]),
    offset=st.sampled_from([0.0, -1e3, 255.0]),
)
def test_a_constant_stays_and_nothing_is_created(
    seed: int, points: int, dimensions: int, spread: float, offset: float
):
    generator = torch.Generator().manual_seed(seed)
    features = offset + spread * torch.randn(1, points, dimensions, generator=generator)
    after = build_lattice(features.double(), "after")
    ones = torch.ones(points, 1, dtype=torch.float64)
    np.testing.assert_allclose(after.filter(ones), ones, atol=1e-9)
    symmetric = build_lattice(features.double(), "symmetric")
    assert (symmetric.filter(torch.eye(points, dtype=torch.float64)) >= 0).all()


@pytest.mark.parametrize("far", [1e6, 9e4, math.nan])
def test_a_gaussian_too_narrow_for_its_features_is_refused(far: float):
    with pytest.raises(ValueError, match="too narrow"):
        build_lattice(torch.tensor([[[0.0] * 5, [far] * 5]]))
