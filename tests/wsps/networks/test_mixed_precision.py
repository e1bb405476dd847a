"""Every network runs in bfloat16 where autocast says so, and gives float32 all the same.

The tolerances are those of bfloat16, which has 8 bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from tests.builders import make_categories
from wsps.detections import Detections
from wsps.networks.backbone import build_backbone
from wsps.networks.classifier import build_classifier, grad_cam
from wsps.networks.detector import Detector
from wsps.networks.instance import InstanceSubnetwork
from wsps.networks.pspnet import PSPNet
from wsps.recipe import BackboneSettings, InstanceSettings
from wsps.training.losses import instance_loss, semantic_loss

BACKBONES = (BackboneSettings(), BackboneSettings(name="resnet18", norm="frozen"))


@contextmanager
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield


def images(count: int = 2, height: int = 64, width: int = 96) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 255 * torch.rand(count, 3, height, width, generator=generator)


def finite_gradients(network: nn.Module) -> list[Tensor]:
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    network.zero_grad()
    return gradients


def assert_alike(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == torch.float32
    assert expected.dtype == torch.float32
    # Rounding is there, so that autocast was on, and no more than bfloat16's.
    assert 0 < (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda b: b.name)
def test_the_semantic_network(backbone: BackboneSettings):
    torch.manual_seed(0)
    network = PSPNet(build_backbone(backbone), 5, auxiliary=backbone.name != "small")
    classes = torch.arange(64 * 96).view(1, 64, 96).expand(2, -1, -1) % 5
    expected = [logits for logits in network.both_logits(images()) if logits is not None]
    with autocast():
        found = [logits for logits in network.both_logits(images()) if logits is not None]
        loss = sum((semantic_loss(logits, classes) for logits in found), torch.zeros(()))
    assert len(found) == (1 if backbone.name == "small" else 2)
    for one, other in zip(found, expected, strict=True):
        assert_alike(one, other)
    assert loss.dtype == torch.float32
    torch.autograd.backward(loss)
    assert len(finite_gradients(network)) == len(list(network.parameters()))


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda b: b.name)
def test_the_classifier_and_its_heat_maps(backbone: BackboneSettings):
    torch.manual_seed(0)
    network = build_classifier(backbone, 5).eval()
    expected, heat = network(images()), grad_cam(network, images())
    with autocast():
        found, warm = network(images()), grad_cam(network, images())
    assert_alike(found, expected)
    assert_alike(warm, heat)
    torch.autograd.backward(found.square().sum())
    assert len(finite_gradients(network)) == len(list(network.parameters()))


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda b: b.name)
def test_the_detector(backbone: BackboneSettings):
    torch.manual_seed(0)
    detector = Detector(backbone, (0, 1))
    boxes = [torch.tensor([[8.0, 8.0, 60.0, 50.0]]), torch.zeros(0, 4)]
    classes = [torch.tensor([1]), torch.zeros(0, dtype=torch.int64)]
    with autocast():
        loss = detector.loss(images(), boxes, classes)
    assert loss.dtype == torch.float32
    torch.autograd.backward(loss)
    assert len(finite_gradients(detector)) > 0
    (expected, _) = detector.detect(images(), 0.0, 20)
    with autocast():
        (found, _) = detector.detect(images(), 0.0, 20)
    assert len(found) == len(expected) == 20
    for values in (found.scores, found.boxes_xyxy):
        assert values.dtype == torch.float32
        assert values.isfinite().all()
    assert found.scores[0].item() == pytest.approx(expected.scores[0].item(), rel=0.2)


def test_places_beyond_256_pixels_are_told_apart():
    torch.manual_seed(0)
    detector = Detector(BackboneSettings(), (0, 1))
    # With no change to them all boxes are anchors, of a few sizes, centred on multiples of 8.
    for module in (
        detector.network.rpn.head.bbox_pred,
        detector.network.roi_heads.box_predictor.bbox_pred,
    ):
        nn.init.zeros_(module.weight)
        nn.init.zeros_(module.bias)
    with autocast():
        (found,) = detector.detect(images(1, 64, 640), 0.0, 200)
    x0, _, x1, _ = found.boxes_xyxy.unbind(dim=1)
    is_far_and_whole = (x0 > 256) & (x1 < 640)
    assert is_far_and_whole.sum() > 10
    centres, widths = ((x0 + x1) / 2)[is_far_and_whole], (x1 - x0)[is_far_and_whole]
    torch.testing.assert_close(centres, 8 * (centres / 8).round(), atol=1e-3, rtol=0)
    (anchors,) = detector.network.rpn.anchor_generator.cell_anchors
    nearest = (widths[:, None] - 2 * anchors[:, 2]).abs().amin(dim=1)
    assert nearest.max() < 1e-3


def some_detections() -> Detections:
    return Detections(
        boxes_xyxy=torch.tensor([[1.0, 1.0, 9.0, 9.0], [5.0, 2.0, 14.0, 11.0]]),
        class_indices=torch.tensor([1, 1]),
        scores=torch.tensor([0.9, 0.6]),
    )


def test_the_instance_subnetwork_is_as_precise_as_without():
    categories = make_categories(things=("car",), stuff=("road",))
    network = InstanceSubnetwork(categories, InstanceSettings(steps=1, learning_rate=1e-3))
    logits = torch.randn(2, 2, 12, 16, generator=torch.Generator().manual_seed(0))
    given = images(2, 12, 16), torch.tensor([500, 300]), [some_detections(), some_detections()], 3
    classes, instances = torch.zeros(2, 12, 16).long(), torch.zeros(2, 12, 16).int()
    expected = network(logits.softmax(dim=1), *given).log_q
    semantic = logits.softmax(dim=1).requires_grad_()
    with autocast():
        marginals = network(semantic, *given)
        loss = instance_loss(marginals, classes, instances)
    assert torch.equal(marginals.log_q, expected)
    torch.autograd.backward(loss)
    assert semantic.grad is not None
    assert semantic.grad.isfinite().all()
    assert len(finite_gradients(network)) == 4
    with autocast():
        rounded = network(logits.softmax(dim=1).bfloat16(), *given).log_q
    assert_alike(rounded, expected)


@pytest.mark.parametrize("backbone", BACKBONES, ids=lambda b: b.name)
def test_another_order_in_memory_changes_nothing(backbone: BackboneSettings):
    torch.manual_seed(0)
    last, format_last = images(), torch.channels_last
    last = last.to(memory_format=format_last)
    segmenter = PSPNet(build_backbone(backbone), 2).eval()
    detector = Detector(backbone, (1,)).eval()
    categories = make_categories(things=("car",), stuff=("road",))
    subnetwork = InstanceSubnetwork(categories, InstanceSettings(steps=1, learning_rate=1e-3))
    found = []
    for given in (images(), last):
        logits = segmenter(given)
        detected = detector.detect(given, 0.0, 3)
        sides = torch.tensor([96, 96])
        labels = [some_detections(), some_detections()]
        log_q = subnetwork(logits.softmax(dim=1), given, sides, labels, 1).log_q
        torch.autograd.backward(log_q[:, 0].mean())
        gradient = next(segmenter.parameters()).grad
        assert gradient is not None
        found.append((logits, log_q, detected[0].scores, gradient.clone()))
        segmenter.zero_grad()
        segmenter.to(memory_format=format_last)
        detector.to(memory_format=format_last)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-2)
