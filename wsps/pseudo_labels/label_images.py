"""The pseudo-label of one image as a task: its full label in; its maps, and their measure, out."""

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.panoptic_folder import read_maps, write_maps
from annotools.formats.source import Source, open_source
from annotools.label_maps import class_map, instance_map
from annotools.records import NO_LABEL, FullLabel, Image, WeakLabel
from annotools.weak_labels.weaken import weaken
from wsps.evaluation.mean_iou import PixelCounts, count_pixels
from wsps.pseudo_labels.label_makers import FirstLabels, NextLabels
from wsps.pseudo_labels.label_store import photo_stamp
from wsps.pseudo_labels.output_folder import RoundFolder, is_made, mark_made
from wsps.pseudo_labels.quality import CropScores
from wsps.pseudo_labels.records import PseudoLabel
from wsps.pseudo_labels.stored_classifier import StoredClassifier


@dataclass(frozen=True, kw_only=True)
class ImageTask:
    """An image to label: `name` is that of its maps, `kind` what was bought for it."""

    image: Image
    name: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class ImageOutcome:
    """What a task came to.

    `key` says what the maps were made from; `is_new` is false where an earlier run had made them.
    `counts` has the pseudo-label as prediction, `tags` the classifier's scores, None after the
    first labels and where nobody was asked for tags.
    """

    task: ImageTask
    key: str
    is_new: bool
    counts: PixelCounts
    tags: CropScores | None


@dataclass(frozen=True, kw_only=True)
class ImageLabeller:
    """What all images of a round share; calling it labels one.

    `crop_size_wh` is in pixels of the tagged crops, None for the whole image.
    """

    source: Source
    folder: RoundFolder
    crop_size_wh: tuple[int, int] | None
    maker: FirstLabels | NextLabels

    def __call__(self, task: ImageTask) -> ImageOutcome:
        """Write the maps of an image, unless they are there, and measure them.

        Raises:
            DatasetError: when photo or label cannot be read.
            OSError: when a file cannot be written.
        """
        dataset = open_source(self.source)
        image, categories = task.image, dataset.categories
        label = dataset.read_label(image)
        weak = self._weaken(label, task, categories)
        key = self._key(image, label if weak is None else weak)
        classes = self._made_classes(task, key)
        is_new = classes is None
        if classes is None:
            if weak is None:
                made = _full(label, categories)
            else:
                made = self.maker.label(dataset, image, weak)
            write_maps(self.folder.path, task.name, made.classes, made.instances)
            mark_made(self.folder, task.name, key)
            classes = made.classes
        tags = None
        if isinstance(self.maker, FirstLabels) and weak is not None:
            tags = self.maker.score_tags(dataset, image, weak)
        truth = class_map(label, categories)
        counts = count_pixels(truth, classes, len(categories), image.image_id)
        return ImageOutcome(task=task, key=key, is_new=is_new, counts=counts, tags=tags)

    def _weaken(
        self, label: FullLabel, task: ImageTask, categories: CategorySet
    ) -> WeakLabel | None:
        if task.kind == "full":
            return None
        if task.kind == NO_LABEL:
            return WeakLabel(image_id=task.image.image_id)
        return weaken(label, categories, task.kind, self.crop_size_wh)

    def _key(self, image: Image, known: FullLabel | WeakLabel) -> str:
        """Name what a label depends on beside the settings of the run."""
        total = hashlib.sha256(photo_stamp(self.source.root, image).encode())
        if isinstance(known, FullLabel):
            total.update(known.segment_map.tobytes())
            total.update(json.dumps([asdict(segment) for segment in known.segments]).encode())
            return total.hexdigest()
        total.update(self.maker.key(known).encode())
        return total.hexdigest()

    def _made_classes(self, task: ImageTask, key: str) -> NDArray[np.uint8] | None:
        """Return the class map that an earlier run made, None where it is missing or damaged."""
        if not is_made(self.folder, task.name, key):
            return None
        try:
            return read_maps(self.folder.path, task.name)[0]
        except DatasetError:
            return None


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
