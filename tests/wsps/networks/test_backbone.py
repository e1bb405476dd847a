from dataclasses import replace

import pytest
import torch
import torchvision
from torch import nn

from annotools.errors import RecipeError
from wsps.networks import batch_norm as statistics
from wsps.networks.backbone import NORM_LAYERS, OUTPUT_STRIDES, build_backbone
from wsps.networks.image_input import IMAGE_INPUTS, Normalise
from wsps.networks.pspnet import PSPNet
from wsps.recipe import INPUTS, NORMS, BackboneSettings, DescentSettings, StageSettings
from wsps.training.loop import build_optimizer, descend_once, trainable

RESNET18 = BackboneSettings(name="resnet18")


@pytest.mark.parametrize(
    ("name", "output_stride", "expected"),
    [
        ("small", None, (64, 4, None)),
        ("small", 4, (64, 4, None)),
        ("resnet18", None, (512, 8, 256)),
        ("resnet18", 16, (512, 16, 256)),
        ("resnet50", 8, (2048, 8, 1024)),
        ("resnet101", 16, (2048, 16, 1024)),
    ],
)
def test_a_backbone_gives_the_channels_and_the_stride_it_announces(
    name: str, output_stride: int | None, expected: tuple[int, int, int | None]
):
    backbone = build_backbone(BackboneSettings(name=name, output_stride=output_stride)).eval()
    assert (backbone.out_channels, backbone.stride, backbone.middle_channels) == expected
    with torch.no_grad():
        images = torch.zeros(1, 3, 32, 48)
        features = backbone(images)
        size = (32 // backbone.stride, 48 // backbone.stride)
        assert features.shape == (1, backbone.out_channels, *size)
        if backbone.middle_channels is not None:
            last, middle = backbone.with_middle(images)
            assert torch.equal(last, features)
            assert middle.shape == (1, backbone.middle_channels, *size)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilation_keeps_weights_and_at_every_skipped_pixel_the_features(
    name: str, output_stride: int
):
    torch.manual_seed(0)
    backbone = build_backbone(BackboneSettings(name=name, output_stride=output_stride)).eval()
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval()
    ours = backbone.layers.state_dict()
    theirs = {key: v for key, v in network.state_dict().items() if not key.startswith("fc.")}
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    network.avgpool, network.fc = nn.Identity(), nn.Identity()
    # No multiple of any stride.
    images = 255 * torch.rand(1, 3, 70, 101, dtype=torch.float64)
    with torch.no_grad():
        dilated = backbone.double()(images)
        undilated = network.double()(backbone.normalise(images)).view(1, dilated.shape[1], 3, 4)
    step = 32 // output_stride
    torch.testing.assert_close(dilated[..., ::step, ::step], undilated)


def test_larger_blocks_are_dilated_as_by_torchvision():
    backbone = build_backbone(BackboneSettings(name="resnet50"))
    network = torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])

    def geometry(module: nn.Module) -> list[tuple[object, ...]]:
        convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
        return [(m.kernel_size, m.stride, m.padding, m.dilation) for m in convolutions]

    assert geometry(backbone) == geometry(network)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            BackboneSettings(name="vgg"),
            f"unknown backbone 'vgg': use {', '.join(OUTPUT_STRIDES)}, or timm:NAME$",
        ),
        (
            BackboneSettings(name="thin-resnet50", output_stride=4),
            "backbone.output_stride = 4: thin-resnet50 has 16 or 8 or 32: set that",
        ),
        (BackboneSettings(output_stride=8), "backbone.output_stride = 8: small has 4: set that"),
        (
            replace(RESNET18, output_stride=32),
            "backbone.output_stride = 32: resnet18 has 8 or 16: set that",
        ),
    ],
)
def test_what_a_network_is_not_is_refused(settings: BackboneSettings, message: str):
    with pytest.raises(RecipeError, match=message):
        build_backbone(settings)


def test_each_name_of_the_recipe_has_its_network():
    assert tuple(NORM_LAYERS) == NORMS
    assert tuple(IMAGE_INPUTS) == INPUTS


