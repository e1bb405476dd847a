"""Make the pseudo-label of one image: from what was bought at first, from a network in each round.

This is the only place that makes label maps. An image is read, looked at by the network, and
labelled: three steps, of which the middle one takes several images at once.

Paper: Li, Arnab, Torr 2018, sec. 3.2-3.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.files import digest
from annotools.formats.panoptic_folder import (
    label_files,
    label_from_maps,
    read_written,
    write_label,
    write_maps,
)
from annotools.formats.source import open_source, photo_stamp, same_image
from annotools.formats.weak_json import Entry
from annotools.label_maps import class_map
from annotools.records import Box, Dataset, FullLabel, Image, Photo, WeakLabel
from annotools.seals import found_damaged
from annotools.weak_labels.buy import buy
from annotools.weak_labels.weaken import weaken
from annotools.work_folder import STATE_FOLDER, mark_done, read_done
from wsps.crf.dense_crf import sharpen_batch
from wsps.device import choose_device
from wsps.evaluation.mean_iou import PixelCounts, count_pixels
from wsps.pseudo_labels.boxes import METHOD_VERSION, label_from_boxes
from wsps.pseudo_labels.label_store import BoxLabelStore
from wsps.pseudo_labels.marks import label_from_marks, lay_over
from wsps.pseudo_labels.quality import CropScores
from wsps.pseudo_labels.refine import PseudoLabel
from wsps.pseudo_labels.request import LabelRequest, LabelTask
from wsps.pseudo_labels.round_labels import first_label, next_label
from wsps.pseudo_labels.stored_networks import (
    class_probabilities,
    load_classifier,
    load_segmenter,
)
from wsps.training.checkpoints import StoredNetwork


@dataclass(frozen=True, kw_only=True)
class LabelledImage:
    """The label of one image, new or of an earlier run, with what is measured of it.

    `is_new` is false where an earlier run had made the label. `entry` is its own in
    `panoptic.json`. `boxes` are those that an annotator drew, None where nobody was asked.
    `counts` has the pseudo-label as prediction, None without a truth; `tags` the classifier's
    scores, None after the first labels and where nobody was asked for tags. `damaged` are files
    that its process has found so until now.
    """

    task: LabelTask
    is_new: bool
    entry: Entry
    boxes: tuple[Box, ...] | None
    counts: PixelCounts | None
    tags: CropScores | None
    damaged: frozenset[Path]


@dataclass(frozen=True, kw_only=True)
class ReadImage:
    """An image with all that its label is made from but what the network sees.

    `bought` is the label that was bought and `key` names what its label is made from. `entry` is of
    the label of an earlier run, None where it made none. `photo` is None where none is needed.
    """

    task: LabelTask
    bought: FullLabel | WeakLabel
    key: str
    entry: Entry | None
    photo: Photo | None


@dataclass(frozen=True, kw_only=True)
class ImageLabeller:
    """What all images of a round share; calling it labels one.

    It goes to a worker with every image, so `request` comes without its long list of kinds. `out`
    is the folder of the run. `network` is the classifier of tags in round 0, None without tags, and
    later the segmenter that the labels before trained.
    """

    request: LabelRequest
    out: Path
    round_number: int = 0
    network: StoredNetwork | None = None

    @property
    def folder(self) -> Path:
        """The folder of the round's label set: the last one is that of the run."""
        is_last = self.round_number == self.request.num_rounds
        return self.out if is_last else self.out / "rounds" / str(self.round_number)

    def __call__(self, task: LabelTask) -> LabelledImage:
        """Write the label of an image, unless it is there, and measure it.

        Raises:
            DatasetError: when photo or label cannot be read.
            OSError: when a file cannot be written.
        """
        image = self.read(task)
        return self.label(image, self.look([image])[0])

    def read(self, task: LabelTask) -> ReadImage:
        """Read an image, and what is known of its label where an earlier run made it.

        Raises:
            DatasetError: when photo or label cannot be read.
        """
        dataset, image = open_source(self.request.source), task.image
        bought = self.buy(dataset, task)
        key = self._key(dataset, image, bought)
        entry: Entry | None = read_done(self.out, self._item(task), key)
        needs_photo = entry is None and isinstance(bought, WeakLabel)
        photo = dataset.read_photo(image) if needs_photo else None
        return ReadImage(task=task, bought=bought, key=key, entry=entry, photo=photo)

    def needs_network(self, image: ReadImage) -> bool:
        """Return whether the label of an image depends on what the network sees."""
        if image.photo is None or isinstance(image.bought, FullLabel):
            return False
        return self.round_number > 0 or bool(image.bought.crops)

    def look(self, images: Sequence[ReadImage]) -> list[NDArray[np.float32] | None]:
        """Return what the network sees in each image, None where its label does not need it.

        In round 0 it is the heat of the classes in the image's crops, (N, K, h, w); later the
        probability of each class at each pixel that the network sees, (K, h, w), after the CRF.

        Args:
            images: that were read; those that need the network have photos of one size, and crops
                of one size.
        """
        asked = {n: image for n, image in enumerate(images) if self.needs_network(image)}
        seen: list[NDArray[np.float32] | None] = [None] * len(images)
        if not asked:
            return seen
        assert self.network is not None
        recipe, categories = self.request.recipe, open_source(self.request.source).categories
        precision = recipe.descent.precision
        photos = [image.photo for image in asked.values() if image.photo is not None]
        looked: Sequence[NDArray[np.float32]]
        if self.round_number > 0:
            from wsps.data import prepare_photo

            segmenter = load_segmenter(self.network, recipe, len(categories))
            # Labels are decided on what the network sees, and so is what looks alike.
            prepared = [prepare_photo(photo, recipe.images) for photo in photos]
            probabilities = class_probabilities(segmenter, prepared, precision)
            looked = list(sharpen_batch(prepared, probabilities, recipe.refinement.crf))
        else:
            from wsps.pseudo_labels.tags import TaggedPhoto, see_classes

            classifier = load_classifier(self.network, recipe, len(categories))
            weak = [i.bought for i in asked.values() if isinstance(i.bought, WeakLabel)]
            pairs = zip(photos, weak, strict=True)
            tagged = [TaggedPhoto(photo=photo, weak=tags) for photo, tags in pairs]
            looked = see_classes(classifier, tagged, recipe.images, precision)
        for number, one in zip(asked, looked, strict=True):
            seen[number] = one
        return seen

    def label(self, image: ReadImage, seen: NDArray[np.float32] | None) -> LabelledImage:
        """Write the label of an image that was read, unless it is there, and measure it.

        Args:
            image: as `read` gives it.
            seen: what `look` gives of it.

        Raises:
            OSError: when a file cannot be written.
        """
        dataset, task = open_source(self.request.source), image.task
        label, entry, is_measured = None, image.entry, self.request.truth is not None
        if entry is None:
            label = self._make(dataset, image, seen)
            entry = write_label(self.folder, task.name, task.image, label)
            if self.request.with_maps:
                write_maps(self.folder, task.name, label, dataset.categories)
            # The mark comes after the files: what a killed run left without one is made again.
            mark_done(self.out, self._item(task), image.key, entry, self._files(task))
        elif is_measured:
            label = read_written(self.folder, task.image, entry)
        return LabelledImage(
            task=task,
            is_new=image.entry is None,
            entry=entry,
            boxes=_drawn_boxes(image.bought, dataset.categories),
            counts=None if not is_measured or label is None else self._measure(task.image, label),
            tags=self.score_tags(dataset, task.image, image.bought) if is_measured else None,
            damaged=found_damaged(),
        )

    def lacks_boxes(self, task: LabelTask) -> bool:
        """Return whether an image has boxes whose label is not kept yet.

        Raises:
            DatasetError: when its label cannot be read.
        """
        dataset, store = open_source(self.request.source), self._box_store()
        bought = self.buy(dataset, task)
        if store is None or isinstance(bought, FullLabel) or not bought.has_boxes:
            return False
        return not store.has(task.image, bought.boxes, dataset.categories)

    def keep_boxes(self, task: LabelTask) -> None:
        """Make the label from boxes of an image and keep it for those who ask, unless it is kept.

        Raises:
            DatasetError: when photo or label cannot be read.
            OSError: when it cannot be written.
        """
        dataset = open_source(self.request.source)
        bought = self.buy(dataset, task)
        if isinstance(bought, WeakLabel) and bought.has_boxes:
            photo = dataset.read_photo(task.image)
            self._label_boxes(task.image, photo, bought, dataset.categories)

    def buy(self, dataset: Dataset, task: LabelTask) -> FullLabel | WeakLabel:
        """Return what was bought for an image."""
        size_wh = self.request.recipe.tags.crop_size_wh
        annotator, seed = self.request.annotator, self.request.seed
        return buy(dataset, task.image, task.kind, size_wh, annotator, seed)

    def score_tags(
        self, dataset: Dataset, image: Image, bought: FullLabel | WeakLabel
    ) -> CropScores | None:
        """Return how the classifier scores the crops of an image, None where it has no tags."""
        if self.round_number > 0 or isinstance(bought, FullLabel) or not bought.crops:
            return None
        from wsps.pseudo_labels.tags import TaggedPhoto, score_crops, tag_targets

        assert self.network is not None
        recipe = self.request.recipe
        present, asked = tag_targets(bought, dataset.categories)
        tagged = TaggedPhoto(photo=dataset.read_photo(image), weak=bought)
        classifier = load_classifier(self.network, recipe, len(dataset.categories))
        return CropScores(
            scores=score_crops(
                classifier,
                tagged,
                recipe.images,
                recipe.descent.precision,
                choose_device(),
            ),
            present=present.numpy() > 0,
            asked=asked.numpy() > 0,
        )

    def _key(self, dataset: Dataset, image: Image, bought: FullLabel | WeakLabel) -> str:
        """Return a cache key of what the label is made from, the settings of the run left out."""
        used: StoredNetwork | None = None
        # The first label from boxes alone uses no network, so another classifier does not undo it.
        if isinstance(bought, WeakLabel) and (self.round_number > 0 or bought.crops):
            used = self.network
        stamp = photo_stamp(self.request.source.root, image)
        model = None if used is None else used.key
        return digest(METHOD_VERSION, stamp, bought, dataset.categories, model)

    def _files(self, task: LabelTask) -> list[str]:
        """Return the files of an image, relative to the folder of the run."""
        place = self.folder.relative_to(self.out)
        files = label_files(task.name, with_maps=self.request.with_maps)
        return [(place / name).as_posix() for name in files]

    def _item(self, task: LabelTask) -> str:
        return f"{self.round_number}/{task.name}"

    def _make(
        self, dataset: Dataset, image: ReadImage, seen: NDArray[np.float32] | None
    ) -> FullLabel:
        bought, photo = image.bought, image.photo
        if isinstance(bought, FullLabel):
            return bought
        assert photo is not None
        categories, recipe = dataset.categories, self.request.recipe
        from_boxes = self._label_boxes(image.task.image, photo, bought, categories)
        marked = None
        if bought.marks is not None:
            marked = label_from_marks(bought, image.task.image.size_wh, categories)
        if self.round_number > 0:
            assert seen is not None
            made = next_label(
                photo, seen, from_boxes, bought, categories, recipe.refinement, self.round_number
            )
            made = made if marked is None else lay_over(marked, made)
        elif marked is not None:
            made = marked
        else:
            from_tags = self._label_tags(photo, seen, bought, categories)
            made = first_label(from_boxes, from_tags, bought, categories, recipe.refinement)
        return label_from_maps(image.task.image.image_id, made.classes, made.instances, categories)

    def _box_store(self) -> BoxLabelStore | None:
        """Return where labels from boxes are kept, None where nobody asks for one twice."""
        method, folder = self.request.recipe.boxes.method, self.request.box_labels
        if folder is None and (self.request.num_rounds > 0 or self.network is not None):
            # All rounds ask for them, and they are made before a network on a GPU is asked.
            folder = self.out / STATE_FOLDER / "box_labels"
        if folder is None:
            return None
        return BoxLabelStore(folder=folder, source=self.request.source, method=method)

    def _label_boxes(
        self, image: Image, photo: Photo, weak: WeakLabel, categories: CategorySet
    ) -> PseudoLabel | None:
        """Return what the boxes say, None where nobody drew any."""
        if not weak.has_boxes:
            return None
        store = self._box_store()
        if store is None:
            method = self.request.recipe.boxes.method
            return label_from_boxes(photo, weak.boxes, categories, method)
        return store.label(photo, image, weak.boxes, categories)

    def _label_tags(
        self,
        photo: Photo,
        heat: NDArray[np.float32] | None,
        weak: WeakLabel,
        categories: CategorySet,
    ) -> NDArray[np.uint8] | None:
        """Return what the tags say, None where nobody gave any."""
        if heat is None:
            return None
        from wsps.pseudo_labels.tags import TaggedPhoto, label_from_tags

        tagged = TaggedPhoto(photo=photo, weak=weak)
        return label_from_tags(heat, tagged, categories, self.request.recipe.tags.cam_threshold)

    def _measure(self, image: Image, label: FullLabel) -> PixelCounts:
        """Count the pixels of a label by true and given class."""
        assert self.request.truth is not None
        truth = open_source(self.request.truth)
        true = truth.read_label(same_image(truth, image))
        # Both maps have the truth's class indices: given labels may name fewer categories, or have
        # them in another order.
        return count_pixels(
            class_map(true, truth.categories),
            class_map(label, truth.categories),
            len(truth.categories),
            image.image_id,
        )


def _drawn_boxes(bought: FullLabel | WeakLabel, categories: CategorySet) -> tuple[Box, ...] | None:
    """Return the boxes that a label has or implies, None where nobody was asked for boxes."""
    if isinstance(bought, FullLabel):
        return weaken(bought, categories, "boxes", None).boxes
    return bought.boxes if bought.has_boxes else None
