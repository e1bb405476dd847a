"""Turn image tags into label maps: train a classifier on the tagged crops, see where it looks.

Paper: Li, Arnab, Torr 2018, sec. 3.3 and B.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.random_streams import stream, stream_seed
from annotools.records import Dataset, Image, Photo, WeakLabel
from wsps.data import Kept, as_tensor, scale_of, stretch_photo
from wsps.device import autocast
from wsps.features import feature_reader, name_pixels
from wsps.networks.classifier import CropClassifier, build_classifier, grad_cam
from wsps.recipe import ImageSettings, Recipe
from wsps.training.batches import draw
from wsps.training.loop import Running, descend
from wsps.training.losses import tag_loss


@dataclass(frozen=True, kw_only=True)
class TaggedPhoto:
    """A photo and the tags of its crops; the crops of one photo have one size."""

    photo: Photo
    weak: WeakLabel


def tagged_photos(dataset: Dataset, tagged: Sequence[tuple[Image, WeakLabel]]) -> Kept[TaggedPhoto]:
    """Return photos with their tags, read when asked for and kept while they fit in memory.

    Args:
        dataset: of the images.
        tagged: images with their weak labels, which have crops.
    """

    def read(image: Image, weak: WeakLabel) -> TaggedPhoto:
        return TaggedPhoto(photo=dataset.read_photo(image), weak=weak)

    return Kept([partial(read, *pair) for pair in tagged], lambda one: one.photo.nbytes)


@dataclass(frozen=True, kw_only=True)
class TaggedBatch:
    """Crops of some photos, named, in parts of one size.

    Each part has N `crops` (N, 3, h, w), RGB of 0 to 255; which tags are `present` and which
    classes were `asked` for, (N, K), 1 for yes; and N names of their `pixels`.
    """

    names: tuple[str, ...]
    crops: tuple[Tensor, ...]
    present: tuple[Tensor, ...]
    asked: tuple[Tensor, ...]
    pixels: tuple[tuple[str, ...], ...]

    def on_device(self, device: torch.device) -> "TaggedBatch":
        """Return the batch on a device."""
        return self._each(lambda part: part.to(device, non_blocking=True))

    def pin_memory(self) -> "TaggedBatch":
        """Return the batch in memory from which a GPU copies by itself; a loader calls this."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "TaggedBatch":
        return replace(
            self,
            crops=tuple(map(change, self.crops)),
            present=tuple(map(change, self.present)),
            asked=tuple(map(change, self.asked)),
        )


@dataclass(frozen=True, kw_only=True)
class TaggedBatches:
    """All crops of some tagged photos at each step, each photo mirrored or not."""

    photos: Sequence[TaggedPhoto]
    categories: CategorySet
    batch_size: int
    settings: ImageSettings
    seed: int
    stage: str = "classifier"

    def __getitem__(self, step: int) -> TaggedBatch:
        by_size: dict[tuple[int, ...], list[tuple[Tensor, Tensor, Tensor]]] = {}
        pixels_of: dict[tuple[int, ...], list[str]] = {}
        names = []
        for place in range(self.batch_size):
            number = step * self.batch_size + place
            _, index = draw((len(self.photos),), self.seed, self.stage, number)
            tagged = self.photos[index]
            names.append(str(tagged.weak.image_id))
            crops = _cut_crops(tagged.photo, tagged.weak, self.settings)
            is_flipped = stream(self.seed, "augment", self.stage, step, place).random() < 0.5
            if is_flipped:
                crops = crops.flip(-1)
            # Crops of one photo that is stretched and that is not are others.
            whole = f"{name_pixels(tagged.photo)} {self.settings.stretch}"
            pixels_of.setdefault(crops.shape[2:], []).extend(
                f"{whole} {crop.box_xyxy} {tuple(crops.shape[2:])} {is_flipped}"
                for crop in tagged.weak.crops
            )
            present, asked = tag_targets(tagged.weak, self.categories)
            by_size.setdefault(crops.shape[2:], []).append((crops, present, asked))
        # Crops of one size go through the network together, so that batch normalisation sees many
        # photos.
        crops_of, present_of, asked_of = (
            tuple(torch.cat([one[column] for one in parts]) for parts in by_size.values())
            for column in range(3)
        )
        return TaggedBatch(
            names=tuple(names),
            crops=crops_of,
            present=present_of,
            asked=asked_of,
            pixels=tuple(tuple(listed) for listed in pixels_of.values()),
        )

    def keep(self, threads: int) -> None:
        """Read ahead the photos that fit in memory."""
        if isinstance(self.photos, Kept):
            self.photos.keep(threads)


