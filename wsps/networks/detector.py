"""Detect things with torchvision's Faster R-CNN or Mask R-CNN; detections are plain tensors.

Paper: Li, Arnab, Torr 2018, sec. 3.5 and 4.1; He et al., Mask R-CNN, ICCV 2017.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead

from wsps.detections import Detections
from wsps.networks.backbone import NORM_LAYERS, Backbone, build_backbone, conv_block
from wsps.networks.image_input import ImageInput, Normalise, find_input
from wsps.networks.pyramid import pyramid_network
from wsps.networks.roi_align import align_at
from wsps.recipe import BackboneSettings, InstanceSettings

_LARGEST_STRIDE = 32
"""Pixels a cell of the coarsest feature map of the backbones with levels of their own."""

_RESNET_STRIDES = (4, 8, 16, _LARGEST_STRIDE)
"""Of the levels of a ResNet that has its own."""

_OWN_LEVELS = ("small", "resnet18", "resnet50", "resnet101")
"""The backbones that give levels of their own where they learn."""

_MASK_CELLS = 14
"""Cells a side of what the mask head sees of a box; its masks have twice as many."""


class Detector(nn.Module):
    """Faster R-CNN over the things of a dataset.

    Args:
        backbone: `small` gives one feature level of stride 8 and slim heads, torchvision's ResNets
            give its feature pyramid, whose strides are its own. Others, and frozen ones, give a
            pyramid made of their one map; of a frozen one the features are given with the images.
            Its weights are not read: `start_from` gives better ones.
        thing_indices: class indices of the dataset's things; the network numbers them from 1.
        masks: whether it is a Mask R-CNN, whose detections have masks.
        max_detections: how many will be asked for in a photo; there are twice as many proposals.
    """

    def __init__(
        self,
        backbone: BackboneSettings,
        thing_indices: tuple[int, ...],
        *,
        masks: bool = False,
        max_detections: int = InstanceSettings.max_detections,
    ) -> None:
        super().__init__()
        self.has_masks = masks
        self.register_buffer("thing_indices", torch.tensor(thing_indices, dtype=torch.int64))
        num_classes, proposals = len(thing_indices) + 1, 2 * max_detections
        self._is_frozen = backbone.frozen
        self._body, cell = "0", _LARGEST_STRIDE
        if backbone.frozen or backbone.name not in _OWN_LEVELS:
            self.network = pyramid_network(replace(backbone, weights=None), num_classes, proposals)
            cell = self.network.backbone[-1].coarsest_stride
        elif backbone.name == "small":
            self.network = _small_network(replace(backbone, weights=None), num_classes, proposals)
        else:
            self._body = "body"
            levels = resnet_fpn_backbone(
                backbone_name=backbone.name,
                weights=None,
                norm_layer=NORM_LAYERS[backbone.norm],
                trainable_layers=5,
            )
            most = max(1000, proposals)  # Torchvision's own number.
            self.network = FasterRCNN(
                levels,
                num_classes=num_classes,
                rpn_pre_nms_top_n_test=most,
                rpn_post_nms_top_n_test=most,
                box_roi_pool=align_at(_RESNET_STRIDES, cells=7, samples=2),
            )
        if masks:
            _add_masks(self.network, num_classes)
        self.network.transform = _NormaliseAndPad(find_input(backbone), cell)
        # torchvision makes anchors of the type of the maps, and boxes of that of the heads' output:
        # bfloat16, which autocast gives, does not tell the pixels above 256 apart.
        for module in (
            self.network.backbone,
            self.network.rpn.head,
            self.network.roi_heads.box_predictor,
        ):
            module.register_forward_hook(_give_float32)

    def start_from(self, backbone: Backbone) -> None:
        """Take over the weights of a trained backbone of the same name.

        Learning to detect from nothing takes many more steps than a small study has. On a frozen
        backbone the detector has none of its own.
        """
        if self._is_frozen:
            return
        # A ResNet's weights fit though the segmenter's is dilated: dilation changes no shape.
        body = self.network.backbone.get_submodule(self._body)
        body.load_state_dict(backbone.layers.state_dict())

    def loss(
        self,
        images: Tensor,
        boxes: list[Tensor],
        class_indices: list[Tensor],
        masks: list[Tensor] | None = None,
        features: Tensor | None = None,
    ) -> Tensor:
        """Return the sum of Faster R-CNN's four losses, and that of the masks where it has them.

        Args:
            images: (B, 3, H, W) RGB of 0 to 255.
            boxes: for each image (N, 4) xyxy in pixels; N may be 0.
            class_indices: for each image (N,) class indices of things.
            masks: for each image (N, H, W), 1 where a pixel is the box's object and 0 where it is
                not, as `mask_targets` gives them; for a detector that has masks.
            features: (B, C, h, w) that the frozen backbone gives of them; None where it learns.
        """
        targets: list[dict[str, Tensor]] = [
            # Thing indices rise, so a search finds their places; torchvision's 0 is background.
            {"boxes": b, "labels": torch.searchsorted(self._things(), c) + 1}
            for b, c in zip(boxes, class_indices, strict=True)
        ]
        for target, of_image in zip(targets, masks or (), strict=False):
            target["masks"] = of_image
        losses: dict[str, Tensor] = self._run(images, targets, features)
        return torch.stack(list(losses.values())).sum()

    @torch.no_grad()
    def detect(
        self,
        images: Tensor,
        score_threshold: float,
        max_detections: int,
        features: Tensor | None = None,
        nms_threshold: float = InstanceSettings.nms_threshold,
    ) -> list[Detections]:
        """Return the best detections above a score, of each of (B, 3, H, W) RGB images.

        Of two boxes of one class with an IoU above `nms_threshold` the better one is kept.
        """
        # torchvision asks for the limits when it builds a network; its heads read them each time.
        heads = self.network.roi_heads
        heads.score_thresh, heads.detections_per_img = score_threshold, max_detections
        heads.nms_thresh = nms_threshold
        # torchvision's network gives detections in evaluation mode only.
        was_training = self.training
        self.eval()
        results: list[dict[str, Tensor]] = self._run(images, None, features)
        if was_training:
            self.train()
        return [
            Detections(
                boxes_xyxy=result["boxes"],
                class_indices=self._things()[result["labels"] - 1],
                scores=result["scores"],
                masks=result["masks"][:, 0].float() if self.has_masks else None,
            )
            for result in results
        ]

    def _run(self, images: Tensor, targets: Any, features: Tensor | None) -> Any:
        """Return what torchvision's network does: losses in training, else detections."""
        if features is None:
            return self.network(list(images), targets)
        # Its parts one by one, without the backbone that is frozen.
        levels = self.network.backbone(features)
        height, width = next(iter(levels.values())).shape[-2:]
        stride = self.network.backbone[-1].finest_stride
        # Anchors lie by the size of the images, whole cells of all levels; no pixel is looked at.
        cells = images.new_zeros(()).expand(len(images), 3, stride * height, stride * width)
        placed = ImageList(cells, [(images.shape[2], images.shape[3])] * len(images))
        proposals, losses = self.network.rpn(placed, levels, targets)
        found, more = self.network.roi_heads(levels, proposals, placed.image_sizes, targets)
        return losses | more if self.training else found

    def _things(self) -> Tensor:
        return self.get_buffer("thing_indices")


