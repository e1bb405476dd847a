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
    across = _weights((columns - start[..., :1]) * cells[..., :1], masks.shape[-1])
    down = _weights((rows - start[..., 1:]) * cells[..., 1:], masks.shape[-1])
    return down @ masks @ across.mT


def _weights(places: Tensor, count: int) -> Tensor:
    """Return what linear interpolation takes of each of `count` cells: (..., N, count).

    Args:
        places: (..., N), in cells, of which the first one goes from 0 to 1.
        count: of cells.
    """
    middles = torch.arange(count, device=places.device) + 0.5
    inside = places.clamp(0.5, count - 0.5)
    return (1 - (inside[..., None] - middles).abs()).clamp(min=0)
