import math

import pytest
import torch

from annotools.categories import IGNORE_INDEX
from wsps.networks.instance import InstanceLabels, InstanceMarginals
from wsps.training.losses import instance_loss, semantic_loss, tag_loss

NO = IGNORE_INDEX
LOG_3 = math.log(3.0)


def test_semantic_loss_is_the_mean_over_labelled_pixels():
    logits = torch.tensor([[[[LOG_3, 0.0, 9.0]], [[0.0, 0.0, 0.0]]]])  # (1, 2, 1, 3)
    classes = torch.tensor([[[0, 1, NO]]])
    expected = (-math.log(0.75) - math.log(0.5)) / 2
    assert semantic_loss(logits, classes).item() == pytest.approx(expected)


def test_tag_loss_is_the_mean_over_classes_asked_about():
    logits = torch.tensor([[LOG_3, LOG_3, 50.0]])
    loss = tag_loss(logits, torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]]))
    assert loss.item() == pytest.approx((-math.log(0.75) - math.log(0.25)) / 2)


def marginals_of(*log_qs: torch.Tensor) -> InstanceMarginals:
    """Of images: in each one detection of class 1, then stuff of class 0."""
    images = len(log_qs)
    return InstanceMarginals(
        log_q=torch.stack(log_qs),
        labels=InstanceLabels(
            class_indices=torch.tensor([[1, 0]]).expand(images, 2),
            scores=torch.tensor([[0.9, 1.0]]).expand(images, 2),
            boxes_xyxy=torch.zeros(images, 2, 4),
            is_thing=torch.tensor([[True, False]]).expand(images, 2),
            is_label=torch.ones(images, 2, dtype=torch.bool),
        ),
    )


def test_instance_loss_is_the_mean_over_matched_pixels():
    log_q = torch.tensor([[[0.8, 0.4, 0.3, 0.5]], [[0.2, 0.6, 0.7, 0.5]]]).log()
    classes = torch.tensor([[1, 1, 0, NO]])
    instances = torch.tensor([[5, 5, 0, 0]], dtype=torch.int32)
    expected = -(math.log(0.8) + math.log(0.4) + math.log(0.7)) / 3
    loss = instance_loss(marginals_of(log_q), classes[None], instances[None])
    assert loss.item() == pytest.approx(expected)
    # An image of which more is known counts no more than another.
    other = torch.tensor([[[0.9] * 4], [[0.1] * 4]]).log()
    one_known = torch.tensor([[1, NO, NO, NO]])
    loss = instance_loss(
        marginals_of(log_q, other),
        torch.stack([classes, one_known]),
        torch.stack([instances, instances]),
    )
    assert loss.item() == pytest.approx((expected - math.log(0.9)) / 2)


def test_without_labels_every_loss_is_zero_with_a_zero_gradient():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    tags = torch.randn(2, 3, requires_grad=True)
    scores = torch.randn(2, 4, 4, requires_grad=True)
    nothing = torch.full((4, 4), NO)
    losses = [
        semantic_loss(logits, nothing.expand(2, 4, 4)),
        tag_loss(tags, torch.zeros(2, 3), torch.zeros(2, 3)),
        instance_loss(
            marginals_of(scores.log_softmax(0)),
            nothing[None],
            torch.zeros(1, 4, 4, dtype=torch.int32),
        ),
    ]
    assert [loss.item() for loss in losses] == [0.0, 0.0, 0.0]
    torch.stack(losses).sum().backward()
    for leaf in (logits, tags, scores):
        assert leaf.grad is not None
        assert (leaf.grad == 0).all()