def _give_float32(_module: nn.Module, _given: Any, output: Any) -> Any:
    """Return what a part of the network gives, a tensor or several, in float32."""
    if isinstance(output, Tensor):
        return output.float()
    if isinstance(output, dict):
        return type(output)((name, maps.float()) for name, maps in output.items())
    return type(output)(_give_float32(_module, _given, one) for one in output)


class _NormaliseAndPad(nn.Module):
    """Stands where torchvision normalises and resizes: `wsps.data` has resized.

    After the colours the images are padded to whole cells of the feature maps, on which the places
    of the anchors depend.
    """

    def __init__(self, image_input: ImageInput, cell: int) -> None:
        super().__init__()
        self.normalise = Normalise(image_input)
        self.cell = cell

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None
    ) -> tuple[Any, list[dict[str, Tensor]] | None]:
        batch = self.normalise(torch.stack(images))
        height, width = batch.shape[-2:]
        # Only the right and the lower side grow, so that boxes keep their coordinates.
        padding = (0, -width % self.cell, 0, -height % self.cell)
        sizes_hw = [(height, width)] * len(images)
        return ImageList(functional.pad(batch, padding), sizes_hw), targets

    def postprocess(
        self, results: list[dict[str, Tensor]], _sizes_hw: Any, _original_sizes_hw: Any
    ) -> list[dict[str, Tensor]]:
        return results


def _add_masks(network: FasterRCNN, num_classes: int) -> None:
    """Make a Faster R-CNN a Mask R-CNN, as torchvision does it.

    The mask head has four layers, as torchvision's own, on the features of a ResNet, and two where
    these are slim.
    """
    channels = network.backbone.out_channels
    layers = (channels,) * (4 if channels >= 256 else 2)
    heads = network.roi_heads
    strides = [round(1 / scale) for scale in heads.box_roi_pool.scales]
    heads.mask_roi_pool = align_at(strides, cells=_MASK_CELLS, samples=2)
    heads.mask_head = MaskRCNNHeads(channels, layers, dilation=1)
    heads.mask_predictor = MaskRCNNPredictor(channels, channels, num_classes)
    # As with boxes: masks are enlarged and thresholds compared in single precision.
    heads.mask_predictor.register_forward_hook(_give_float32)


def _small_network(backbone: BackboneSettings, num_classes: int, proposals: int) -> FasterRCNN:
    own = build_backbone(backbone)
    features: Any = nn.Sequential(
        own.layers,  # Without the normalisation of colours, which is the detector's.
        conv_block(64, 64, own.norm_layer, stride=2),
        conv_block(64, 64, own.norm_layer),
    )
    features.out_channels = 64
    anchors = AnchorGenerator(sizes=((12, 20, 36, 64),), aspect_ratios=((0.45, 1.0, 2.5),))
    roi_size = 7
    # More than the things of a photo need are no better: what looks least like one is found, too.
    proposals = max(200, proposals)
    return FasterRCNN(
        features,
        # torchvision wants either a number of classes or a predictor, never both.
        num_classes=None,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(64, anchors.num_anchors_per_location()[0]),
        rpn_pre_nms_top_n_train=600,
        rpn_pre_nms_top_n_test=3 * proposals,
        rpn_post_nms_top_n_train=200,
        rpn_post_nms_top_n_test=proposals,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=64,
        box_roi_pool=align_at([2 * own.stride], cells=roi_size, samples=1),
        box_head=TwoMLPHead(64 * roi_size**2, 128),
        box_predictor=FastRCNNPredictor(128, num_classes),
    )
