"""The dynamically instantiated instance subnetwork is a CRF whose labels are detections.

Every detection is one label, and every stuff class one more through a dummy detection that
covers the image with score 1. Mean-field inference, unrolled, partitions the semantic
segmentation among them; all of it is differentiable, and the number of labels may change from
image to image because no weight belongs to a label.

Paper: Li, Arnab, Torr 2018, sec. 3.5, eq. 2-4; Arnab and Torr, CVPR 2017.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsps.networks.detector import Detections

EPSILON = 1e-6
"""Keeps the logarithm of eq. 2 finite where a label has no support."""

POSITION_SIGMA = 3.0
"""Standard deviation of both kernels in pixels."""
COLOUR_SIGMA = 0.35
"""Standard deviation of the bilateral kernel in normalised colour."""

_STEPS = (-4, -2, 0, 2, 4)
_REACH = 4
_OFFSETS = tuple((dy, dx) for dy in _STEPS for dx in _STEPS if (dy, dx) != (0, 0))
"""Neighbours of a pixel that the pairwise term looks at: a 9 x 9 window, every other pixel."""


@dataclass(frozen=True, kw_only=True)
class InstanceMarginals:
    """What mean field believes: `log_q` (L, H, W) over L labels, things first, then stuff.

    `class_indices` (L,) and `scores` (L,) belong to the labels; the first `num_things` labels are
    detections, in their order.
    """

    log_q: Tensor
    class_indices: Tensor
    scores: Tensor
    num_things: int


class InstanceSubnetwork(nn.Module):
    """Unary terms from boxes and semantics, Potts pairwise term with two kernels.

    The box weight, global weight and kernel weights are learnt, kept positive by a softplus and
    shared by all labels, because labels have no fixed identity.

    Args:
        stuff_indices: class indices of the dataset's stuff.
    """

    def __init__(self, stuff_indices: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("stuff_indices", torch.tensor(stuff_indices, dtype=torch.int64))
        self.box_weight = nn.Parameter(_inverse_softplus(1.0))
        self.global_weight = nn.Parameter(_inverse_softplus(0.2))
        self.position_weight = nn.Parameter(_inverse_softplus(0.5))
        self.bilateral_weight = nn.Parameter(_inverse_softplus(1.5))

    def forward(
        self, semantic: Tensor, image: Tensor, detections: Detections, iterations: int
    ) -> InstanceMarginals:
        """Partition one image's semantic segmentation among its detections and stuff.

        Args:
            semantic: (K, H, W) class probabilities; the gradient flows into them.
            image: (3, H, W), normalised.
            detections: of this image; no gradient flows into them. May be empty.
            iterations: of mean field.
        """
        stuff = self.get_buffer("stuff_indices")
        class_indices = torch.cat([detections.class_indices, stuff])
        sure = detections.scores.new_ones(len(stuff))
        scores = torch.cat([detections.scores.detach(), sure])
        support = self._support(semantic, detections, class_indices, scores)
        unary = torch.log(support + EPSILON)  # (L, H, W), minus the energy of eq. 2
        log_q = functional.log_softmax(unary, dim=0)
        near, alike = _pairwise_kernel(image)
        # The message is linear in the kernels: their sum, made once, needs one filter an iteration.
        kernel = (
            functional.softplus(self.position_weight) * near
            + functional.softplus(self.bilateral_weight) * alike
        )  # (O, H, W)
        for _ in range(iterations):
            # Potts: paying for unlike neighbours is, up to a constant, a reward for like ones.
            log_q = functional.log_softmax(unary + _WindowFilter.apply(log_q.exp(), kernel), dim=0)
        return InstanceMarginals(
            log_q=log_q,
            class_indices=class_indices,
            scores=scores,
            num_things=len(detections),
        )

    def _support(
        self, semantic: Tensor, detections: Detections, class_indices: Tensor, scores: Tensor
    ) -> Tensor:
        """Return the weighted box and global terms of eq. 2: (L, H, W)."""
        class_probability = semantic[class_indices]  # (L, H, W)
        inside = torch.ones_like(class_probability)
        inside[: len(detections)] = boxes_to_masks(detections.boxes_xyxy, semantic.shape[-2:])
        box_term = scores[:, None, None] * class_probability * inside
        return (
            functional.softplus(self.box_weight) * box_term
            + functional.softplus(self.global_weight) * class_probability
        )


def boxes_to_masks(boxes_xyxy: Tensor, size_hw: tuple[int, int] | torch.Size) -> Tensor:
    """Return (D, H, W) masks, 1.0 at pixels whose centre lies in the (D, 4) box."""
    y = torch.arange(size_hw[0], device=boxes_xyxy.device) + 0.5
    x = torch.arange(size_hw[1], device=boxes_xyxy.device) + 0.5
    x0, y0, x1, y1 = boxes_xyxy.unbind(dim=1)
    in_x = (x >= x0[:, None]) & (x < x1[:, None])  # (D, W)
    in_y = (y >= y0[:, None]) & (y < y1[:, None])  # (D, H)
    return (in_y[:, :, None] & in_x[:, None, :]).float()


def _pairwise_kernel(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return the position and the bilateral kernel of one image: (O, H, W) each.

    O runs over the neighbours of `_OFFSETS`. At every pixel each kernel sums to one over the
    neighbours inside the image.
    """
    height, width = image.shape[-2:]
    padded = functional.pad(image, (_REACH,) * 4)
    inside = functional.pad(image.new_ones(height, width), (_REACH,) * 4)
    position, bilateral = [], []
    for offset in _OFFSETS:
        distance = (offset[0] ** 2 + offset[1] ** 2) / (2 * POSITION_SIGMA**2)
        difference = _shifted(padded, offset, height, width) - image
        colour = (difference**2).sum(dim=0) / (2 * COLOUR_SIGMA**2)
        valid = _shifted(inside, offset, height, width)
        # It is 0 inside and minus infinity outside, where the softmax then gives no weight.
        outside = torch.log(valid)
        position.append(outside - distance)
        bilateral.append(outside - distance - colour)
    return torch.stack(position).softmax(dim=0), torch.stack(bilateral).softmax(dim=0)


