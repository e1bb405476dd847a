"""Build the convolutional feature extractors, each by its name."""

import pickle
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from annotools.errors import RecipeError


class Backbone(nn.Module):
    """A feature extractor that knows what it gives: (B, 3, H, W) -> (B, C, H / s, W / s).

    `out_channels` is C and `stride` is s.
    """

    def __init__(self, layers: nn.Module, out_channels: int, stride: int) -> None:
        super().__init__()
        self.layers = layers
        self.out_channels = out_channels
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of (B, 3, H, W) images."""
        features: Tensor = self.layers(images)
        return features


def conv_block(
    in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Return a 3 x 3 convolution, batch normalisation and rectifier."""
    return nn.Sequential(
        nn.Conv2d(
            in_channels,
            out_channels,
            kernel_size=3,
            stride=stride,
            padding=dilation,
            dilation=dilation,
            # Batch normalisation subtracts the mean, and any bias with it.
            bias=False,
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def small() -> Backbone:
    """Return four convolutions with output stride 4, for studies on a CPU.

    They see 31 pixels, less than a tagged crop, so that a heat map says where in it a class is.
    """
    layers = nn.Sequential(
        conv_block(3, 16, stride=2),
        conv_block(16, 32, stride=2),
        conv_block(32, 64),
        conv_block(64, 64),
    )
    return Backbone(layers, out_channels=64, stride=4)


def resnet50() -> Backbone:
    """Return ResNet-50 with output stride 8."""
    return _dilated_resnet(torchvision.models.resnet50)


def resnet101() -> Backbone:
    """Return ResNet-101 with output stride 8, the paper's. Paper: sec. 4.1 and B.1."""
    return _dilated_resnet(torchvision.models.resnet101)


BACKBONES: dict[str, Callable[[], Backbone]] = {
    "small": small,
    "resnet50": resnet50,
    "resnet101": resnet101,
}


def build_backbone(name: str, weights: Path | None = None) -> Backbone:
    """Return a backbone by name, with weights from a file where one is given.

    Args:
        name: a key of `BACKBONES`.
        weights: a state dict saved by `torch.save`, in torchvision's naming for a ResNet.

    Raises:
        RecipeError: for an unknown name, or weights that do not fit.
    """
    if name not in BACKBONES:
        raise RecipeError(f"unknown backbone {name!r}: use {', '.join(BACKBONES)}")
    backbone = BACKBONES[name]()
    if weights is not None:
        state = _load_state(weights)
        # What the file has besides, such as the classifier of ImageNet, is left out.
        wanted = backbone.layers.state_dict()
        for key, values in wanted.items():
            if key not in state:
                raise RecipeError(f"{weights}: does not fit {name}, {key} is missing")
            if state[key].shape != values.shape:
                raise RecipeError(f"{weights}: does not fit {name}, {key} has another shape")
        backbone.layers.load_state_dict({key: state[key] for key in wanted})
    return backbone


def _load_state(weights: Path) -> dict[str, Tensor]:
    if not weights.is_file():
        raise RecipeError(f"{weights}: no such file; backbone_weights names a state dict")
    try:
        # A pickle can run code when it is read; `weights_only` admits tensors and plain values.
        state = torch.load(weights, weights_only=True, map_location="cpu")
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise RecipeError(f"{weights}: not a state dict that torch.save wrote") from error
    if not isinstance(state, dict):
        raise RecipeError(f"{weights}: not a state dict but {type(state).__name__}")
    return state


def _dilated_resnet(builder: Callable[..., nn.Module]) -> Backbone:
    # The last two stages dilate where they would halve the map: stride 8 instead of 32, with
    # weights of the same shapes.
    network = builder(weights=None, replace_stride_with_dilation=[False, True, True])
    layers = nn.Sequential()
    for name, child in network.named_children():
        if name not in ("avgpool", "fc"):
            layers.add_module(name, child)
    return Backbone(layers, out_channels=2048, stride=8)
