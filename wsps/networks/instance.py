"""The dynamically instantiated instance subnetwork is a CRF whose labels are detections.

Every detection is one label, and every stuff class one more through a dummy detection that
covers the image with score 1. Mean-field inference, unrolled, partitions the semantic
segmentation among them; all of it is differentiable, and the number of labels may change from
image to image because no weight belongs to a label.

Paper: Li, Arnab, Torr 2018, sec. 3.5, eq. 2-4; Arnab and Torr, CVPR 2017.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from annotools.categories import CategorySet
from annotools.errors import name_place
from wsps.crf.mean_field import build_kernels, infer_labels
from wsps.detections import Detections
from wsps.networks.masks import enlarge_masks
from wsps.recipe import PHOTO_SIDE, InstanceSettings

EPSILON = 1e-6
"""Keeps the logarithm of eq. 2 finite where a label has no support."""

NO_LABEL = -1e4
"""Evidence for what is no label. Its belief is 0 beside any label, but in an image that has none at
all the beliefs stay numbers."""


@dataclass(frozen=True, kw_only=True)
class InstanceLabels:
    """The L labels of each of B images: detections, then stuff, then none up to the longest list.

    `class_indices` and `scores` are (B, L); `boxes_xyxy` (B, L, 4) are in pixels, infinite for
    stuff; `is_thing` and `is_label` (B, L) say what is a detection, and what is a label at all.
    `masks` (B, L, M, M) are those of the detections, 0 for other labels; None where the detector
    gives none.
    """

    class_indices: Tensor
    scores: Tensor
    boxes_xyxy: Tensor
    is_thing: Tensor
    is_label: Tensor
    masks: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class InstanceMarginals:
    """What mean field believes: `log_q` (B, L, H, W) over the labels, about `NO_LABEL` for none."""

    log_q: Tensor
    labels: InstanceLabels


class InstanceSubnetwork(nn.Module):
    """Unary terms from boxes and semantics, Potts pairwise term with two kernels.

    The weights of terms and kernels are learnt, kept positive by a softplus and shared by all
    labels, because labels have no fixed identity. Where the mask weight begins at 0 there is no
    mask term; where not, the detections need masks.

    Args:
        categories: of the dataset. The background that Pascal VOC has has the global term alone.
        settings: where the weights start, and the reach of the kernels.
    """

    def __init__(self, categories: CategorySet, settings: InstanceSettings) -> None:
        super().__init__()
        stuff = torch.tensor(categories.stuff_indices, dtype=torch.int64)
        self.register_buffer("stuff_indices", stuff)
        self.background_index = categories.background_index
        self.settings = settings
        self.box_weight = _positive(settings.box_weight)
        self.global_weight = _positive(settings.global_weight)
        self.gaussian_weight = _positive(settings.kernels.gaussian_weight)
        self.bilateral_weight = _positive(settings.kernels.bilateral_weight)
        if settings.mask_weight:
            self.mask_weight = _positive(settings.mask_weight)

    def forward(
        self,
        semantic: Tensor,
        images: Tensor,
        photo_sides: Tensor,
        detections: Sequence[Detections],
        iterations: int,
    ) -> InstanceMarginals:
        """Partition each image's semantic segmentation among its detections and stuff.

        Args:
            semantic: (B, K, H, W) class probabilities; the gradient flows into them.
            images: (B, 3, H, W) RGB of 0 to 255; no gradient flows into them.
            photo_sides: (B,) longer side, in pixels, of the photo that each image is a part of.
            detections: of each image; no gradient flows into them. May be empty. They have masks
                where the mask weight began above 0.
            iterations: of mean field.

        Raises:
            RecipeError: where a kernel's reach is far too small for the images.
        """
        labels = list_labels(detections, self.get_buffer("stuff_indices"))
        # Logarithms and sums over thousands of pixels need float32 whatever autocast says.
        with torch.autocast(semantic.device.type, enabled=False):
            log_q = self._infer(
                _precise(semantic), _precise(images), photo_sides, labels, iterations
            )
        return InstanceMarginals(log_q=log_q, labels=labels)

    def weights(self) -> Tensor:
        """Return the learnt weights, as they multiply, in the order of `named_parameters`."""
        return functional.softplus(torch.stack([w.detach() for w in self.parameters()]))

    def _infer(
        self,
        semantic: Tensor,
        images: Tensor,
        photo_sides: Tensor,
        labels: InstanceLabels,
        iterations: int,
    ) -> Tensor:
        """Return what mean field believes: (B, L, H, W)."""
        support = self._support(semantic, labels)  # (B, L, H, W)
        evidence = torch.log(support + EPSILON)  # minus the energy of eq. 2
        evidence = evidence.masked_fill(~labels.is_label[:, :, None, None], NO_LABEL)
        by_pixel = evidence.flatten(2).transpose(1, 2).contiguous()  # (B, H W, L)
        scales = photo_sides.to(images.dtype) / PHOTO_SIDE
        with name_place("instance.kernels"):
            near, alike = build_kernels(images.detach(), self.settings.kernels, scales, "after")
        kernels = [
            (near, functional.softplus(self.gaussian_weight)),
            (alike, functional.softplus(self.bilateral_weight)),
        ]
        log_q = infer_labels(by_pixel, kernels, iterations)
        return log_q.transpose(1, 2).view(*labels.is_label.shape, *semantic.shape[2:])

    def _support(self, semantic: Tensor, labels: InstanceLabels) -> Tensor:
        """Return the weighted terms of eq. 2, and that of masks: (B, L, H, W)."""
        images, num_labels = labels.class_indices.shape
        first_row = torch.arange(images, device=semantic.device)[:, None] * semantic.shape[1]
        # Whole rows are picked: their gradient is added up in a fixed order, on a GPU as well.
        rows = semantic.flatten(0, 1)[(first_row + labels.class_indices).flatten()]
        class_probability = rows.view(images, num_labels, *semantic.shape[2:])  # (B, L, H, W)
        inside = boxes_to_masks(labels.boxes_xyxy, semantic.shape[2:])
        scores = labels.scores
        if self.settings.soften_scores:
            scores = torch.where(labels.is_thing, torch.sigmoid(2 * scores - 1), scores)
        if self.background_index is not None:
            scores = scores.masked_fill(labels.class_indices == self.background_index, 0.0)
        box_term = scores[:, :, None, None] * class_probability * inside
        # Deviation from the paper: its global term knows no distance.
        near = boxes_to_masks(grow_boxes(labels, self.settings.reach), semantic.shape[2:])
        weight = functional.softplus(self.box_weight)
        if self.settings.mask_weight:
            # Deviation from the paper, in the place of the shapes of Arnab and Torr 2017.
            masks = spread_masks(labels, semantic.shape[2:])
            weight = weight + functional.softplus(self.mask_weight) * masks
        by_box = weight * box_term
        return by_box + functional.softplus(self.global_weight) * class_probability * near


def list_labels(detections: Sequence[Detections], stuff_indices: Tensor) -> InstanceLabels:
    """Return the labels of images: each one's detections, then the (S,) stuff classes."""
    count = len(stuff_indices)
    longest = max(len(found) for found in detections) + count
    columns: list[tuple[Tensor, ...]] = []
    for found in detections:
        none = longest - count - len(found)
        sure = found.scores.new_ones(count)
        # Filled where it lies: from a list of numbers a GPU would be waited for.
        everywhere = found.boxes_xyxy.new_full((count, 4), math.inf)
        everywhere[:, :2] = -math.inf
        columns.append(
            (
                functional.pad(torch.cat([found.class_indices, stuff_indices]), (0, none)),
                functional.pad(torch.cat([found.scores.detach(), sure]), (0, none)),
                functional.pad(torch.cat([found.boxes_xyxy, everywhere]), (0, 0, 0, none)),
                torch.arange(longest, device=sure.device) < len(found),
                torch.arange(longest, device=sure.device) < len(found) + count,
            )
        )
    classes, scores, boxes, is_thing, is_label = (
        torch.stack(column) for column in zip(*columns, strict=True)
    )
    masks = [found.masks for found in detections if found.masks is not None]
    assert len(masks) in (0, len(detections))
    return InstanceLabels(
        class_indices=classes,
        scores=scores,
        boxes_xyxy=boxes,
        is_thing=is_thing,
        is_label=is_label,
        masks=pad_masks(masks, longest) if masks else None,
    )