def train_classifier(
    photos: Sequence[TaggedPhoto],
    categories: CategorySet,
    recipe: Recipe,
    seed: int,
    device: torch.device,
    running: Running | None = None,
) -> CropClassifier:
    """Return a multi-label classifier trained on the fixed crops of tagged photos.

    Only the fixed crops are seen, mirrored or not: a random crop would need tags nobody gave.

    Args:
        photos: at least one.
        categories: of the dataset.
        recipe: its backbone, classifier stage, how it sees photos, and how many in a step.
        seed: of weights, order and augmentation.
        device: where to train.
        running: what changes no result.
    """
    torch.manual_seed(stream_seed(seed, "weights", "classifier"))
    classifier = build_classifier(recipe.backbone, len(categories)).to(device)

    running = running or Running()
    see = feature_reader(classifier.trunk.backbone, recipe.descent.precision, running.features)

    def loss_of(batch: TaggedBatch) -> Tensor:
        parts = zip(batch.crops, batch.pixels, strict=True)
        logits = [classifier(crops, see(crops, pixels)) for crops, pixels in parts]
        # Every question counts alike, whatever the size of its crop.
        return tag_loss(torch.cat(logits), torch.cat(batch.present), torch.cat(batch.asked))

    batches = TaggedBatches(
        photos=photos,
        categories=categories,
        batch_size=recipe.descent.batch_size,
        settings=recipe.images,
        seed=seed,
    )
    descend(
        classifier,
        batches,
        loss_of,
        recipe.descent,
        recipe.classifier,
        "classifier",
        running=running,
    )
    return classifier.eval()


def see_classes(
    classifier: CropClassifier,
    tagged: Sequence[TaggedPhoto],
    settings: ImageSettings,
    precision: str,
) -> list[NDArray[np.float32]]:
    """Return the heat of each class in the crops of each photo: (N, K, h, w), non-negative.

    Maps have the size of the photo's crops.

    Args:
        classifier: in evaluation mode.
        tagged: photos of one size, each with at least one crop, all crops of one size.
        settings: how the network sees photos: crops are prepared as the whole photo would be.
        precision: in which the network computes.
    """
    device = next(classifier.parameters()).device
    crops = [_cut_crops(one.photo, one.weak, settings) for one in tagged]
    x0, y0, x1, y1 = tagged[0].weak.crops[0].box_xyxy
    # The network may have seen resized crops; labels have the pixels of the photo.
    with autocast(device, precision):
        heat = grad_cam(classifier, torch.cat(crops).to(device))
    heat = _resize(heat, (y1 - y0, x1 - x0))
    ends = np.cumsum([len(one) for one in crops])
    return np.split(heat.cpu().numpy(), ends[:-1])


