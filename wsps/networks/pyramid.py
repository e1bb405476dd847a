"""A detector on the one feature map that a backbone gives, through a pyramid made of it."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead

from wsps.networks.backbone import build_backbone, conv_block, group_norm
from wsps.networks.roi_align import align_at
from wsps.recipe import BackboneSettings

PYRAMID_CHANNELS = 64
"""Of each level: few, so that a step on a CPU takes a fraction of a second."""

LEVEL_SIZES = (1.5, 3.0, 6.0)
"""Sides of the anchors of a level, in its strides: from one level to the next they overlap."""


class Pyramid(nn.Module):
    """Four levels from one feature map: twice as fine, as it is, and twice and four times coarser.

    Source: Li, Mao, Girshick, He, Exploring Plain Vision Transformer Backbones for Object
    Detection, ECCV 2022, sec. 3, where the last map of the backbone gives all levels.
    """

    def __init__(self, in_channels: int, stride: int) -> None:
        super().__init__()
        self.finest_stride, self.coarsest_stride = stride // 2, stride * 4
        self.reduce = conv_block(in_channels, PYRAMID_CHANNELS, group_norm, kernel_size=1)
        self.finer = nn.ConvTranspose2d(PYRAMID_CHANNELS, PYRAMID_CHANNELS, 2, stride=2)
        self.levels = nn.ModuleList(
            # As in the source: a coarse map may be a single cell, its own mean in a small batch.
            conv_block(PYRAMID_CHANNELS, PYRAMID_CHANNELS, group_norm)
            for _ in range(4)
        )

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return the maps of the levels, the finest first, of (B, C, h, w) features."""
        reduced = self.reduce(features)
        # To whole cells of the coarsest level, on which the places of the anchors depend.
        height, width = reduced.shape[-2:]
        reduced = functional.pad(reduced, (0, -width % 4, 0, -height % 4))
        half = functional.max_pool2d(reduced, 2)
        maps = [self.finer(reduced), reduced, half, functional.max_pool2d(half, 2)]
        return {
            str(n): level(m) for n, (level, m) in enumerate(zip(self.levels, maps, strict=True))
        }


def pyramid_network(backbone: BackboneSettings, num_classes: int, proposals: int) -> FasterRCNN:
    """Return a detector on a pyramid of one map, whose backbone is left out where it is frozen.

    Args:
        backbone: gives the map; its weights, if it names some, are read.
        num_classes: things and the background.
        proposals: there are at least so many in a photo.
    """
    own = build_backbone(backbone)
    pyramid = Pyramid(own.out_channels, own.stride)
    features: Any = (
        nn.Sequential(pyramid) if backbone.frozen else nn.Sequential(own.layers, pyramid)
    )
    features.out_channels = PYRAMID_CHANNELS
    strides = [pyramid.finest_stride * 2**level for level in range(4)]
    sizes = tuple(tuple(round(s * side) for side in LEVEL_SIZES) for s in strides)
    ratios = (0.5, 1.0, 2.0)
    anchors = AnchorGenerator(sizes=sizes, aspect_ratios=(ratios,) * len(sizes))
    return FasterRCNN(
        features,
        num_classes=None,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(PYRAMID_CHANNELS, anchors.num_anchors_per_location()[0]),
        rpn_pre_nms_top_n_train=300,
        rpn_pre_nms_top_n_test=max(300, proposals),
        rpn_post_nms_top_n_train=200,
        rpn_post_nms_top_n_test=max(400, proposals),
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=64,
        box_roi_pool=align_at(strides, cells=7, samples=1),
        box_head=TwoMLPHead(PYRAMID_CHANNELS * 7**2, 128),
        box_predictor=FastRCNNPredictor(128, num_classes),
    )
