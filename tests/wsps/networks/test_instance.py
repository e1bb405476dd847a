import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from annotools.categories import CategorySet
from tests.wsps.networks.subnetworks import (
    BUS,
    CAR,
    CATEGORIES,
    NO_KERNELS,
    PLAIN,
    ROAD,
    SKY,
    SMALL_KERNELS,
    detections,
    noise_image,
    painted,
    run,
    subnetwork,
    uniform_semantic,
)
from wsps.detections import Detections
from wsps.networks.instance import (
    NO_LABEL,
    InstanceMarginals,
    boxes_to_masks,
    list_labels,
)
from wsps.recipe import PHOTO_SIDE, InstanceKernelSettings, InstanceSettings
from wsps.training.losses import instance_loss


def test_the_unary_term_by_hand():
    one_car = detections(([4.0, 2.0, 10.0, 8.0], 0.5))
    result = subnetwork()(
        uniform_semantic()[None], noise_image()[None], torch.tensor([16]), [one_car], 0
    )
    # Inside the box 0.7 * 0.5 * 0.6 + 0.3 * 0.6 supports the car, outside 0.3 * 0.6.
    # Stuff is covered by a box of score 1: (0.7 + 0.3) * 0.3 for road, 0.1 for sky.
    q = result.log_q[0].exp()
    assert q[:, 5, 6].tolist() == pytest.approx([0.39 / 0.79, 0.3 / 0.79, 0.1 / 0.79], rel=1e-4)
    assert q[:, 0, 0].tolist() == pytest.approx([0.18 / 0.58, 0.3 / 0.58, 0.1 / 0.58], rel=1e-4)
    assert result.labels.class_indices.tolist() == [[CAR, ROAD, SKY]]
    assert result.labels.scores.tolist() == [[0.5, 1.0, 1.0]]
    assert result.labels.is_thing.tolist() == [[True, False, False]]
    assert result.labels.is_label.all()


def test_a_softened_score_is_a_sigmoid_and_that_of_stuff_stays_one():
    one_car = detections(([4.0, 2.0, 10.0, 8.0], 0.9))
    network = subnetwork(replace(PLAIN, soften_scores=True))
    q = run(network, uniform_semantic(), noise_image(), one_car).exp()[:, 5, 6]
    car = 0.7 * 0.6 / (1 + math.exp(-0.8)) + 0.3 * 0.6
    assert q.tolist() == pytest.approx([v / (car + 0.4) for v in (car, 0.3, 0.1)], rel=1e-4)


def test_the_background_of_pascal_voc_has_the_global_term_alone():
    with_background = replace(CATEGORIES, background_id=ROAD)
    one_car = detections(([4.0, 2.0, 10.0, 8.0], 0.5))
    network = subnetwork(categories=with_background)
    q = run(network, uniform_semantic(), noise_image(), one_car).exp()[:, 5, 6]
    assert q.tolist() == pytest.approx([0.39 / 0.58, 0.09 / 0.58, 0.1 / 0.58], rel=1e-4)


@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_the_number_of_detections_may_change_from_image_to_image(count: int):
    found = detections(*[([i % 12, 1.0, i % 12 + 4, 9.0], 0.9) for i in range(count)])
    network = subnetwork(replace(PLAIN, kernels=SMALL_KERNELS))
    log_q = run(network, uniform_semantic(), noise_image(), found, iterations=3)
    assert log_q.shape == (count + 2, 12, 16)
    assert torch.allclose(log_q.exp().sum(dim=0), torch.ones(12, 16), atol=1e-5)
    assert log_q.isfinite().all()


def test_without_detections_stuff_shares_the_image():
    settings = replace(PLAIN, kernels=SMALL_KERNELS)
    log_q = run(subnetwork(settings), uniform_semantic(), noise_image(), detections(), 3)
    assert (log_q.argmax(dim=0) == 0).all()  # Road, of which there is more than of sky.
    assert (log_q[0] > math.log(0.75)).all()


def test_a_dataset_of_things_alone_may_have_no_label_at_all():
    things = CategorySet(categories=CATEGORIES.categories[2:])
    network = subnetwork(categories=things)
    log_q = run(network, uniform_semantic()[2:], noise_image(), detections(), 3)
    assert log_q.shape == (0, 12, 16)


