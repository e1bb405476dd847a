import torch
from torch.nn import functional

from wsps.networks.backbone import build_backbone
from wsps.networks.classifier import CropClassifier, grad_cam
from wsps.recipe import BackboneSettings


def test_grad_cam_of_pooling_and_a_linear_layer_has_a_closed_form():
    torch.manual_seed(0)
    classifier = CropClassifier(build_backbone(BackboneSettings()), num_classes=3).eval()
    images = 255 * torch.rand(2, 3, 32, 48)
    heat = grad_cam(classifier, images)
    with torch.no_grad():
        features = classifier.trunk(images)  # (B, C, h, w)
        cells = features.shape[2] * features.shape[3]
        maps = torch.einsum("kc,bchw->bkhw", classifier.classify.weight / cells, features).relu()
    expected = functional.interpolate(maps, size=(32, 48), mode="bilinear", align_corners=False)
    assert heat.max() > 0
    assert torch.allclose(heat, expected, atol=1e-7)
    assert not heat.requires_grad
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_logits_are_one_row_an_image():
    classifier = CropClassifier(build_backbone(BackboneSettings()), num_classes=3).eval()
    assert classifier(torch.zeros(2, 3, 33, 40)).shape == (2, 3)
