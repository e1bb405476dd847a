"""The masks of detections: squares of cells over a box, as the mask head of Mask R-CNN gives them.

Paper: He et al., Mask R-CNN, ICCV 2017.
"""

import torch
from torch import Tensor

LEAST_SIDE = 1e-6
"""Pixels that a box is wide and high at least, so that one without any extent has a place."""


def enlarge_masks(masks: Tensor, boxes_xyxy: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return the probabilities of masks at some pixels, bilinearly: (..., H, W).

    Beyond its box a mask goes on as at its border. It undoes how torchvision cuts a target out of
    an image, where a pixel lies at its whole number. Deviation from torchvision: it rounds boxes to
    whole pixels here, and so enlarges small objects.

    Args:
        masks: (..., M, M) over the boxes.
        boxes_xyxy: (..., 4) in pixels, finite.
        rows: (H,) numbers of rows of pixels.
        columns: (W,) numbers of columns.
    """
    start = boxes_xyxy[..., :2]
    cells = masks.shape[-1] / (boxes_xyxy[..., 2:] - start).clamp(min=LEAST_SIDE)
    x = (columns - start[..., :1]) * cells[..., :1]
    y = (rows - start[..., 1:]) * cells[..., 1:]
    # No product of matrices, which a GPU would round: masks are compared with a threshold.
    return _interpolate(_interpolate(masks, y).mT, x).mT


def _interpolate(values: Tensor, places: Tensor) -> Tensor:
    """Return what lies at some places between rows of values: (..., N, K).

    Args:
        values: (..., M, K).
        places: (..., N), in rows, of which the first one goes from 0 to 1. Beyond the middle of the
            first and of the last one there is nothing else.
    """
    last = values.shape[-2] - 1
    # From the middle of the first row on.
    place = (places - 0.5).clamp(0, last)[..., None]
    before = place.long()
    of_each = (*before.shape[:-1], values.shape[-1])
    first = values.gather(-2, before.expand(of_each))
    second = values.gather(-2, (before + 1).clamp(max=last).expand(of_each))
    return torch.lerp(first, second, place - before)