def test_an_image_without_any_label_beside_one_with_some_stays_a_number():
    things = CategorySet(categories=CATEGORIES.categories[2:])
    network = subnetwork(replace(PLAIN, kernels=SMALL_KERNELS), things)
    semantic = torch.full((2, 2, 12, 16), 0.5, requires_grad=True)
    images = torch.stack([noise_image(), noise_image()])
    found = [detections(class_index=0), detections(([2.0, 2.0, 9.0, 9.0], 0.8), class_index=0)]
    result = network(semantic, images, torch.tensor([500, 500]), found, 3)
    true_instances = torch.ones(2, 12, 16, dtype=torch.int32)
    loss = instance_loss(result, torch.zeros(2, 12, 16, dtype=torch.int64), true_instances)
    loss.backward()
    assert loss.item() == 0.0  # One image explains nothing, the other has one label for all.
    assert result.log_q.isfinite().all()
    assert semantic.grad is not None
    assert semantic.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite() for p in network.parameters())


@pytest.mark.parametrize("weight", [0.0, 1e-6, 0.5, 88.0, 100.0, 1e4])
def test_a_weight_starts_where_it_was_set(weight: float):
    kernels = replace(SMALL_KERNELS, bilateral_weight=weight)
    network = subnetwork(replace(PLAIN, kernels=kernels))
    assert network.weights()[3].item() == pytest.approx(weight, rel=1e-3)


def test_an_image_of_one_pixel():
    settings = replace(PLAIN, kernels=SMALL_KERNELS)
    log_q = run(
        subnetwork(settings),
        uniform_semantic(1, 1),
        noise_image(1, 1),
        detections(([0.0, 0.0, 1.0, 1.0], 0.5)),
        iterations=1,
        side=1,
    )
    # A pixel alone hears its own beliefs in full, from both kernels: 1 + 4.
    q = torch.tensor([0.39, 0.3, 0.1]) / 0.79
    expected = (q.log() + 5 * q).log_softmax(dim=0)
    torch.testing.assert_close(log_q[:, 0, 0], expected, atol=1e-4, rtol=0)


def test_a_batch_gives_what_each_image_gives_alone():
    settings = replace(PLAIN, kernels=SMALL_KERNELS)
    semantic = torch.rand(3, 4, 12, 16, generator=torch.Generator().manual_seed(1))
    semantic = semantic / semantic.sum(dim=1, keepdim=True)
    images = torch.stack([noise_image(seed=seed) for seed in range(3)])
    found = [
        detections(([1.0, 1.0, 6.0, 9.0], 0.9), ([4.0, 2.0, 12.0, 8.0], 0.7)),
        detections(),
        detections(([9.0, 0.0, 15.0, 11.0], 0.5), class_index=BUS),
    ]
    sides = torch.tensor([500, 250, 1000])
    together = subnetwork(settings)(semantic, images, sides, found, 3)
    assert together.labels.class_indices.tolist() == [
        [CAR, CAR, ROAD, SKY],
        [ROAD, SKY, 0, 0],
        [BUS, ROAD, SKY, 0],
    ]
    for i, one in enumerate(found):
        alone = run(subnetwork(settings), semantic[i], images[i], one, 3, side=int(sides[i]))
        torch.testing.assert_close(together.log_q[i, : len(one) + 2], alone, atol=1e-5, rtol=0)
        assert (together.log_q[i, len(one) + 2 :] < NO_LABEL / 2).all()


def test_permuting_detections_permutes_the_marginals():
    three = [
        ([1.0, 1.0, 6.0, 9.0], 0.9),
        ([4.0, 2.0, 12.0, 8.0], 0.7),
        ([9.0, 0.0, 15.0, 11.0], 0.5),
    ]
    order = [2, 0, 1]
    network = subnetwork(replace(PLAIN, kernels=SMALL_KERNELS))
    arguments = (uniform_semantic(), noise_image())
    plain = run(network, *arguments, detections(*three), 4)
    permuted = run(network, *arguments, detections(*[three[i] for i in order]), 4)
    assert torch.allclose(permuted, plain[[*order, 3, 4]], atol=1e-5)


