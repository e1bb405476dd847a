"""Faster R-CNN from torchvision, and its detections as plain tensors.

Paper: Li, Arnab, Torr 2018, sec. 3.5 and 4.1.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from wsps.networks.backbone import conv_block


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Detections of one image, best first.

    `boxes_xyxy` (D, 4) are in pixels, `class_indices` (D,) the dataset's, `scores` (D,) in [0, 1].
    """

    boxes_xyxy: Tensor
    class_indices: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.scores)


class _PassThrough(GeneralizedRCNNTransform):
    """Batches images as they come: ours are normalised and sized by `wsps.data`."""

    def __init__(self) -> None:
        super().__init__(min_size=1, max_size=1, image_mean=[0.0], image_std=[1.0])

    def normalize(self, image: Tensor) -> Tensor:
        return image

    def resize(
        self, image: Tensor, target: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target


class Detector(nn.Module):
    """Faster R-CNN over the things of a dataset.

    Args:
        backbone: name of the backbone: `small` gives one feature level of stride 8 and slim
            heads, a ResNet gives torchvision's feature pyramid.
        thing_indices: class indices of the dataset's things; the network numbers them from 1.
    """

    def __init__(self, backbone: str, thing_indices: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("thing_indices", torch.tensor(thing_indices, dtype=torch.int64))
        num_classes = len(thing_indices) + 1
        self.network = (
            _small_network(num_classes)
            if backbone == "small"
            else FasterRCNN(
                resnet_fpn_backbone(backbone_name=backbone, weights=None, trainable_layers=5),
                num_classes=num_classes,
            )
        )
        self.network.transform = _PassThrough()

    def loss(self, images: Tensor, boxes: list[Tensor], class_indices: list[Tensor]) -> Tensor:
        """Return the sum of Faster R-CNN's four losses.

        Args:
            images: (B, 3, H, W), normalised.
            boxes: for each image (N, 4) xyxy in pixels; N may be 0.
            class_indices: for each image (N,) class indices of things.
        """
        targets = [
            {"boxes": b, "labels": torch.searchsorted(self._things(), c) + 1}
            for b, c in zip(boxes, class_indices, strict=True)
        ]
        losses: dict[str, Tensor] = self.network(list(images), targets)
        return torch.stack(list(losses.values())).sum()

    @torch.no_grad()
    def detect(
        self, images: Tensor, score_threshold: float, max_detections: int
    ) -> list[Detections]:
        """Return the detections of each of (B, 3, H, W) normalised images."""
        was_training = self.training
        self.eval()
        results: list[dict[str, Tensor]] = self.network(list(images))
        self.train(was_training)
        detections = []
        for result in results:
            keep = (result["scores"] >= score_threshold).nonzero()[:max_detections, 0]
            detections.append(
                Detections(
                    boxes_xyxy=result["boxes"][keep],
                    class_indices=self._things()[result["labels"][keep] - 1],
                    scores=result["scores"][keep],
                )
            )
        return detections

    def _things(self) -> Tensor:
        return self.get_buffer("thing_indices")


def _small_network(num_classes: int) -> FasterRCNN:
    features: Any = nn.Sequential(
        conv_block(3, 16, stride=2),
        conv_block(16, 32, stride=2),
        conv_block(32, 64, stride=2),
        conv_block(64, 64),
        conv_block(64, 64, dilation=2),
    )
    features.out_channels = 64
    anchors = AnchorGenerator(sizes=((8, 14, 24, 40, 64),), aspect_ratios=((0.4, 0.8, 2.0),))
    roi_size = 7
    return FasterRCNN(
        features,
        num_classes=None,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(64, anchors.num_anchors_per_location()[0]),
        rpn_pre_nms_top_n_train=600,
        rpn_pre_nms_top_n_test=600,
        rpn_post_nms_top_n_train=200,
        rpn_post_nms_top_n_test=200,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=64,
        box_roi_pool=MultiScaleRoIAlign(["0"], output_size=roi_size, sampling_ratio=2),
        box_head=TwoMLPHead(64 * roi_size**2, 128),
        box_predictor=FastRCNNPredictor(128, num_classes),
    )
