from pathlib import Path

import pytest
import torch

from annotools.errors import RecipeError
from wsps.networks.backbone import BACKBONES, build_backbone


@pytest.mark.parametrize("name", ["small", "resnet50"])
def test_a_backbone_gives_the_channels_and_the_stride_it_announces(name: str):
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 64, 96))
    size = (64 // backbone.stride, 96 // backbone.stride)
    assert features.shape == (1, backbone.out_channels, *size)


def test_weights_are_read_from_a_file_and_what_it_has_beyond_is_left_out(tmp_path: Path):
    path = tmp_path / "weights.pt"
    saved = build_backbone("small")
    torch.save(saved.layers.state_dict() | {"fc.weight": torch.zeros(2)}, path)
    loaded = build_backbone("small", path)
    for name, values in saved.state_dict().items():
        assert torch.equal(values, loaded.state_dict()[name])


def test_weights_that_do_not_fit_are_named(tmp_path: Path):
    path = tmp_path / "weights.pt"
    state = build_backbone("small").layers.state_dict()
    name = next(iter(state))
    torch.save({key: values for key, values in state.items() if key != name}, path)
    with pytest.raises(RecipeError, match=f"does not fit small, {name} is missing"):
        build_backbone("small", path)
    torch.save(state | {name: torch.zeros(1)}, path)
    with pytest.raises(RecipeError, match=f"does not fit small, {name} has another shape"):
        build_backbone("small", path)
    with pytest.raises(RecipeError, match="no such file"):
        build_backbone("small", tmp_path / "none.pt")
    path.write_bytes(b"not weights")
    with pytest.raises(RecipeError, match=r"weights\.pt: not a state dict"):
        build_backbone("small", path)


def test_an_unknown_backbone_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError, match=f"unknown backbone 'vgg': use {', '.join(BACKBONES)}"):
        build_backbone("vgg")
