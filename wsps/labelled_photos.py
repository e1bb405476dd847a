"""Make training examples of label sets and of the photos that they are about."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.files import hash_files
from annotools.formats.source import same_image
from annotools.label_maps import class_map, instance_map
from annotools.records import Box, Dataset, FullLabel, Image, Photo
from annotools.weak_labels.weaken import weaken
from wsps.data import Examples, TrainingExample, keep_examples, prepare_example
from wsps.detections import GivenDetections
from wsps.label_sets import LabelSet
from wsps.recipe import ImageSettings


def read_examples(
    label_set: LabelSet,
    photos: Dataset,
    settings: ImageSettings,
    detections: GivenDetections | None = None,
) -> list[Examples]:
    """Return the labels of a set with their photos, a group for each label kind.

    Args:
        label_set: the labels.
        photos: a dataset that has the photo of each label, by image id; gives the order.
        settings: how networks see the photos.
        detections: that were given; None for none.

    Raises:
        DatasetError: when a label has no photo, or one of another name or size.
    """
    labels = label_set.labels
    # All are checked now, because photos are read one by one in the middle of training.
    for image in labels.images:
        if image.image_id not in photos.image_of:
            raise _lacking(photos, image)
        # Numbers alone would take any photo of another split for the one that was labelled.
        same_image(photos, image)
    groups: dict[str, list[Image]] = {}
    for image in photos.images:
        if image.image_id in labels.image_of:
            groups.setdefault(label_set.kind_of[image.image_id], []).append(image)
    make = partial(_read_example, label_set, photos, settings, detections)
    # Sorted, because a random number picks a group by its place.
    return [
        keep_examples([partial(make, image) for image in groups[kind]]) for kind in sorted(groups)
    ]


def make_example(
    photo: Photo, label: FullLabel, boxes: Sequence[Box] | None, categories: CategorySet
) -> TrainingExample:
    """Return a label as a training example, named by the id of its image.

    A group's box holds several objects, and torchvision's detector cannot ignore a region, so it
    is no target.

    Args:
        photo: (H, W, 3) RGB.
        label: of the photo.
        boxes: that an annotator drew; None where nobody was asked for boxes.
        categories: of the label.
    """
    targets = [box for box in boxes or () if not box.is_group]
    return TrainingExample(
        name=str(label.image_id),
        photo=photo,
        photo_side=max(photo.shape[:2]),
        classes=class_map(label, categories),
        instances=instance_map(label, categories),
        boxes_xyxy=np.array([b.box_xyxy for b in targets], dtype=np.float32).reshape(-1, 4),
        box_classes=np.array(
            [categories.class_index_of[b.category_id] for b in targets], dtype=np.int64
        ),
        has_boxes=boxes is not None,
    )


def _read_example(
    label_set: LabelSet,
    photos: Dataset,
    settings: ImageSettings,
    detections: GivenDetections | None,
    image: Image,
) -> TrainingExample:
    labels, categories = label_set.labels, label_set.categories
    label = labels.read_label(labels.image_of[image.image_id])
    if image.image_id in label_set.boxes_of:
        boxes = label_set.boxes_of[image.image_id]
    else:
        boxes = weaken(label, categories, "boxes", None).boxes
    photo = photos.read_photo(image)
    # Messages name the photo's file, which a user finds sooner than an id.
    example = replace(make_example(photo, label, boxes, categories), name=image.file_name)
    if detections is not None:
        example = replace(example, detections=detections.of(image.image_id))
    return prepare_example(example, settings)


def hash_photos(label_set: LabelSet, photos: Dataset, root: Path) -> dict[str, Any]:
    """Return a SHA-256 over the files that the photos of a label set are read or drawn from.

    Args:
        label_set: the labels.
        photos: a dataset that has the photo of each label.
        root: of the photos.

    Raises:
        DatasetError: when a file cannot be read.
    """
    images = [same_image(photos, image) for image in label_set.labels.images]
    return hash_files(root, [root if image.path is None else image.path for image in images])


def _lacking(photos: Dataset, image: Image) -> DatasetError:
    """Return what to say of an image with a label that the dataset of photos does not have."""
    stem = PurePosixPath(image.file_name).stem
    # What the dataset left out has a place, and a reason that may be another than its photo.
    drop = next((d for d in photos.drops if PurePosixPath(d.place).name.startswith(stem)), None)
    place = photos.source_files[0] if photos.source_files else photos.name
    lacks = f"{place}: has no photo of it" if drop is None else f"{drop.place}: {drop.reason}"
    return DatasetError(
        f"{lacks}, and image {image.image_id!r} ({image.file_name}) has a label: restore it, or "
        "give the split that the labels were made from"
    )