class _WindowFilter(torch.autograd.Function):
    """Each label's (L, H, W) beliefs summed over the neighbours, weighted by an (O, H, W) kernel.

    Written out because autograd would allocate a padded map for each neighbour and iteration.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(q, kernel)
        padded = functional.pad(q, (_REACH,) * 4)
        message = torch.zeros_like(q)
        for weight, offset in zip(kernel, _OFFSETS, strict=True):
            message.addcmul_(weight, _shifted(padded, offset, *q.shape[-2:]))
        return message

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = gradients
        q, kernel = ctx.saved_tensors
        padded = functional.pad(q, (_REACH,) * 4)
        to_padded = torch.zeros_like(padded)
        to_kernel = torch.empty_like(kernel)
        for place, (weight, offset) in enumerate(zip(kernel, _OFFSETS, strict=True)):
            # This slice is a view: the addition goes back to the place of the neighbour.
            _shifted(to_padded, offset, *q.shape[-2:]).addcmul_(weight, gradient)
            neighbour = _shifted(padded, offset, *q.shape[-2:])
            to_kernel[place] = (gradient * neighbour).sum(dim=0)
        return _shifted(to_padded, (0, 0), *q.shape[-2:]), to_kernel


def _shifted(padded: Tensor, offset: tuple[int, int], height: int, width: int) -> Tensor:
    top, left = _REACH + offset[0], _REACH + offset[1]
    return padded[..., top : top + height, left : left + width]


def _inverse_softplus(value: float) -> Tensor:
    return torch.tensor(math.log(math.expm1(value)))
