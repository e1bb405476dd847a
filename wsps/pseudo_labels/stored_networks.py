"""Keep the networks that learn from labels: the classifier of tags, the segmenter of each round.

A run that was stopped need not train them again, and workers load them once. Torch is loaded
where a network is used: a worker that labels from boxes does without.

Paper: Li, Arnab, Torr 2018, sec. 3.3 and 3.4.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annotools.files import digest
from annotools.formats.source import photo_stamp
from annotools.records import Dataset, Image, Photo, WeakLabel
from wsps.device import autocast, choose_device, count_loaders
from wsps.networks.weights import describe_weights
from wsps.recipe import Recipe, without_weights
from wsps.training.checkpoints import (
    NETWORK_FILE,
    TRAINING_VERSION,
    StoredNetwork,
    load_weights,
    store_weights,
)

if TYPE_CHECKING:
    from torch import nn

    from wsps.networks.classifier import CropClassifier
    from wsps.networks.pspnet import PSPNet

CLASSIFIER_TABLES = ("images", "backbone", "descent", "classifier")
SEGMENTER_TABLES = ("images", "views", "backbone", "descent", "semantic")
"""The tables of a recipe from which a network is trained."""


def store_classifier(
    path: Path,
    root: Path,
    dataset: Dataset,
    tagged: Sequence[tuple[Image, WeakLabel]],
    recipe: Recipe,
    seed: int,
    features: Path | None = None,
) -> StoredNetwork:
    """Return the classifier of tags, trained unless the file has it.

    Args:
        path: of the file.
        root: of the dataset's source.
        dataset: of the images.
        tagged: images with their tags, at least one; each has crops.
        recipe: how to train.
        seed: of the training.
        features: a folder that keeps what a frozen backbone sees; None for none.

    Raises:
        DatasetError: when a photo cannot be read.
        RecipeError: when training diverges.
        OSError: when the file cannot be written.
    """

    def train(stored: StoredNetwork) -> "nn.Module":
        from wsps.pseudo_labels.tags import tagged_photos, train_classifier
        from wsps.training.loop import Running

        photos, categories = tagged_photos(dataset, tagged), dataset.categories
        running = Running(stored=stored, loaders=count_loaders(), features=features)
        return train_classifier(photos, categories, recipe, seed, choose_device(), running)

    used = [getattr(recipe, name) for name in CLASSIFIER_TABLES]
    used.append(describe_weights(recipe.backbone))
    # Photos and tags are part of the key: once one has changed, an older network is not taken.
    known = [(photo_stamp(root, image), weak) for image, weak in tagged]
    key = digest(TRAINING_VERSION, used, seed, known, dataset.categories)
    return store_weights(path, key, train)


def store_segmenter(
    labels: Path,
    root: Path,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    round_number: int,
    before: StoredNetwork | None,
    features: Path | None = None,
) -> StoredNetwork:
    """Return the network that the labels of a round train, unless their folder has it.

    Args:
        labels: the label set of the round; the network goes there.
        root: of the dataset's source.
        dataset: that has the photos.
        recipe: how to train.
        seed: of weights, order and augmentation.
        round_number: of the labels, from 0.
        before: the network of the round before, which goes on learning; None before the first.
        features: a folder that keeps what a frozen backbone sees; None for none.

    Raises:
        DatasetError: when a photo or a label cannot be read.
        RecipeError: when training diverges.
        OSError: when the file cannot be written.
    """
    from wsps.label_sets import hash_label_set, read_label_set
    from wsps.labelled_photos import read_examples

    def train(stored: StoredNetwork) -> "nn.Module":
        from wsps.networks.model import build_model
        from wsps.training.loop import Running
        from wsps.training.stages import train_semantic

        # Built as in `train`, so that one seed gives the same first weights in both.
        network = build_model(recipe, dataset.categories, seed, choose_device()).semantic
        if before is not None:
            load_weights(before.path, network, before.key)
        groups = read_examples(read_label_set(labels), dataset, recipe.images)
        running = Running(stored=stored, loaders=count_loaders(), features=features)
        train_semantic(network, groups, recipe, seed, round_number, running)
        return network

    used = [getattr(recipe, name) for name in SEGMENTER_TABLES]
    used.append(describe_weights(recipe.backbone))
    labelled = {image.image_id for image in read_label_set(labels).labels.images}
    stamps = [photo_stamp(root, image) for image in dataset.images if image.image_id in labelled]
    key_before = None if before is None else before.key
    made_from = used, seed, round_number, key_before, hash_label_set(labels), stamps
    key = digest(TRAINING_VERSION, *made_from)
    return store_weights(labels / NETWORK_FILE, key, train)


def class_probabilities(
    network: "PSPNet", photos: Sequence[Photo], precision: str
) -> NDArray[np.float32]:
    """Return the probability of each class at each pixel that the network sees: (B, K, H, W).

    Args:
        network: in evaluation mode.
        photos: B of (H, W, 3) RGB, prepared for networks, all of one size, at least one.
        precision: in which the network computes.
    """
    import torch

    from wsps.data import as_tensor

    device = next(network.parameters()).device
    with torch.no_grad(), autocast(device, precision):
        images = torch.stack([as_tensor(photo) for photo in photos])
        probabilities = network(images.to(device)).softmax(dim=1).float().cpu().numpy()
    return np.asarray(probabilities, dtype=np.float32)


@lru_cache(maxsize=1)
def load_classifier(stored: StoredNetwork, recipe: Recipe, num_classes: int) -> "CropClassifier":
    """Return the classifier of tags in evaluation mode, loaded once in every process."""
    from wsps.networks.classifier import build_classifier

    network = build_classifier(without_weights(recipe).backbone, num_classes)
    return load_weights(stored.path, network, stored.key)


@lru_cache(maxsize=1)
def load_segmenter(stored: StoredNetwork, recipe: Recipe, num_classes: int) -> "PSPNet":
    """Return the network of a round in evaluation mode, loaded once in every process."""
    from wsps.networks.model import build_segmenter

    network = build_segmenter(without_weights(recipe), num_classes)
    return load_weights(stored.path, network, stored.key)