def label_from_tags(
    heat: NDArray[np.float32], tagged: TaggedPhoto, categories: CategorySet, cam_threshold: float
) -> NDArray[np.uint8]:
    """Return class indices where the classifier sees a tagged class: (H, W).

    In each crop a pixel takes a class among the crop's tags whose heat reaches `cam_threshold`
    times that class's maximum; where several do, the one with the smaller area. Where no class
    does, or overlapping crops disagree, it is `IGNORE_INDEX`.

    Args:
        heat: (N, K, h, w) of the photo's crops, as `see_classes` gives it.
        tagged: the photo and its tags.
        categories: of the dataset.
        cam_threshold: share of a class's maximum that counts as hot.
    """
    classes = np.full(tagged.photo.shape[:2], IGNORE_INDEX, dtype=np.uint8)
    # Disputes are noted and applied at the end: a pixel that is cleared at once would be free for
    # the next crop to label.
    disputed = np.zeros(classes.shape, dtype=bool)
    for crop, crop_heat in zip(tagged.weak.crops, heat, strict=True):
        present = [categories.class_index_of[c] for c in crop.category_ids]
        label = threshold_heat(crop_heat, present, cam_threshold)
        x0, y0, x1, y1 = crop.box_xyxy
        known = classes[y0:y1, x0:x1]
        both = (known != IGNORE_INDEX) & (label != IGNORE_INDEX)
        disputed[y0:y1, x0:x1] |= both & (known != label)
        classes[y0:y1, x0:x1] = np.where(known == IGNORE_INDEX, label, known)
    classes[disputed] = IGNORE_INDEX
    return classes


def score_crops(
    classifier: CropClassifier,
    tagged: TaggedPhoto,
    settings: ImageSettings,
    precision: str,
    device: torch.device,
) -> NDArray[np.float32]:
    """Return the classifier's probability, in [0, 1], of each class in each crop: (N, K)."""
    with torch.no_grad(), autocast(device, precision):
        logits: Tensor = classifier(_cut_crops(tagged.photo, tagged.weak, settings).to(device))
    scores: NDArray[np.float32] = torch.sigmoid(logits.float()).cpu().numpy()
    return scores


def threshold_heat(
    heat: NDArray[np.float32], present: Sequence[int], cam_threshold: float
) -> NDArray[np.uint8]:
    """Return the class indices of one crop: (H, W), `IGNORE_INDEX` where no class is hot.

    Args:
        heat: (K, H, W), non-negative.
        present: class indices among the crop's tags; no other class may appear.
        cam_threshold: share of a class's maximum that counts as hot.
    """
    # A class without any heat has the maximum 0, which every pixel would reach.
    hot = {c: heat[c] >= cam_threshold * heat[c].max() for c in present if heat[c].max() > 0}
    label = np.full(heat.shape[1:], IGNORE_INDEX, dtype=np.uint8)
    # Large areas first, so that smaller ones lie on top; the index decides between equal ones.
    for class_index in sorted(hot, key=lambda c: (-int(hot[c].sum()), c)):
        label[hot[class_index]] = class_index
    return label


def tag_targets(weak: WeakLabel, categories: CategorySet) -> tuple[Tensor, Tensor]:
    """Return which classes are present in, and were asked of, each crop: (N, K), 1 for yes."""
    present = torch.zeros(len(weak.crops), len(categories))
    for row, crop in enumerate(weak.crops):
        present[row, [categories.class_index_of[c] for c in crop.category_ids]] = 1.0
    asked = torch.zeros_like(present)
    asked[:, [categories.class_index_of[c] for c in weak.tagged_category_ids]] = 1.0
    return present, asked


def _cut_crops(photo: Photo, weak: WeakLabel, settings: ImageSettings) -> Tensor:
    """Return the crops, (N, 3, h, w), prepared as the whole photo would be."""
    image = as_tensor(stretch_photo(photo, settings))
    boxes = [crop.box_xyxy for crop in weak.crops]
    crops = torch.stack([image[:, y0:y1, x0:x1] for x0, y0, x1, y1 in boxes])
    # Crops are places in the photo's own pixels, so that they are cut first and resized after that.
    scale = scale_of(photo.shape, settings)
    height, width = (max(1, round(scale * side)) for side in crops.shape[2:])
    return _resize(crops, (height, width))


def _resize(maps: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Return (N, C, H, W) maps of this size; smoothed where they shrink."""
    if maps.shape[2:] == size_hw:
        return maps
    return functional.interpolate(
        maps, size=size_hw, mode="bilinear", align_corners=False, antialias=True
    )
