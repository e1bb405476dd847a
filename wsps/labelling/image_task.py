"""The pseudo-label of one image as a task: its full label in; its maps, and their measure, out."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.conversion.shards import Source, open_source
from annotools.errors import DatasetError
from annotools.formats.label_folder import map_files, read_maps, write_maps
from annotools.label_maps import class_map, instance_map
from annotools.records import Dataset, FullLabel, Image, WeakLabel
from annotools.weak_labels.weaken import weaken
from wsps.evaluation.mean_iou import PixelCounts, count_pixels
from wsps.labelling.output_folder import is_made, mark_made
from wsps.labelling.quality import CropScores
from wsps.labelling.stored_classifier import StoredClassifier
from wsps.pseudo_labels.boxes import METHOD_VERSION, label_from_boxes
from wsps.pseudo_labels.image_labels import label_image
from wsps.pseudo_labels.label_store import BoxLabelStore, photo_stamp
from wsps.pseudo_labels.records import PseudoLabel
from wsps.recipe import RefinementSettings


@dataclass(frozen=True, kw_only=True)
class ImageTask:
    """An image to label: `name` is that of its maps, `kind` what was bought for it."""

    image: Image
    name: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class ImageOutcome:
    """What a task came to.

    `is_new` is false where an earlier run had made the maps. `counts` has the pseudo-label as
    prediction, `tags` the classifier's scores, None where nobody was asked for tags.
    """

    kind: str
    is_new: bool
    counts: PixelCounts
    tags: CropScores | None


@dataclass(frozen=True, kw_only=True)
class ImageLabeller:
    """What all images of a run share; calling it labels one.

    `crop_size_wh` is in pixels of the tagged crops, None for the whole image. `classifier` is
    None without tags, `box_labels` where labels from boxes are not kept.
    """

    source: Source
    out: Path
    crop_size_wh: tuple[int, int] | None
    box_method: str
    refinement: RefinementSettings
    classifier: StoredClassifier | None
    box_labels: BoxLabelStore | None

    def __call__(self, task: ImageTask) -> ImageOutcome:
        """Write the maps of an image, unless they are there, and measure them.

        Raises:
            DatasetError: when photo or label cannot be read.
            OSError: when a file cannot be written.
        """
        dataset = open_source(self.source)
        image, categories = task.image, dataset.categories
        label = dataset.read_label(image)
        weak = self._weaken(label, task.kind, categories)
        key = self._key(image, label if weak is None else weak)
        classes = self._made_classes(task, key)
        is_new = classes is None
        if classes is None:
            made = _full(label, categories) if weak is None else self._label(dataset, image, weak)
            write_maps(self.out, task.name, made.classes, made.instances)
            mark_made(self.out, task.name, key)
            classes = made.classes
        tags = None
        if self.classifier is not None and weak is not None and weak.crops:
            tags = self.classifier.score(dataset.read_photo(image), weak, categories)
        truth = class_map(label, categories)
        counts = count_pixels(truth, classes, len(categories), image.image_id)
        return ImageOutcome(kind=task.kind, is_new=is_new, counts=counts, tags=tags)

    def _made_classes(self, task: ImageTask, key: str) -> NDArray[np.uint8] | None:
        """Return the class map that an earlier run made, None where it is missing or damaged."""
        if not is_made(self.out, task.name, map_files(task.name), key):
            return None
        try:
            return read_maps(self.out, task.name)[0]
        except DatasetError:
            return None

    def _weaken(self, label: FullLabel, kind: str, categories: CategorySet) -> WeakLabel | None:
        return None if kind == "full" else weaken(label, categories, kind, self.crop_size_wh)

    def _label(self, dataset: Dataset, image: Image, weak: WeakLabel) -> PseudoLabel:
        photo, categories = dataset.read_photo(image), dataset.categories
        from_boxes = from_tags = None
        if weak.has_boxes and self.box_labels is not None:
            from_boxes = self.box_labels.label(dataset, image, weak.boxes)
        elif weak.has_boxes:
            from_boxes = label_from_boxes(photo, weak.boxes, categories, self.box_method)
        if self.classifier is not None and weak.crops:
            from_tags = self.classifier.label(photo, weak, categories)
        return label_image(from_boxes, from_tags, weak, categories, self.refinement)

    def _key(self, image: Image, known: FullLabel | WeakLabel) -> str:
        """Name what a label depends on beside the settings of the run."""
        total = hashlib.sha256(photo_stamp(self.source.root, image).encode())
        if isinstance(known, FullLabel):
            total.update(known.segment_map.tobytes())
            total.update(json.dumps([asdict(segment) for segment in known.segments]).encode())
            return total.hexdigest()
        total.update(json.dumps([METHOD_VERSION, asdict(known)]).encode())
        if self.classifier is not None and known.crops:
            total.update(self.classifier.key.encode())
        return total.hexdigest()


def weaken_image(
    source: Source, crop_size_wh: tuple[int, int] | None, task: ImageTask
) -> WeakLabel:
    """Return the weak label of an image.

    Raises:
        DatasetError: when its full label cannot be read.
    """
    dataset = open_source(source)
    return weaken(dataset.read_label(task.image), dataset.categories, task.kind, crop_size_wh)


def score_image(
    source: Source,
    crop_size_wh: tuple[int, int] | None,
    classifier: StoredClassifier,
    task: ImageTask,
) -> CropScores:
    """Return how the classifier scores the crops of an image.

    Raises:
        DatasetError: when photo or label cannot be read.
    """
    dataset = open_source(source)
    weak = weaken_image(source, crop_size_wh, task)
    return classifier.score(dataset.read_photo(task.image), weak, dataset.categories)


def _full(label: FullLabel, categories: CategorySet) -> PseudoLabel:
    return PseudoLabel(
        classes=class_map(label, categories), instances=instance_map(label, categories)
    )
