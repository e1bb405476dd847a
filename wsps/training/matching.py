"""Match a ground-truth partition to the labels of the instance subnetwork.

Permuting the instances of a segmentation does not change it, so before the loss is computed each
true instance is given to the predicted one that it overlaps most, all at once.

Paper: Li, Arnab, Torr 2018, sec. 3.5; Arnab and Torr, CVPR 2017.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from annotools.categories import IGNORE_INDEX

UNMATCHED = -1
"""Target of a pixel that no label is asked to explain."""


def match_labels(
    predicted: NDArray[np.int64],
    label_classes: NDArray[np.int64],
    num_things: int,
    true_classes: NDArray[np.uint8],
    true_instances: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Return the label that each pixel should take: (H, W), `UNMATCHED` where none.

    True instances and detections are matched by maximum total IoU among those of one class; an
    instance that no detection of its class overlaps stays unmatched and costs nothing. Pixels of
    unknown class belong to no union. Stuff needs no matching: its one label is that of its class.
    (The paper weighs stuff by IoU too; a stuff label that lost all its pixels would then never be
    asked to win them back.)

    Args:
        predicted: (H, W) most probable label of each pixel.
        label_classes: (L,) class index of each label, detections first.
        num_things: how many labels are detections.
        true_classes: (H, W) class indices, `IGNORE_INDEX` where unknown.
        true_instances: (H, W) instance numbers, 0 where none is known.
    """
    target = np.full(true_classes.shape, UNMATCHED, dtype=np.int64)
    stuff_label = {int(c): num_things + i for i, c in enumerate(label_classes[num_things:])}
    for class_index, label in stuff_label.items():
        target[true_classes == class_index] = label
    # Where the class is unknown nobody can say which class an instance must match.
    known_instances = np.where(true_classes == IGNORE_INDEX, 0, true_instances)
    masks = [known_instances == number for number in np.unique(known_instances) if number > 0]
    weights = np.zeros((len(masks), num_things))
    known = predicted[true_classes != IGNORE_INDEX]
    predicted_areas = np.bincount(known, minlength=len(label_classes))
    for row, mask in enumerate(masks):
        overlap = np.bincount(predicted[mask], minlength=len(label_classes))[:num_things]
        union = mask.sum() + predicted_areas[:num_things] - overlap
        # All pixels of an instance have one class, so that its first one tells it.
        same_class = label_classes[:num_things] == true_classes[mask][0]
        weights[row] = np.where(same_class, overlap / union, 0.0)
    # The assignment pairs as many as it can; pairs without any overlap are no matches.
    for instance, match in zip(*linear_sum_assignment(weights, maximize=True), strict=True):
        if weights[instance, match] > 0:
            target[masks[instance]] = match
    return target
