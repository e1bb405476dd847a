"""PSPNet classifies each pixel after a backbone, pyramid pooling and a 3 x 3 convolution.

Source: Zhao et al., Pyramid Scene Parsing Network, CVPR 2017.
Paper: Li, Arnab, Torr 2018, sec. 3.5.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from annotools.errors import RecipeError
from wsps.networks.backbone import Backbone, conv_block

PYRAMID_BINS = (1, 2, 3, 6)
"""Cells per side of each pooling grid (Zhao et al. 2017, sec. 3.2)."""

FROZEN_CHANNELS = 256
"""Channels to which those of a frozen backbone are reduced first. Deviation from Zhao et al. 2017:
what is put on it is all that learns, and with all channels a step would take ten times as long."""


def resize(maps: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Return (B, C, h, w) maps at another size, bilinearly."""
    return functional.interpolate(maps, size=size_hw, mode="bilinear", align_corners=False)


class PSPTrunk(nn.Module):
    """Backbone, pyramid pooling and the last convolution (`conv5_4` in the paper's words)."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        channels = backbone.out_channels
        self.reduce: nn.Module = nn.Identity()
        if backbone.is_frozen and channels > FROZEN_CHANNELS:
            self.reduce = conv_block(channels, FROZEN_CHANNELS, backbone.norm_layer, kernel_size=1)
            channels = FROZEN_CHANNELS
        branch = channels // len(PYRAMID_BINS)
        # Deviation from Zhao et al. 2017: no batch normalisation here. In a batch of one image it
        # would make the one cell of the coarsest grid its own mean, and all that it says 0.
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, branch, kernel_size=1, bias=False), nn.ReLU())
            for _ in PYRAMID_BINS
        )
        self.out_channels = max(64, channels // 4)
        self.last = conv_block(
            channels + branch * len(PYRAMID_BINS),
            self.out_channels,
            backbone.norm_layer,
        )

    def forward(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        """Return (B, C', h, w) features of (B, 3, H, W) images.

        Args:
            images: RGB of 0 to 255.
            features: (B, C, h, w) that the backbone gives of them, None where they are not there.
        """
        return self.pool(self.backbone(images) if features is None else features)

    def pool(self, features: Tensor) -> Tensor:
        """Return the (B, C', h, w) features of the backbone's (B, C, h, w)."""
        features = self.reduce(features)
        pooled = [
            resize(branch(functional.adaptive_avg_pool2d(features, bins)), features.shape[-2:])
            for bins, branch in zip(PYRAMID_BINS, self.branches, strict=True)
        ]
        last: Tensor = self.last(torch.cat([features, *pooled], dim=1))
        return last  # (B, C', h, w)


class PSPNet(nn.Module):
    """Semantic segmentation: (B, 3, H, W) RGB images of 0 to 255 to (B, K, H, W) float32 logits.

    Args:
        backbone: that the trunk is put on.
        num_classes: K.
        auxiliary: whether there is a second classifier, on the features that the backbone's last
            stage is given; its loss helps training alone (Zhao et al. 2017, sec. 3.3).

    Features that the backbone gives of the images may be given beside them, where they are there
    already.

    Raises:
        RecipeError: for an auxiliary classifier on a backbone without stages.
    """

    def __init__(self, backbone: Backbone, num_classes: int, auxiliary: bool = False) -> None:
        super().__init__()
        self.trunk = PSPTrunk(backbone)
        self.classify = nn.Conv2d(self.trunk.out_channels, num_classes, kernel_size=1)
        self.auxiliary: nn.Module | None = None
        if auxiliary:
            channels = backbone.middle_channels
            if channels is None:
                raise RecipeError(
                    "semantic.auxiliary_weight is above 0, but the backbone has no stage for an "
                    "auxiliary loss: set it to 0, or choose a ResNet"
                )
            hidden = channels // 4
            self.auxiliary = nn.Sequential(
                conv_block(channels, hidden, backbone.norm_layer),
                nn.Conv2d(hidden, num_classes, kernel_size=1),
            )

    def forward(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        """Return (B, K, H, W) logits of (B, 3, H, W) images."""
        return self._logits(self.classify, self.trunk(images, features), images)

    def both_logits(
        self, images: Tensor, features: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the logits and those of the auxiliary classifier, None where there is none.

        The auxiliary one needs what the last stage is given, and so the whole backbone.
        """
        if self.auxiliary is None:
            return self(images, features), None
        features, middle = self.trunk.backbone.with_middle(images)
        logits = self._logits(self.classify, self.trunk.pool(features), images)
        return logits, self._logits(self.auxiliary, middle, images)

    def _logits(self, classify: nn.Module, features: Tensor, images: Tensor) -> Tensor:
        # In float32 whatever autocast says: the losses and probabilities are computed from them.
        with torch.autocast(features.device.type, enabled=False):
            return resize(classify(features.float()), images.shape[-2:])