def test_without_pairwise_weights_the_best_unary_term_wins():
    found = detections(([4.0, 2.0, 10.0, 8.0], 0.5), ([6.0, 2.0, 16.0, 9.0], 0.8))
    semantic = torch.rand(4, 12, 16, generator=torch.Generator().manual_seed(1))
    semantic = semantic / semantic.sum(dim=0)
    inside = boxes_to_masks(found.boxes_xyxy, (12, 16))
    cars = (0.7 * found.scores[:, None, None] * inside + 0.3) * semantic[CAR]
    best = torch.cat([cars, semantic[[ROAD, SKY]]]).argmax(dim=0)
    for iterations in (0, 3):
        log_q = run(subnetwork(), semantic, noise_image(), found, iterations)
        assert torch.equal(log_q.argmax(dim=0), best)


def two_touching_cars() -> tuple[Tensor, Tensor, Tensor]:
    """A dark car left of a bright one, 20 x 12 pixels: image, semantics, whether it is the left."""
    is_left = (torch.arange(20) < 9).expand(12, 20)
    image = painted(torch.where(is_left, 60.0, 200.0) + 2 * torch.randn(12, 20))
    semantic = torch.tensor([0.05, 0.03, 0.9, 0.02])[:, None, None].repeat(1, 12, 20)
    return image, semantic, is_left


def test_two_touching_cars_with_a_detection_each_split_at_the_colour_edge():
    torch.manual_seed(0)
    image, semantic, is_left = two_touching_cars()
    # The edge is at 9, the middle of where the boxes overlap at 11.
    found = detections(([0.0, 0.0, 14.0, 12.0], 0.9), ([8.0, 0.0, 20.0, 12.0], 0.9))
    settings = replace(PLAIN, box_weight=1.0, global_weight=1.0)
    kernels = InstanceKernelSettings(bilateral_sigma_rgb=20.0, gaussian_weight=1.0)
    split = subnetwork(replace(settings, kernels=kernels))
    labels = run(split, semantic, image, found, iterations=3).argmax(dim=0)
    assert torch.equal(labels == 0, is_left)
    assert torch.equal(labels == 1, ~is_left)
    # Without the kernel of colours they split elsewhere.
    blind = replace(kernels, bilateral_weight=0.0)
    labels = run(
        subnetwork(replace(settings, kernels=blind)), semantic, image, found, iterations=3
    ).argmax(dim=0)
    assert not torch.equal(labels == 0, is_left)


def test_a_detection_that_the_semantics_deny_takes_no_pixel():
    torch.manual_seed(0)
    image, semantic, _ = two_touching_cars()
    bus = detections(([0.0, 0.0, 20.0, 12.0], 0.99), class_index=BUS)
    car = detections(([0.0, 0.0, 20.0, 12.0], 0.5))
    both = Detections(
        boxes_xyxy=torch.cat([bus.boxes_xyxy, car.boxes_xyxy]),
        class_indices=torch.cat([bus.class_indices, car.class_indices]),
        scores=torch.cat([bus.scores, car.scores]),
    )
    network = subnetwork(InstanceSettings(steps=1, learning_rate=1e-3))
    labels = run(network, semantic, image, both, iterations=3).argmax(dim=0)
    assert (labels == 1).all()


def test_a_box_that_cuts_an_object_short_is_overcome_by_the_global_term():
    torch.manual_seed(0)
    image, semantic, is_left = two_touching_cars()
    # To the right of the left car there is road.
    semantic = torch.where(is_left, semantic, semantic[[2, 1, 0, 3]])
    short = detections(([0.0, 0.0, 6.0, 12.0], 0.9))
    settings = replace(PLAIN, box_weight=1.0, kernels=NO_KERNELS)
    for global_weight, reaches in ((1.0, is_left), (0.01, torch.arange(20).expand(12, 20) < 6)):
        network = subnetwork(replace(settings, global_weight=global_weight))
        labels = run(network, semantic, image, short).argmax(dim=0)
        assert torch.equal(labels == 0, reaches)


