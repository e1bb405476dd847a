import pytest
import torch

from annotools.errors import RecipeError
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


def test_the_auxiliary_classifier_sees_the_last_stage_but_one_in_training_alone():
    torch.manual_seed(0)
    settings = BackboneSettings(name="resnet18", output_stride=16)
    network = PSPNet(build_backbone(settings), num_classes=3, auxiliary=True)
    torch.manual_seed(0)
    plain = PSPNet(build_backbone(settings), num_classes=3)
    state = network.state_dict()
    added = {key for key in state if key.startswith("auxiliary.")}
    assert state["auxiliary.0.0.weight"].shape == (64, 256, 3, 3)
    assert state["auxiliary.1.weight"].shape == (3, 64, 1, 1)
    # Whoever leaves it out has none of its weights, and the same others.
    assert set(plain.state_dict()) == set(state) - added
    assert all(torch.equal(values, state[key]) for key, values in plain.state_dict().items())
    images = 255 * torch.rand(2, 3, 40, 56)
    logits, auxiliary = network.eval().both_logits(images)
    assert auxiliary is not None
    assert logits.shape == auxiliary.shape == (2, 3, 40, 56)
    assert torch.equal(network(images), logits)
    assert plain.eval().both_logits(images)[1] is None
    # Its gradient goes into stage 3 and not into stage 4.
    auxiliary.sum().backward()
    layers = network.trunk.backbone.layers
    for stage, has_gradient in (("layer3", True), ("layer4", False)):
        gradients = [p.grad for p in layers.get_submodule(stage).parameters()]
        assert all((gradient is not None) == has_gradient for gradient in gradients)


def test_a_backbone_without_stages_has_no_auxiliary_classifier():
    with pytest.raises(
        RecipeError, match=r"semantic\.auxiliary_weight is above 0, but .* a ResNet"
    ):
        PSPNet(build_backbone(BackboneSettings()), num_classes=2, auxiliary=True)
