from pathlib import Path

import pytest
import torch
from torch import nn

from tests.real_data import DATA
from wsps.networks.backbone import Backbone, build_backbone
from wsps.networks.thin_resnet import thin_resnet50
from wsps.recipe import BackboneSettings

FILE = DATA.parent / "weights/thin_resnet50.pt"


def build(output_stride: int | None = None, weights: Path | None = None) -> Backbone:
    torch.manual_seed(0)
    named = None if weights is None else str(weights)
    settings = BackboneSettings(name="thin-resnet50", output_stride=output_stride, weights=named)
    return build_backbone(settings).eval()


def check_dilation(weights: Path | None) -> None:
    """Where the undilated network has a value, the dilated ones have the same."""
    # No multiple of any stride.
    images = 255 * torch.rand(1, 3, 70, 101, dtype=torch.float64)
    with torch.no_grad():
        undilated = build(32, weights).double()(images)
        for output_stride, step in ((16, 2), (8, 4)):
            dilated = build(output_stride, weights).double()(images)
            torch.testing.assert_close(dilated[..., ::step, ::step], undilated)


@pytest.mark.parametrize(("asked", "stride"), [(None, 16), (8, 8), (16, 16), (32, 32)])
def test_it_gives_the_channels_and_the_stride_it_announces(asked: int | None, stride: int):
    backbone = build(asked)
    assert (backbone.out_channels, backbone.stride, backbone.middle_channels) == (1024, stride, 512)
    with torch.no_grad():
        features, middle = backbone.with_middle(torch.zeros(1, 3, 64, 96))
    assert features.shape == (1, 1024, 64 // stride, 96 // stride)
    assert middle.shape == (1, 512, 64 // min(stride, 16), 96 // min(stride, 16))


def test_it_has_the_tensors_of_a_resnet_50_without_batch_norms():
    tensors = build().layers.state_dict()
    convolutions = [values for values in tensors.values() if values.ndim == 4]
    # One at the start, 16 blocks of three, and a projection at the start of each of four stages.
    assert len(convolutions) == 1 + 16 * 3 + 4 == 53
    assert len(tensors) == 106
    assert sum(values.numel() for values in tensors.values()) == 5_889_216
    assert tensors["layer3.0.downsample.weight"].shape == (512, 256, 1, 1)
    assert tensors["layer4.2.conv3.bias"].shape == (1024,)


def test_strides_are_where_caffe_has_them():
    layers = thin_resnet50()
    for stage, stride in (("layer1", 1), ("layer2", 2), ("layer3", 2), ("layer4", 2)):
        first = layers.get_submodule(stage)[0]
        found = [
            first.get_submodule(name).stride for name in ("conv1", "conv2", "conv3", "downsample")
        ]
        assert found == [(stride, stride), (1, 1), (1, 1), (stride, stride)]


def test_the_pool_pads_nothing_and_rounds_up():
    numbers = torch.arange(16.0).view(1, 1, 4, 4)
    # Rows and columns 0 to 2, and what is left of 2 to 4.
    assert thin_resnet50().maxpool(numbers).tolist() == [[[[10, 11], [14, 15]]]]


@pytest.mark.parametrize("size_hw", [(1, 300), (300, 3), (1, 1)])
def test_a_strip_of_a_photo_is_seen(size_hw: tuple[int, int]):
    with torch.no_grad():
        seen = build(16)(torch.zeros(1, 3, *size_hw))
    assert seen.shape[2:] == tuple(-(-side // 16) for side in size_hw)


def test_dilation_keeps_the_features_at_every_skipped_pixel():
    check_dilation(None)


def test_the_mean_colour_of_caffe_is_nothing_to_see():
    backbone = build()
    seen: list[torch.Tensor] = []
    backbone.layers[0].register_forward_hook(lambda _module, given, _out: seen.append(given[0]))
    colour = torch.tensor([123.0, 117.0, 105.0]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    backbone(colour)
    assert seen[0][0, :, 0, 0].tolist() == [1, 0, 0]  # Blue comes first.


def test_random_weights_can_be_trained():
    torch.manual_seed(1)
    images = 255 * torch.rand(8, 3, 64, 64)
    images[4:, 0] /= 4  # The other four are less red.
    backbone = build().train()
    assert 0.1 < float(backbone(images).std().detach()) < 10
    head = nn.Linear(1024, 1)
    parameters = [*backbone.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-4)
    wanted = (torch.arange(8) < 4).float()
    for _ in range(12):
        logits = head(backbone(images).mean(dim=(2, 3)))[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert loss < 0.1


@pytest.mark.skipif(not FILE.is_file(), reason=f"no weights at {FILE}")
def test_real_weights_fit_and_dilation_keeps_what_they_see():
    stored = torch.load(FILE, weights_only=True)
    tensors = build(weights=FILE).layers.state_dict()
    assert len(stored) == 106
    assert set(tensors) == set(stored)
    assert all(values.dtype == torch.float32 for values in tensors.values())
    assert all(torch.equal(values, stored[key].float()) for key, values in tensors.items())
    check_dilation(FILE)