def test_what_all_pixels_say_is_heard_in_full_up_to_the_borders():
    settings = replace(PLAIN, kernels=replace(SMALL_KERNELS, gaussian_weight=1.5))
    log_q = run(subnetwork(settings), uniform_semantic(), noise_image(), detections(), 1)
    q = torch.tensor([0.75, 0.25])
    expected = (q.log() + (1.5 + 4.0) * q).log_softmax(dim=0)
    torch.testing.assert_close(log_q, expected[:, None, None].expand(2, 12, 16), atol=1e-4, rtol=0)


def test_the_global_term_goes_as_far_as_asked_in_sides_of_the_box():
    one_car = detections(([6.0, 4.0, 10.0, 6.0], 0.5))
    network = subnetwork(replace(PLAIN, reach=0.5))
    q = run(network, uniform_semantic(), noise_image(), one_car).exp()
    # 2 pixels more to the left and right, 1 more above and below.
    assert (q[0] > 0.1).nonzero().tolist() == [[y, x] for y in range(3, 7) for x in range(4, 12)]
    assert q[:, 3, 4].tolist() == pytest.approx([0.18 / 0.58, 0.3 / 0.58, 0.1 / 0.58], rel=1e-4)
    assert q[:, 3, 3].tolist() == pytest.approx([0.0, 0.75, 0.25], abs=1e-4)
    # At 0 it ends with the box; stuff is everywhere all the same.
    q = run(subnetwork(replace(PLAIN, reach=0.0)), uniform_semantic(), noise_image(), one_car).exp()
    assert (q[0] > 0.1).nonzero().tolist() == [[y, x] for y in (4, 5) for x in range(6, 10)]
    assert q[:, 4, 6].tolist() == pytest.approx([0.39 / 0.79, 0.3 / 0.79, 0.1 / 0.79], rel=1e-4)