def pad_masks(masks: Sequence[Tensor], longest: int) -> Tensor:
    """Return the (D, M, M) masks of each image as (B, longest, M, M), 0 beyond the last."""
    return torch.stack(
        [
            functional.pad(of_image.detach(), (0, 0) * 2 + (0, longest - len(of_image)))
            for of_image in masks
        ]
    )


def spread_masks(labels: InstanceLabels, size_hw: Sequence[int]) -> Tensor:
    """Return what the mask of each label is at each pixel: (B, L, H, W), 1 for stuff.

    Beyond its box a mask goes on as at its border.
    """
    masks, is_thing = labels.masks, labels.is_thing[..., None]
    assert masks is not None
    # Stuff has no finite box, and no mask that would need one.
    boxes = labels.boxes_xyxy.masked_fill(~is_thing, 0.0)
    rows, columns = (torch.arange(side, device=masks.device) for side in size_hw)
    spread = enlarge_masks(masks, boxes, rows, columns)
    return spread.masked_fill(~is_thing[..., None], 1.0)


def grow_boxes(labels: InstanceLabels, reach: float) -> Tensor:
    """Return the (B, L, 4) boxes with `reach` times their sides more on each side; stuff's stay."""
    margins = reach * (labels.boxes_xyxy[..., 2:] - labels.boxes_xyxy[..., :2])
    grown = labels.boxes_xyxy + torch.cat([-margins, margins], dim=-1)
    return torch.where(labels.is_thing[..., None], grown, labels.boxes_xyxy)


def boxes_to_masks(boxes_xyxy: Tensor, size_hw: Sequence[int]) -> Tensor:
    """Return (..., H, W) masks, 1.0 at pixels whose centre lies in the (..., 4) box."""
    y = torch.arange(size_hw[0], device=boxes_xyxy.device) + 0.5
    x = torch.arange(size_hw[1], device=boxes_xyxy.device) + 0.5
    x0, y0, x1, y1 = boxes_xyxy[..., None].unbind(dim=-2)
    in_x = (x >= x0) & (x < x1)  # (..., W)
    in_y = (y >= y0) & (y < y1)  # (..., H)
    return (in_y[..., :, None] & in_x[..., None, :]).float()


def _precise(values: Tensor) -> Tensor:
    """Return the values in float32, or in float64 where they have it."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _positive(value: float) -> nn.Parameter:
    """Return a weight whose softplus is a value of at least 0; at 0 it stays there."""
    # The logarithm of exp(value) - 1, which would overflow.
    return nn.Parameter(value + torch.tensor(-value).expm1().neg().log())
