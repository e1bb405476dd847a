import torch
from torch import nn
from torch.nn import functional

from wsps.networks.classifier import build_classifier, grad_cam
from wsps.recipe import BackboneSettings


def test_the_heat_of_a_class_is_grad_cam_by_gradients():
    torch.manual_seed(0)
    classifier = build_classifier(BackboneSettings(), num_classes=3).eval()
    images = 255 * torch.rand(2, 3, 32, 48)
    heat = grad_cam(classifier, images)
    features = classifier.trunk(images).detach().requires_grad_()
    logits = classifier.logits(features)
    for class_index in range(3):
        (gradient,) = torch.autograd.grad(logits[:, class_index].sum(), features, retain_graph=True)
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        coarse = functional.relu((weights * features).sum(dim=1, keepdim=True))
        expected = functional.interpolate(
            coarse, size=(32, 48), mode="bilinear", align_corners=False
        )
        assert expected.max() > 0
        torch.testing.assert_close(heat[:, class_index], expected[:, 0], rtol=1e-4, atol=1e-6)
    assert not heat.requires_grad
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_crops_are_normalised_together_where_photos_are_by_themselves():
    # A crop of one class, less its own mean, would look like one of any other.
    classifier = build_classifier(BackboneSettings(norm="group"), num_classes=3)
    assert not any(isinstance(module, nn.GroupNorm) for module in classifier.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in classifier.modules())


def test_logits_are_one_row_an_image():
    classifier = build_classifier(BackboneSettings(), num_classes=3).eval()
    assert classifier(torch.zeros(2, 3, 33, 40)).shape == (2, 3)