def test_kernels_reach_less_far_in_a_photo_that_is_reduced():
    # One odd pixel in the middle of a line: how much its neighbours believe of it.
    semantic = torch.tensor([0.8, 0.2, 0.0, 0.0])[:, None, None].repeat(1, 1, 33)
    semantic[:2, 0, 16] = torch.tensor([0.01, 0.99])
    kernels = InstanceKernelSettings(
        gaussian_weight=3.0, gaussian_sigma_xy=4.0, bilateral_weight=0.0
    )
    network = subnetwork(replace(PLAIN, kernels=kernels))

    def heard(side: int) -> list[float]:
        log_q = run(network, semantic, torch.zeros(3, 1, 33), detections(), 1, side=side)
        rise = log_q[1, 0, 16:] - log_q[1, 0, 0]
        return rise[[2, 6]].tolist()

    whole, half = heard(PHOTO_SIDE), heard(PHOTO_SIDE // 2)
    # The exact kernels at 2 and 6 pixels: sigma 4 gives 0.088 and 0.032, sigma 2 0.121 and 0.002.
    assert half[0] > 1.15 * whole[0] > 0
    assert half[1] < 0.3 * whole[1]


def test_the_colours_are_those_of_the_photo():
    semantic = torch.tensor([0.7, 0.3, 0.0, 0.0])[:, None, None].repeat(1, 1, 8)
    semantic[:2, 0, 4:] = torch.tensor([[0.3], [0.7]])
    kernels = InstanceKernelSettings(gaussian_weight=0.0, bilateral_weight=4.0)
    network = subnetwork(replace(PLAIN, kernels=kernels))

    def beliefs(step: float) -> float:
        found = []
        # How exact the lattice is depends on where in a simplex the colours lie.
        for level in range(100, 120):
            grey = torch.where(torch.arange(8) < 4, level, level + step)[None]
            found.append(run(network, semantic, painted(grey), detections(), 1)[0, 0, 0].exp())
        return torch.stack(found).mean().item()

    # 2.5 levels apart in three channels, 5 a standard deviation: exp(-3 / 8) = 0.687 is heard. So
    # 0.593 of the message is of the like, 0.407 of the others: 4 * 0.4 * (0.593 - 0.407).
    assert beliefs(2.5) == pytest.approx(1 / (1 + math.exp(-math.log(7 / 3) - 0.297)), abs=0.035)
    # By hand: log odds of log(7 / 3) and 4 * 0.4 more where only the like are heard, or 4 * 0.
    assert beliefs(40.0) == pytest.approx(1 / (1 + math.exp(-math.log(7 / 3) - 1.6)), abs=0.005)
    assert beliefs(0.0) == pytest.approx(0.7, abs=0.01)


def test_the_gradient_reaches_semantics_and_weights_but_no_detection():
    network = subnetwork(replace(PLAIN, kernels=SMALL_KERNELS))
    semantic = uniform_semantic().requires_grad_()
    found = detections(([2.0, 2.0, 9.0, 9.0], 0.8), ([6.0, 4.0, 14.0, 11.0], 0.6))
    found.scores.requires_grad_()
    found.boxes_xyxy.requires_grad_()
    log_q = run(network, semantic, noise_image(), found, iterations=2)
    (-log_q[0, 5, 7]).backward()
    assert semantic.grad is not None
    assert semantic.grad.abs().sum() > 0
    assert semantic.grad.isfinite().all()
    names = [name for name, _ in network.named_parameters()]
    assert names == ["box_weight", "global_weight", "gaussian_weight", "bilateral_weight"]
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs() > 0
    assert found.scores.grad is None
    assert found.boxes_xyxy.grad is None


def test_the_gradient_is_the_numerical_one():
    network = subnetwork(replace(PLAIN, kernels=SMALL_KERNELS)).double()
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    images = 6 * torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    found = [
        detections(([0.0, 0.0, 3.0, 3.0], 0.8), ([1.0, 1.0, 5.0, 4.0], 0.6)),
        detections(([2.0, 0.0, 5.0, 3.0], 0.7), class_index=BUS),
    ]
    sides = torch.tensor([500, 700])

    def beliefs(logits: Tensor, *_weights: Tensor) -> Tensor:
        result: InstanceMarginals = network(logits.softmax(dim=1), images, sides, found, 2)
        return result.log_q.exp()

    assert torch.autograd.gradcheck(beliefs, (logits, *network.parameters()), atol=1e-6)


def test_the_weights_are_told_as_they_multiply_and_a_weight_of_zero_stays():
    network = subnetwork(replace(PLAIN, kernels=replace(SMALL_KERNELS, gaussian_weight=0.0)))
    torch.testing.assert_close(network.weights(), torch.tensor([0.7, 0.3, 0.0, 4.0]))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.0)
    found = detections(([2.0, 2.0, 9.0, 9.0], 0.8))
    run(network, uniform_semantic(), noise_image(), found, 2)[0, 5, 7].backward()
    optimizer.step()
    after = network.weights()
    assert after[2] == 0.0
    assert after.isfinite().all()
    assert (after[[0, 1, 3]] != torch.tensor([0.7, 0.3, 4.0])).all()


def test_labels_are_detections_then_stuff_then_none():
    found = [detections(([1.0, 2.0, 3.0, 4.0], 0.5)), detections()]
    labels = list_labels(found, torch.tensor([ROAD, SKY]))
    assert labels.class_indices.tolist() == [[CAR, ROAD, SKY], [ROAD, SKY, 0]]
    assert labels.is_label.tolist() == [[True] * 3, [True, True, False]]
    assert labels.is_thing.tolist() == [[True, False, False], [False] * 3]
    assert labels.boxes_xyxy[0, 0].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert boxes_to_masks(labels.boxes_xyxy[:, 1], (3, 2)).tolist() == [[[1.0] * 2] * 3] * 2
    assert boxes_to_masks(labels.boxes_xyxy[1, 2], (3, 2)).sum() == 0


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([1.0, 0.0, 3.0, 1.0], [[0, 1, 1, 0], [0, 0, 0, 0]]),
        ([0.6, 0.5, 2.5, 1.4], [[0, 1, 0, 0], [0, 0, 0, 0]]),
    ],
)
def test_a_mask_holds_the_pixels_whose_centre_is_in_the_half_open_box(
    box: list[float], expected: Sequence[Sequence[int]]
):
    assert boxes_to_masks(torch.tensor(box), (2, 4)).tolist() == expected
