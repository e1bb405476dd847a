"""What a mask head learns of each box: where the label says that its object is."""

import torch
from torch import Tensor
from torchvision.ops import box_iou

from annotools.categories import IGNORE_INDEX
from wsps.data import Batch

UNKNOWN = 0.5
"""Target of a pixel of which nobody knows whether it is the object's.

Deviation from He et al. 2017: torchvision's mask loss, a binary cross-entropy, cannot leave out a
pixel. A target of one half pulls to neither side: there the loss is least where the mask is unsure.
"""

MIN_IOU = 0.5
"""A box is of an instance whose extent overlaps it at least so much."""


def batch_masks(batch: Batch) -> list[Tensor]:
    """Return the mask targets of the boxes of each image of a batch."""
    return [
        mask_targets(boxes, box_classes, classes, instances)
        for boxes, box_classes, classes, instances in zip(
            batch.boxes, batch.box_classes, batch.classes, batch.instances, strict=True
        )
    ]


def mask_targets(
    boxes_xyxy: Tensor, box_classes: Tensor, classes: Tensor, instances: Tensor
) -> Tensor:
    """Return for each box of an image where its object is: (N, H, W) of 0, 1 and `UNKNOWN`.

    The object of a box is the instance of its class whose extent has the largest IoU with it, at
    least `MIN_IOU`; of a box without one nothing is known anywhere. Inside the box nothing is known
    of pixels without a class, nor of those of the box's class whose instance is not known; outside
    it they are not the object's, which ends there.

    Args:
        boxes_xyxy: (N, 4) in pixels, half-open; N may be 0.
        box_classes: (N,) class indices of things.
        classes: (H, W) class indices, `IGNORE_INDEX` where unknown.
        instances: (H, W) instance numbers, 0 where none is known.
    """
    numbers = torch.unique(instances[instances > 0])
    is_instance = instances == numbers[:, None, None]  # (I, H, W)
    extents, instance_classes = _measure(is_instance, classes)
    ious = box_iou(boxes_xyxy, extents)  # (N, I)
    ious = torch.where(box_classes[:, None] == instance_classes, ious, 0.0)
    rows, columns = (torch.arange(side, device=classes.device) + 0.5 for side in classes.shape)
    targets = []
    for box, box_class, overlap in zip(boxes_xyxy, box_classes, ious, strict=True):
        if not len(overlap) or overlap.max() < MIN_IOU:
            targets.append(torch.full(classes.shape, UNKNOWN, device=classes.device))
            continue
        x0, y0, x1, y1 = box
        is_inside = ((y0 <= rows) & (rows < y1))[:, None] & ((x0 <= columns) & (columns < x1))
        is_unclear = (classes == IGNORE_INDEX) | ((classes == box_class) & (instances == 0))
        target = is_instance[overlap.argmax()].float()
        targets.append(target.masked_fill(is_inside & is_unclear, UNKNOWN))
    return torch.stack(targets) if targets else classes.new_zeros((0, *classes.shape)).float()


def _measure(is_instance: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the (I, 4) extents and (I,) class indices of (I, H, W) instances, none empty."""
    is_row, is_column = is_instance.any(dim=2).int(), is_instance.any(dim=1).int()
    height, width = classes.shape
    # argmax finds the first of several maxima, and from the other side the last.
    extents = torch.stack(
        [
            is_column.argmax(dim=1),
            is_row.argmax(dim=1),
            width - is_column.flip(1).argmax(dim=1),
            height - is_row.flip(1).argmax(dim=1),
        ],
        dim=1,
    )
    # All pixels of an instance have one class, so that any of them tells it.
    places = is_instance.flatten(1).int().argmax(dim=1)
    return extents.float(), classes.flatten()[places]
