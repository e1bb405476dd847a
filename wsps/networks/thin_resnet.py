"""ResNet-50 with half the channels, as Caffe had it: biases in place of batch normalisation.

Its strides are where Caffe's first ResNets have them: in the first convolution of a block and in
its shortcut. Where a batch normalisation has been folded into each convolution before it, what is
left is this network. Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

OUT_CHANNELS = 1024

_STAGES = ((3, 32, 1), (4, 64, 2), (6, 128, 2), (3, 256, 2))
"""Of each stage its blocks, the channels inside a block, and the stride of the first block."""

_POOLED = 3
"""Side of a window of the pooling."""


def thin_resnet50() -> nn.Sequential:
    """Return the network without its classifier: (B, 3, H, W) to (B, 1024, H / 32, W / 32).

    Images are BGR of 0 to 255 less their mean. Its children and its tensors have torchvision's
    names, `downsample` without a number. The weights are random, from torch's generator.
    """
    layers = nn.Sequential()
    layers.add_module("conv1", nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3))
    layers.add_module("relu", nn.ReLU(inplace=True))
    layers.add_module("maxpool", _CaffePool())
    channels = 64
    for number, (blocks, inside, stride) in enumerate(_STAGES, start=1):
        stage = [_Block(channels, inside, stride)]
        channels = inside * _Block.expansion
        stage += [_Block(channels, inside, stride=1) for _ in range(blocks - 1)]
        layers.add_module(f"layer{number}", nn.Sequential(*stage))
    _initialise(layers)
    return layers


class _CaffePool(nn.Module):
    """Max pooling that rounds the size of a map up, and pads a map that is less than a window."""

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[2:]
        # What comes is at least 0, so that a 0 more is never the largest.
        padding = (0, max(0, _POOLED - width), 0, max(0, _POOLED - height))
        return functional.max_pool2d(
            functional.pad(features, padding), _POOLED, stride=2, ceil_mode=True
        )


class _Block(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolution beside a shortcut."""

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, inside: int, stride: int) -> None:
        super().__init__()
        out_channels = inside * self.expansion
        self.conv1 = nn.Conv2d(in_channels, inside, kernel_size=1, stride=stride)
        self.conv2 = nn.Conv2d(inside, inside, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(inside, out_channels, kernel_size=1)
        # A stage's first block has more channels than what it is given, and may have half the size.
        self.downsample: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.downsample = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride)

    def forward(self, features: Tensor) -> Tensor:
        inner = functional.relu(self.conv1(features), inplace=True)
        inner = functional.relu(self.conv2(inner), inplace=True)
        return functional.relu(self.conv3(inner) + self.downsample(features), inplace=True)


@torch.no_grad()
def _initialise(layers: nn.Sequential) -> None:
    """Give each convolution He et al.'s random weights, in sizes that need no normalisation."""
    for module in layers.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    # Colours have a deviation of some 64 where others are normalised to 1.
    layers.get_submodule("conv1").get_parameter("weight").div_(64)
    # Each block adds to what it is given: without this the last would be hundreds of times larger.
    blocks = [module for module in layers.modules() if isinstance(module, _Block)]
    for block in blocks:
        block.conv3.weight.div_(math.sqrt(len(blocks)))
