import math

import pytest
import torch
from torch import Tensor

from wsps.networks.detector import Detections
from wsps.networks.instance import (
    InstanceSubnetwork,
    _pairwise_kernel,
    _WindowFilter,
    boxes_to_masks,
)

ROAD, SKY, CAR = 0, 1, 2


def subnetwork(
    box: float = 0.7, everywhere: float = 0.3, position: float = 0.5, bilateral: float = 1.5
) -> InstanceSubnetwork:
    """A subnetwork whose weights, after the softplus that keeps them positive, are these."""
    network = InstanceSubnetwork(stuff_indices=(ROAD, SKY))
    weights = (
        (network.box_weight, box),
        (network.global_weight, everywhere),
        (network.position_weight, position),
        (network.bilateral_weight, bilateral),
    )
    for parameter, value in weights:
        parameter.data.fill_(math.log(math.expm1(value)))
    return network


def detections(*boxes_and_scores: tuple[list[float], float]) -> Detections:
    """Cars."""
    boxes = torch.tensor([box for box, _ in boxes_and_scores]).reshape(-1, 4)
    return Detections(
        boxes_xyxy=boxes,
        class_indices=torch.full((len(boxes),), CAR),
        scores=torch.tensor([score for _, score in boxes_and_scores]),
    )


def uniform_semantic(height: int = 12, width: int = 16) -> Tensor:
    """Road 0.3, sky 0.1, car 0.6 everywhere."""
    return torch.tensor([0.3, 0.1, 0.6])[:, None, None].expand(3, height, width).contiguous()


def noise_image(height: int = 12, width: int = 16) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(0))


def test_the_unary_term_by_hand():
    one_car = detections(([4.0, 2.0, 10.0, 8.0], 0.5))
    result = subnetwork()(uniform_semantic(), noise_image(), one_car, iterations=0)
    # Inside the box 0.7 * 0.5 * 0.6 + 0.3 * 0.6 supports the car, outside 0.3 * 0.6.
    # Stuff is covered by a box of score 1: (0.7 + 0.3) * 0.3 for road, 0.1 for sky.
    inside, outside = result.log_q.exp()[:, 5, 6], result.log_q.exp()[:, 0, 0]
    assert inside.tolist() == pytest.approx([0.39 / 0.79, 0.3 / 0.79, 0.1 / 0.79], rel=1e-4)
    assert outside.tolist() == pytest.approx([0.18 / 0.58, 0.3 / 0.58, 0.1 / 0.58], rel=1e-4)
    assert result.class_indices.tolist() == [CAR, ROAD, SKY]
    assert result.scores.tolist() == [0.5, 1.0, 1.0]
    assert result.num_things == 1


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_number_of_detections_may_change_from_image_to_image(count: int):
    found = detections(*[([2.0 * i, 1.0, 2.0 * i + 4, 9.0], 0.9) for i in range(count)])
    result = subnetwork()(uniform_semantic(), noise_image(), found, iterations=3)
    assert result.log_q.shape == (count + 2, 12, 16)
    assert result.num_things == count
    assert torch.allclose(result.log_q.exp().sum(dim=0), torch.ones(12, 16), atol=1e-5)
    assert result.log_q.isfinite().all()


def test_the_gradient_reaches_semantics_and_weights_but_no_detection():
    network = subnetwork()
    semantic = uniform_semantic().requires_grad_()
    found = detections(([2.0, 2.0, 9.0, 9.0], 0.8), ([6.0, 4.0, 14.0, 11.0], 0.6))
    found.scores.requires_grad_()
    found.boxes_xyxy.requires_grad_()
    result = network(semantic, noise_image(), found, iterations=2)
    (-result.log_q[0, 5, 7]).backward()
    assert semantic.grad is not None
    assert semantic.grad.abs().sum() > 0
    assert semantic.grad.isfinite().all()
    assert len(list(network.parameters())) == 4
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs() > 0
    assert found.scores.grad is None
    assert found.boxes_xyxy.grad is None


def test_permuting_detections_permutes_the_marginals():
    three = [
        ([1.0, 1.0, 6.0, 9.0], 0.9),
        ([4.0, 2.0, 12.0, 8.0], 0.7),
        ([9.0, 0.0, 15.0, 11.0], 0.5),
    ]
    order = [2, 0, 1]
    arguments = (uniform_semantic(), noise_image())
    plain = subnetwork()(*arguments, detections(*three), 4)
    permuted = subnetwork()(*arguments, detections(*[three[i] for i in order]), 4)
    assert torch.allclose(permuted.log_q, plain.log_q[[*order, 3, 4]], atol=1e-5)
    assert torch.equal(permuted.scores, plain.scores[[*order, 3, 4]])


def test_both_kernels_sum_to_one_at_every_pixel():
    image = noise_image() * 0.1
    image[:, 5, 5] = 40.0  # unlike all its neighbours
    for kernel in _pairwise_kernel(image):
        assert (kernel >= 0).all()
        assert torch.allclose(kernel.sum(dim=0), torch.ones(12, 16), atol=1e-5)


def test_the_bilateral_kernel_looks_at_pixels_of_like_colour():
    image = torch.zeros(3, 12, 16)
    image[:, :, 8:] = 3.0
    near, alike = _pairwise_kernel(image)
    step = subnetwork(position=1e-6, bilateral=3.0)
    semantic = torch.full((3, 12, 16), 0.02)
    semantic[ROAD, :, :8], semantic[SKY, :, 8:] = 0.96, 0.96
    semantic[:, 6, 8] = torch.tensor([0.5, 0.48, 0.02])  # at the edge, on the side of the sky
    for iterations, label in ((0, ROAD), (3, SKY)):
        result = step(semantic, image, detections(), iterations)
        assert result.log_q[:, 6, 8].argmax() == label
    assert not torch.allclose(near, alike)


def test_mean_field_smooths_a_noisy_pixel_more_with_every_iteration():
    semantic = torch.tensor([0.8, 0.15, 0.05])[:, None, None].repeat(1, 12, 16)
    semantic[:, 6, 8] = torch.tensor([0.2, 0.75, 0.05])
    arguments = (semantic, torch.zeros(3, 12, 16), detections())
    belief = [subnetwork()(*arguments, n).log_q[0, 6, 8].exp().item() for n in (0, 1, 2, 5)]
    assert belief[0] < 0.5 < belief[-1]
    assert belief == sorted(belief)


def test_a_car_may_reach_beyond_its_box_as_the_global_term_allows():
    one_car = detections(([4.0, 2.0, 10.0, 8.0], 1.0))
    arguments = (uniform_semantic(), noise_image(), one_car, 0)
    beyond = [subnetwork(everywhere=w)(*arguments).log_q[0, 0, 0].exp() for w in (1e-6, 0.3)]
    assert beyond[0] < 1e-4
    assert beyond[1] > 0.2


def test_a_mask_holds_the_pixels_whose_centre_is_in_the_half_open_box():
    masks = boxes_to_masks(torch.tensor([[1.0, 0.0, 3.0, 1.0], [0.6, 0.5, 2.5, 1.4]]), (2, 4))
    assert masks[0].tolist() == [[0, 1, 1, 0], [0, 0, 0, 0]]
    assert masks[1].tolist() == [[0, 1, 0, 0], [0, 0, 0, 0]]


def test_the_filters_gradient_is_the_numerical_one():
    torch.manual_seed(0)
    q = torch.rand(2, 6, 5, dtype=torch.float64, requires_grad=True)
    kernel = torch.rand(24, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(_WindowFilter.apply, (q, kernel))
