"""Match a ground-truth partition to the labels of the instance subnetwork.

Permuting the instances of a segmentation does not change it, so before the loss is computed each
true instance is given to the predicted one that it overlaps most, all at once.

Paper: Li, Arnab, Torr 2018, sec. 3.5; Arnab and Torr, CVPR 2017.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from annotools.categories import IGNORE_INDEX
from wsps.networks.instance import InstanceLabels

UNMATCHED = -1
"""Target of a pixel that no label is asked to explain."""


def match_labels(
    predicted: Tensor, labels: InstanceLabels, true_classes: Tensor, true_instances: Tensor
) -> Tensor:
    """Return the label that each pixel should take: (B, H, W), `UNMATCHED` where none.

    True instances and detections of an image are matched by maximum total IoU among those of one
    class; an instance that no detection of its class overlaps stays unmatched and costs nothing.
    Pixels of unknown class belong to no union. Stuff needs no matching: its one label is that of
    its class. (The paper weighs stuff by IoU too; a stuff label that lost all its pixels would
    then never be asked to win them back.)

    Args:
        predicted: (B, H, W) most probable label of each pixel.
        labels: (B, L) of them.
        true_classes: (B, H, W) class indices, `IGNORE_INDEX` where unknown.
        true_instances: (B, H, W) instance numbers, from 1 within each image, 0 where none is known.
    """
    images, num_labels = labels.class_indices.shape
    device = predicted.device
    image_of = torch.arange(images, device=device)[:, None, None].expand_as(predicted)
    target = _stuff_labels(labels)[image_of, true_classes]
    # Where the class is unknown nobody can say which class an instance must match.
    is_known = true_classes != IGNORE_INDEX
    inside = is_known & (true_instances > 0)
    numbers = torch.stack([image_of[inside], true_instances[inside].long()], dim=1)
    instances, owner = torch.unique(numbers, dim=0, return_inverse=True)
    image_of_instance = instances[:, 0]
    overlaps = _count_pairs(owner, predicted[inside], len(instances), num_labels)
    predicted_areas = _count_pairs(image_of[is_known], predicted[is_known], images, num_labels)
    areas = overlaps.sum(dim=1, keepdim=True)
    unions = areas + predicted_areas[image_of_instance] - overlaps
    # All pixels of an instance have one class, so that any of them tells it.
    classes = areas.new_zeros(len(instances)).scatter_(0, owner, true_classes[inside])
    is_same_class = labels.class_indices[image_of_instance] == classes[:, None]
    # Where an image has no label at all, what is none has its pixels.
    may_match = is_same_class & labels.is_label[image_of_instance]
    ious = torch.where(may_match, overlaps.double() / unions, 0.0)
    label_of = _assign(ious, image_of_instance).to(device)[owner]
    target[inside] = torch.where(label_of == UNMATCHED, target[inside], label_of)
    return target


def _stuff_labels(labels: InstanceLabels) -> Tensor:
    """Return the label of each class in each image: (B, 256), `UNMATCHED` for all but stuff."""
    images = len(labels.class_indices)
    table = labels.class_indices.new_full((images, IGNORE_INDEX + 1), UNMATCHED)
    image, label = torch.nonzero(labels.is_label & ~labels.is_thing, as_tuple=True)
    table[image, labels.class_indices[image, label]] = label
    return table


def _count_pairs(first: Tensor, second: Tensor, num_first: int, num_second: int) -> Tensor:
    """Return how often each pair of numbers comes: (num_first, num_second)."""
    counts = torch.bincount(first * num_second + second, minlength=num_first * num_second)
    return counts.view(num_first, num_second)


def _assign(ious: Tensor, image_of_instance: Tensor) -> Tensor:
    """Return the label of each instance: (T,), `UNMATCHED` for none, from (T, L) overlaps."""
    weights, image_of = ious.cpu().numpy(), image_of_instance.cpu().numpy()
    label_of = torch.full((len(weights),), UNMATCHED)
    for image in set(image_of.tolist()):
        (rows,) = (image_of == image).nonzero()
        # The assignment pairs as many as it can; pairs without any overlap are no matches.
        for row, label in zip(*linear_sum_assignment(weights[rows], maximize=True), strict=True):
            if weights[rows[row], label] > 0:
                label_of[rows[row]] = int(label)
    return label_of
