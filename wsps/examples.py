"""Training examples from what was bought for an image: a full label or a pseudo-label."""

import numpy as np

from annotools.categories import CategorySet
from annotools.label_maps import class_map, instance_map
from annotools.records import Box, FullLabel, Photo, WeakLabel
from annotools.weak_labels.weaken import weaken
from wsps.data import TrainingExample
from wsps.pseudo_labels.records import PseudoLabel


def example_from_full(photo: Photo, label: FullLabel, categories: CategorySet) -> TrainingExample:
    """Return the example of a fully labelled image: its own map, and the boxes it implies."""
    return _with_boxes(
        photo,
        PseudoLabel(
            classes=class_map(label, categories), instances=instance_map(label, categories)
        ),
        weaken(label, categories, "boxes", None),
        categories,
    )


def example_from_weak(
    photo: Photo, pseudo: PseudoLabel, weak: WeakLabel, categories: CategorySet
) -> TrainingExample:
    """Return the example of a weakly labelled image: the pseudo-label and the annotator's boxes."""
    return _with_boxes(photo, pseudo, weak, categories)


def _with_boxes(
    photo: Photo, known: PseudoLabel, weak: WeakLabel, categories: CategorySet
) -> TrainingExample:
    boxes = [box for box in weak.boxes if _is_target(box)]
    return TrainingExample(
        photo=photo,
        classes=known.classes,
        instances=known.instances,
        boxes_xyxy=np.array([b.box_xyxy for b in boxes], dtype=np.float32).reshape(-1, 4),
        box_classes=np.array(
            [categories.class_index_of[b.category_id] for b in boxes], dtype=np.int64
        ),
        has_boxes=weak.has_boxes,
    )


def _is_target(box: Box) -> bool:
    """A group's box holds several objects, and torchvision's detector cannot ignore a region."""
    return not box.is_group
