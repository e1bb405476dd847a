"""The classifier of tags as a file: a run that was stopped need not train it again.

Torch is loaded by the functions that need it: a worker that labels from boxes does without.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.records import Dataset, Image, Photo, WeakLabel
from annotools.settings import as_table
from wsps.pseudo_labels.quality import CropScores
from wsps.recipe import Recipe
from wsps.training.checkpoints import choose_device, load_weights, store_weights

if TYPE_CHECKING:
    from wsps.networks.classifier import CropClassifier

CLASSIFIER_SETTINGS = (
    "backbone",
    "backbone_weights",
    "batch_size",
    "classifier",
    "max_side",
    "optimizer",
    "weight_decay",
)
"""The settings of a recipe on which a classifier depends."""


@dataclass(frozen=True, kw_only=True)
class StoredClassifier:
    """A classifier in a file; `key` names what it depends on, the `recipe` says how to use it."""

    path: Path
    key: str
    recipe: Recipe

    def label(self, photo: Photo, weak: WeakLabel, categories: CategorySet) -> NDArray[np.uint8]:
        """Return what `label_from_tags` does."""
        from wsps.pseudo_labels.tags import TaggedPhoto, label_from_tags

        tagged = TaggedPhoto(photo=photo, weak=weak)
        classifier = _load(self, len(categories))
        return label_from_tags(classifier, tagged, categories, self.recipe, choose_device())

    def score(self, photo: Photo, weak: WeakLabel, categories: CategorySet) -> CropScores:
        """Return how the classifier scores the crops of a photo, beside their tags."""
        from wsps.pseudo_labels.tags import TaggedPhoto, score_crops, tag_targets

        present, asked = tag_targets(weak, categories)
        tagged = TaggedPhoto(photo=photo, weak=weak)
        classifier = _load(self, len(categories))
        return CropScores(
            scores=score_crops(classifier, tagged, self.recipe.max_side, choose_device()),
            present=present.numpy() > 0,
            asked=asked.numpy() > 0,
        )


def store_classifier(
    path: Path,
    dataset: Dataset,
    images: Sequence[Image],
    weak_of: Mapping[int | str, WeakLabel],
    stamps: Sequence[str],
    recipe: Recipe,
    seed: int,
) -> StoredClassifier:
    """Train a classifier and write it to a file, unless the file has it already.

    Args:
        path: of the file.
        dataset: of the images.
        images: at least one, each with tags.
        weak_of: the tags of each image by its id.
        stamps: what tells each photo from another content of its file.
        recipe: as `train_classifier` takes it.
        seed: of the training.

    Raises:
        DatasetError: when a photo cannot be read.
        RecipeError: for settings that cannot be trained with.
        OSError: when the file cannot be written.
    """
    from wsps.pseudo_labels.tags import TaggedPhotos, train_classifier

    def train() -> "CropClassifier":
        photos = TaggedPhotos(dataset, images, weak_of)
        return train_classifier(photos, dataset.categories, recipe, seed, choose_device())

    key = _key([weak_of[image.image_id] for image in images], stamps, recipe, seed)
    store_weights(path, key, train)
    return StoredClassifier(path=path, key=key, recipe=recipe)


def _key(weak_labels: Sequence[WeakLabel], stamps: Sequence[str], recipe: Recipe, seed: int) -> str:
    settings: dict[str, Any] = {n: as_table(getattr(recipe, n)) for n in CLASSIFIER_SETTINGS}
    total = hashlib.sha256(json.dumps([settings, seed]).encode())
    for weak, stamp in zip(weak_labels, stamps, strict=True):
        total.update(json.dumps([asdict(weak), stamp]).encode())
    return total.hexdigest()


@lru_cache(maxsize=1)
def _load(stored: StoredClassifier, num_classes: int) -> "CropClassifier":
    """Return the classifier in evaluation mode."""
    from wsps.networks.backbone import build_backbone
    from wsps.networks.classifier import CropClassifier

    classifier = CropClassifier(build_backbone(stored.recipe.backbone), num_classes)
    return load_weights(stored.path, classifier)
