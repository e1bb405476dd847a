import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from annotools.errors import RecipeError
from wsps.crf.lattice import build_lattice
from wsps.crf.mean_field import build_kernels, infer_labels, place_features
from wsps.recipe import InstanceKernelSettings

STEP = math.sqrt(3) / 2
"""Distance at which two points share the kernel [[5/9, 4/9], [4/9, 5/9]]: see test_lattice."""

RIGHT_BESIDE = build_lattice(torch.tensor([[[0.0], [STEP]]]), "after")
IN_ONE_PLACE = build_lattice(torch.tensor([[[0.0], [0.0]]]), "after")  # 1/2 everywhere


def evidence(*pixels: list[float]) -> Tensor:
    """Logarithms of supports, pixel by pixel, of one image."""
    return torch.tensor([pixels]).log()


def test_one_iteration_by_hand():
    given = evidence([0.8, 0.2], [0.1, 0.9])
    log_q = infer_labels(given, [(RIGHT_BESIDE, torch.tensor(2.0))], 1)
    # The first pixel hears 5/9 of its own beliefs and 4/9 of the other's.
    first = (5 / 9 * 0.8 + 4 / 9 * 0.1, 5 / 9 * 0.2 + 4 / 9 * 0.9)
    second = (4 / 9 * 0.8 + 5 / 9 * 0.1, 4 / 9 * 0.2 + 5 / 9 * 0.9)
    odds = (
        0.8 / 0.2 * math.exp(2 * (first[0] - first[1])),
        0.1 / 0.9 * math.exp(2 * (second[0] - second[1])),
    )
    expected = [[odd / (1 + odd), 1 / (1 + odd)] for odd in odds]
    torch.testing.assert_close(log_q.exp()[0], torch.tensor(expected), atol=1e-5, rtol=0)


def test_two_kernels_add_up_each_times_its_weight():
    given = evidence([0.8, 0.2], [0.1, 0.9])
    kernels = [(RIGHT_BESIDE, torch.tensor(2.0)), (IN_ONE_PLACE, torch.tensor(3.0))]
    log_q = infer_labels(given, kernels, 1)
    near = 5 / 9 * (0.8 - 0.2) + 4 / 9 * (0.1 - 0.9)
    everywhere = (0.8 - 0.2 + 0.1 - 0.9) / 2
    log_odds = math.log(0.8 / 0.2) + 2 * near + 3 * everywhere
    assert (log_q[0, 0, 0] - log_q[0, 0, 1]).item() == pytest.approx(log_odds, abs=1e-5)


def test_the_second_iteration_begins_with_the_beliefs_of_the_first():
    given = evidence([0.8, 0.2], [0.1, 0.9])
    weight = torch.tensor(1.0)
    beliefs = infer_labels(given, [(IN_ONE_PLACE, weight)], 1).exp()[0]
    mean = beliefs.mean(dim=0)
    expected = (given[0] + mean).log_softmax(dim=1)
    found = infer_labels(given, [(IN_ONE_PLACE, weight)], 2)[0]
    torch.testing.assert_close(found, expected)


def test_no_iterations_and_no_weight_leave_the_evidence():
    given = evidence([0.6, 0.2], [0.3, 0.3])
    expected = torch.tensor([[[0.75, 0.25], [0.5, 0.5]]])
    for weight, iterations in ((5.0, 0), (0.0, 4)):
        log_q = infer_labels(given, [(RIGHT_BESIDE, torch.tensor(weight))], iterations)
        torch.testing.assert_close(log_q.exp(), expected)


def test_what_is_no_label_gets_no_belief_and_gives_no_gradient():
    given = evidence([0.8, 0.2, 0.0], [0.1, 0.9, 0.0]).requires_grad_()
    weight = torch.tensor(2.0, requires_grad=True)
    log_q = infer_labels(given, [(RIGHT_BESIDE, weight)], 3)
    without = infer_labels(given.detach()[..., :2], [(RIGHT_BESIDE, weight.detach())], 3)
    torch.testing.assert_close(log_q[..., :2], without)
    assert (log_q[..., 2] == -math.inf).all()
    log_q[0, 0, 0].backward()
    assert given.grad is not None
    assert given.grad.isfinite().all()
    assert (given.grad[..., 2] == 0).all()
    assert weight.grad is not None
    assert weight.grad.isfinite()


def test_without_any_label_there_is_nothing_to_believe():
    nothing = torch.zeros(1, 2, 0)
    assert infer_labels(nothing, [(RIGHT_BESIDE, torch.tensor(1.0))], 3).shape == (1, 2, 0)


def test_places_are_row_by_row_and_x_comes_first():
    found = place_features(2, 3, torch.device("cpu"))
    assert found.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]


SMALL = InstanceKernelSettings(
    gaussian_sigma_xy=1.5, bilateral_sigma_xy=2.0, bilateral_sigma_rgb=10.0
)


def exact_kernels(colours: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Both kernels over all pairs of pixels of a (3, H, W) image, each row summing to 1."""
    _, height, width = colours.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    y, x, pixels = y.flatten(), x.flatten(), colours.flatten(1)
    apart = ((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / scale**2
    unlike = (pixels[:, :, None] - pixels[:, None]).square().sum(dim=0)
    near = torch.exp(-apart / (2 * 1.5**2))
    alike = torch.exp(-apart / (2 * 2.0**2) - unlike / (2 * 10.0**2))
    return near / near.sum(dim=1, keepdim=True), alike / alike.sum(dim=1, keepdim=True)


def test_kernels_are_those_of_all_pairs_at_each_photos_scale():
    generator = torch.Generator().manual_seed(0)
    edge = torch.where(torch.arange(12) < 6, 0.0, 60.0).expand(2, 3, 9, 12)
    colours = edge + 3 * torch.randn(2, 3, 9, 12, generator=generator)
    kernels = build_kernels(colours, SMALL, torch.tensor([1.0, 2.0]), "after")
    row, column = torch.arange(108) // 12, torch.arange(108) % 12
    # Steps to the right and downwards, of which only the first is beside the edge of colours.
    beliefs = torch.stack([column < 5, row < 4, column < 6], dim=1).float().expand(2, 108, 3)
    for place, kernel in enumerate(kernels):
        found = kernel.filter(beliefs.flatten(0, 1)).view(2, 108, 3)
        for image, scale in enumerate((1.0, 2.0)):
            expected, other = (
                exact_kernels(colours[image], s)[place] @ beliefs[image] for s in (scale, 3 - scale)
            )
            error = (found[image] - expected).abs().mean(dim=0)
            assert (error < 0.02).all()
            assert (error[:2] < 0.3 * (found[image] - other).abs().mean(dim=0)[:2]).all()
    # Across the edge of colours next to nothing passes, but in the kernel of places.
    across = [k.filter(beliefs.flatten(0, 1))[6, 2].item() for k in kernels]
    assert across[0] > 0.2
    assert across[1] < 0.01


def test_a_reach_that_is_far_too_small_is_named():
    photo = 255 * torch.rand(1, 3, 4, 6)
    narrow = replace(SMALL, bilateral_sigma_xy=0.1, bilateral_sigma_rgb=0.1)
    # The photo is far smaller than those that the reaches are given for.
    for scale, message in (
        (1e-5, "gaussian_sigma_xy is too small for photos of 6 x 4 pixels: raise one"),
        (1e-3, "bilateral_sigma_xy and bilateral_sigma_rgb are too small for photos of 6 x 4"),
    ):
        with pytest.raises(RecipeError, match=message):
            build_kernels(photo, narrow, torch.tensor([scale]), "after")
