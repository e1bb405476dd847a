import torch

from wsps.networks.backbone import build_backbone
from wsps.networks.pspnet import PSPNet
from wsps.recipe import BackboneSettings


def test_logits_have_the_size_of_the_image_whatever_it_is():
    network = PSPNet(build_backbone(BackboneSettings()), num_classes=5).eval()
    for height, width in [(48, 64), (37, 51)]:
        assert network(torch.zeros(2, 3, height, width)).shape == (2, 5, height, width)


def test_a_far_corner_reaches_every_pixel_through_the_pyramid():
    torch.manual_seed(0)
    network = PSPNet(build_backbone(BackboneSettings()), num_classes=2).eval()
    image = torch.randn(1, 3, 128, 128, requires_grad=True)
    network(image)[0, 0, 127, 127].backward()
    assert image.grad is not None
    assert image.grad[0, :, :16, :16].abs().sum() > 0
