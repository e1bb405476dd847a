"""PSPNet classifies each pixel after a backbone, pyramid pooling and a 3 x 3 convolution.

Source: Zhao et al., Pyramid Scene Parsing Network, CVPR 2017.
Paper: Li, Arnab, Torr 2018, sec. 3.5.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsps.networks.backbone import Backbone, conv_block

PYRAMID_BINS = (1, 2, 3, 6)
"""Cells per side of each pooling grid (Zhao et al. 2017, sec. 3.2)."""


def resize(maps: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Return (B, C, h, w) maps at another size, bilinearly."""
    return functional.interpolate(maps, size=size_hw, mode="bilinear", align_corners=False)


class PSPTrunk(nn.Module):
    """Backbone, pyramid pooling and the last convolution (`conv5_4` in the paper's words)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        channels = backbone.out_channels
        branch = channels // len(PYRAMID_BINS)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, branch, kernel_size=1, bias=False), nn.ReLU())
            for _ in PYRAMID_BINS
        )
        self.out_channels = max(64, channels // 4)
        self.last = conv_block(channels + branch * len(PYRAMID_BINS), self.out_channels)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, C', h, w) features of (B, 3, H, W) images."""
        features = self.backbone(images)  # (B, C, h, w)
        pooled = [
            resize(branch(functional.adaptive_avg_pool2d(features, bins)), features.shape[-2:])
            for bins, branch in zip(PYRAMID_BINS, self.branches, strict=True)
        ]
        last: Tensor = self.last(torch.cat([features, *pooled], dim=1))
        return last  # (B, C', h, w)


class PSPNet(nn.Module):
    """Semantic segmentation: (B, 3, H, W) images to (B, K, H, W) logits."""

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.trunk = PSPTrunk(backbone)
        self.classify = nn.Conv2d(self.trunk.out_channels, num_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, K, H, W) logits of (B, 3, H, W) images."""
        logits = self.classify(self.trunk(images))  # (B, K, h, w)
        return resize(logits, images.shape[-2:])
