"""Read label sets, anybody's panoptic folders, as training examples.

`manifest.json` next to the labels may say which kind of label each image has; `boxes.json` has the
boxes that annotators drew, for the detector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.files import digest, hash_files
from annotools.formats import coco_panoptic
from annotools.formats.coco_entries import take_image_id
from annotools.formats.given_labels import read_boxes
from annotools.formats.json_values import entries, read_json, take
from annotools.formats.panoptic_folder import LABELS_FILE
from annotools.formats.weak_json import BOXES_FILE
from annotools.label_maps import class_map, instance_map
from annotools.records import Box, Dataset, FullLabel, Image, Photo
from annotools.weak_labels.weaken import weaken
from annotools.work_folder import MANIFEST_FILE
from wsps.data import Examples, TrainingExample, reduce_example


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """The labels of a folder.

    `kind_of` gives each image's label kind by image id. `boxes_of` gives the boxes that an
    annotator drew, and lacks images whose annotator was not asked for boxes; None where the labels
    themselves say what boxes there are.
    """

    labels: Dataset
    kind_of: Mapping[int | str, str]
    boxes_of: Mapping[int | str, Sequence[Box]] | None

    @property
    def categories(self) -> CategorySet:
        """The categories of the labels."""
        return self.labels.categories


def read_label_set(folder: Path) -> LabelSet:
    """Read a folder with `panoptic.json`; PNGs are read when asked for.

    An image has the kind `full` unless a manifest tells another.

    Raises:
        DatasetError: when a file is missing or contradicts itself.
    """
    # Photos are elsewhere: a label set has no folder of this name.
    labels = coco_panoptic.read(folder, split="photos")
    kind_of = dict.fromkeys((image.image_id for image in labels.images), "full")
    manifest = folder / MANIFEST_FILE
    content = read_json(manifest, "*.json") if manifest.is_file() else {}
    if "labels" in content:
        for place, entry in entries(manifest, content, "labels"):
            kind_of[take_image_id(place, entry, "image_id")] = take(place, entry, "kind", str)
    boxes = folder / BOXES_FILE
    given = read_boxes(boxes).weak_of if boxes.is_file() else None
    boxes_of = None if given is None else {image_id: weak.boxes for image_id, weak in given.items()}
    return LabelSet(labels=labels, kind_of=kind_of, boxes_of=boxes_of)


def hash_label_set(folder: Path) -> dict[str, Any]:
    """Return a SHA-256 over the labels of a folder, their boxes and their kinds.

    Raises:
        DatasetError: when a file is missing or contradicts itself.
    """
    label_set = read_label_set(folder)
    pngs = [path for image in label_set.labels.images for path in image.label_paths]
    files = [path for name in (LABELS_FILE, BOXES_FILE) if (path := folder / name).is_file()]
    # The manifest itself stays out: training depends on nothing in it but the kinds and the round.
    return {**hash_files(folder, [*files, *pngs]), "kinds": digest(list(label_set.kind_of.items()))}


def read_examples(label_set: LabelSet, photos: Dataset, max_side: int | None) -> list[Examples]:
    """Return the labels of a set with their photos, a group for each label kind.

    Args:
        label_set: the labels.
        photos: a dataset that has the photo of each label, by image id; gives the order.
        max_side: photos with a longer side are reduced to it.

    Raises:
        DatasetError: when a label has no photo.
    """
    labels = label_set.labels
    # All are checked now, because photos are read one by one in the middle of training.
    for image in labels.images:
        if image.image_id not in photos.image_of:
            raise DatasetError(f"{photos.name}: has no image {image.image_id!r}, which has a label")
    groups: dict[str, list[Image]] = {}
    for image in photos.images:
        if image.image_id in labels.image_of:
            groups.setdefault(label_set.kind_of[image.image_id], []).append(image)
    make = partial(_read_example, label_set, photos, max_side)
    # Sorted, because a random number picks a group by its place.
    return [Examples([partial(make, image) for image in groups[kind]]) for kind in sorted(groups)]


def make_example(
    photo: Photo, label: FullLabel, boxes: Sequence[Box] | None, categories: CategorySet
) -> TrainingExample:
    """Return a label as a training example.

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
    label_set: LabelSet, photos: Dataset, max_side: int | None, image: Image
) -> TrainingExample:
    labels, categories = label_set.labels, label_set.categories
    label = labels.read_label(labels.image_of[image.image_id])
    if label_set.boxes_of is None:
        boxes: Sequence[Box] | None = weaken(label, categories, "boxes", None).boxes
    else:
        boxes = label_set.boxes_of.get(image.image_id)
    photo = photos.read_photo(image)
    return reduce_example(make_example(photo, label, boxes, categories), max_side)