def test_colours_become_what_the_weights_expect():
    colours = torch.tensor([[124.0, 116.0, 104.0], [255.0, 255.0, 255.0]])
    images = colours.t()[None, :, None]  # Two pixels.
    for name, expected in {
        "torchvision": [[0.0056, -0.0049, 0.0082], [2.2489, 2.4286, 2.6400]],
        "caffe": [[0.0, -1.0, 1.0], [151.0, 138.0, 132.0]],  # Blue, green, red.
    }.items():
        found = Normalise(IMAGE_INPUTS[name])(images)[0, :, 0].t()
        torch.testing.assert_close(found, torch.tensor(expected), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_no_image_hangs_on_the_others_of_its_batch_where_groups_are_normalised(name: str):
    torch.manual_seed(0)
    settings = BackboneSettings(name=name, norm="group")
    network = PSPNet(build_backbone(settings), num_classes=3)
    dark, bright = 40 * torch.rand(1, 3, 32, 48), 215 + 40 * torch.rand(1, 3, 32, 48)
    both = torch.cat([dark, bright])
    for mode in (True, False):
        network.train(mode)
        alone = torch.cat([network(dark), network(bright)])
        torch.testing.assert_close(network(both), alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(network.eval()(both), network.train()(both))


def test_frozen_statistics_stay_in_training_and_the_scale_is_learnt():
    images = 255 * torch.rand(2, 3, 32, 32)
    for norm in NORMS:
        torch.manual_seed(0)
        backbone = build_backbone(BackboneSettings(name="resnet18", norm=norm))
        before = {key: values.clone() for key, values in backbone.state_dict().items()}
        # `build_backbone` gives a network in training mode, and `train` must not unfreeze it.
        for network in (backbone, nn.Sequential(backbone).train()):
            network(images).sum().backward()
        changed = {
            key for key, v in backbone.state_dict().items() if not torch.equal(v, before[key])
        }
        statistics = {key for key in before if "running" in key or "num_batches" in key}
        assert changed == (statistics if norm == "batch" else set())
        norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(m.weight.grad is not None and m.bias.grad is not None for m in norms)
        if norm == "frozen":
            in_training = backbone(images)
            assert torch.equal(in_training, backbone.eval()(images))


def test_a_network_has_the_same_weights_whether_its_statistics_are_frozen_or_not():
    states = []
    for norm in ("batch", "frozen"):
        torch.manual_seed(0)
        states.append(build_backbone(replace(RESNET18, norm=norm)).state_dict())
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", ["small", "resnet18", "thin-resnet50", "timm:resnet18"])
def test_a_frozen_backbone_stays_as_it_is_under_what_is_trained_on_it(name: str):
    torch.manual_seed(0)
    network = PSPNet(build_backbone(BackboneSettings(name=name, frozen=True)), num_classes=2)
    network.train()
    backbone = network.trunk.backbone
    assert not any(module.training for module in backbone.modules())
    assert network.trunk.last.training
    before = {key: values.clone() for key, values in network.state_dict().items()}
    stage = StageSettings(steps=1, learning_rate=0.1)
    trained = trainable(network)
    assert not {id(p) for p in trained} & {id(p) for p in backbone.parameters()}
    optimizer = build_optimizer([{"params": trained}], DescentSettings(), stage)
    descend_once(optimizer, network(255 * torch.rand(2, 3, 64, 64)).square().mean())
    changed = {key for key, v in network.state_dict().items() if not torch.equal(v, before[key])}
    assert "classify.weight" in changed
    assert "trunk.last.0.weight" in changed
    assert not any(key.startswith("trunk.backbone.") for key in changed)


def test_a_frozen_backbone_keeps_its_statistics_in_many_processes(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(statistics, "count_processes", lambda: 2)
    for frozen in (False, True):
        backbone = build_backbone(replace(RESNET18, frozen=frozen))
        statistics.share_statistics(backbone)
        found = any(isinstance(m, statistics.SharedBatchNorm) for m in backbone.modules())
        assert found is not frozen
