from dataclasses import replace

import pytest
import torch

from tests.wsps.networks.subnetworks import (
    CAR,
    PLAIN,
    detections,
    noise_image,
    run,
    subnetwork,
    uniform_semantic,
)


def test_the_mask_term_by_hand():
    network = subnetwork(replace(PLAIN, mask_weight=0.4))
    # Four cells of three pixels: the mask is 1 in the left half of the box and 0.25 in the right.
    mask = torch.tensor([1.0, 1.0, 0.25, 0.25]).expand(1, 4, 4)
    one_car = replace(detections(([2.0, 0.0, 14.0, 12.0], 0.5)), masks=mask)
    q = run(network, uniform_semantic(), noise_image(), one_car).exp()
    # On the left (0.7 + 0.4) * 0.5 * 0.6 + 0.3 * 0.6 supports the car, on the right
    # (0.7 + 0.25 * 0.4) * 0.5 * 0.6 + 0.3 * 0.6, outside the box 0.3 * 0.6. Stuff is a detection
    # that fills the image: (0.7 + 0.4 + 0.3) * 0.3 for road, 0.1 for sky.
    for x, car in {4: 0.51, 12: 0.42, 15: 0.18}.items():
        shares = [v / (car + 0.56) for v in (car, 0.42, 0.14)]
        assert q[:, 6, x].tolist() == pytest.approx(shares, rel=1e-4)


def test_masks_part_two_things_of_one_class_whose_boxes_overlap():
    semantic = torch.zeros(4, 12, 20)
    semantic[CAR] = 1.0
    # The left one is surer, and half of the other one lies in its box.
    found = detections(([0.0, 0.0, 16.0, 12.0], 0.9), ([8.0, 0.0, 20.0, 12.0], 0.6))
    left, right = torch.zeros(8, 8), torch.ones(8, 8)
    left[:, :4] = 1.0
    truth = torch.where(torch.arange(20) < 8, 0, 1)
    for weight, lost in ((0.0, 8), (2.0, 0)):
        network = subnetwork(replace(PLAIN, mask_weight=weight))
        with_masks = replace(found, masks=torch.stack([left, right]))
        labels = run(network, semantic, noise_image(12, 20), with_masks).argmax(dim=0)
        assert (labels[5] != truth).sum() == lost


def test_without_a_mask_weight_the_subnetwork_holds_what_it_held_before_there_was_one():
    # So checkpoints of then are still read.
    names = {"box_weight", "global_weight", "gaussian_weight", "bilateral_weight"}
    assert set(subnetwork().state_dict()) == names | {"stuff_indices"}


def test_images_with_and_without_detections_have_masks_together():
    network = subnetwork(replace(PLAIN, mask_weight=0.4))
    found = replace(detections(([2.0, 0.0, 14.0, 12.0], 0.5)), masks=torch.ones(1, 4, 4))
    none = replace(detections(), masks=torch.zeros(0, 4, 4))
    semantic, images = (torch.stack([one] * 2) for one in (uniform_semantic(), noise_image()))
    q = network(semantic, images, torch.tensor([16, 16]), [found, none], 0).log_q.exp()
    expected = [v / 1.07 for v in (0.51, 0.42, 0.14)]
    assert q[0, :, 6, 6].tolist() == pytest.approx(expected, rel=1e-4)
    assert q[1, :, 6, 6].tolist() == pytest.approx([0.75, 0.25, 0], rel=1e-4)
