"""The semantic network of a round as a file: trained on the labels of a folder, used by workers.

Paper: Li, Arnab, Torr 2018, sec. 3.4.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotools.categories import CategorySet
from annotools.formats.panoptic_folder import read_maps
from annotools.records import Dataset, Image, Photo, WeakLabel
from annotools.settings import as_table
from wsps.pseudo_labels.records import PseudoLabel
from wsps.recipe import Recipe
from wsps.training.checkpoints import choose_device, load_weights, store_weights

if TYPE_CHECKING:
    from wsps.data import Examples, TrainingExample
    from wsps.networks.pspnet import PSPNet

NETWORK_SETTINGS = (
    "backbone",
    "backbone_weights",
    "batch_size",
    "crop_size_wh",
    "max_side",
    "optimizer",
    "scale_range",
    "semantic",
    "weight_decay",
)
"""The settings of a recipe on which a network depends, beside those of its labels."""


@dataclass(frozen=True, kw_only=True)
class LabelledImage:
    """An image whose maps are in `folder` under `name`; `key` says what they were made from."""

    image: Image
    folder: Path
    name: str
    key: str


@dataclass(frozen=True, kw_only=True)
class StoredNetwork:
    """A network in a file; `key` names what it depends on, the `recipe` says how to use it."""

    path: Path
    key: str
    recipe: Recipe

    def label(
        self,
        photo: Photo,
        from_boxes: PseudoLabel | None,
        weak: WeakLabel,
        categories: CategorySet,
        round_number: int,
    ) -> PseudoLabel:
        """Return what `label_by_network` does."""
        from wsps.self_training import label_by_network

        return label_by_network(
            photo,
            _load_once(self, len(categories)),
            from_boxes=from_boxes,
            weak=weak,
            round_number=round_number,
            categories=categories,
            recipe=self.recipe,
        )


def store_network(
    path: Path,
    groups: Sequence[Sequence[LabelledImage]],
    before: StoredNetwork | None,
    dataset: Dataset,
    recipe: Recipe,
    seed: int,
    round_number: int,
) -> StoredNetwork:
    """Train a network on the labels of a round and write it to a file, unless it is there already.

    Args:
        path: of the file.
        groups: the images by label kind, none empty.
        before: the network of the round before, which goes on learning; None before the first.
        dataset: of the images.
        recipe: as `train_semantic` takes it.
        seed: of weights, order and augmentation.
        round_number: of the labels, from 0.

    Raises:
        DatasetError: when a photo or a map cannot be read.
        RecipeError: for settings that cannot be trained with.
        OSError: when the file cannot be written.
    """

    def train() -> "PSPNet":
        from wsps.training.stages import start_model, train_semantic

        categories = dataset.categories
        if before is None:
            network = start_model(categories, recipe, seed, choose_device()).semantic
        else:
            network = _load(before, len(categories))
        examples = [_examples(group, dataset, recipe.max_side) for group in groups]
        train_semantic(network, examples, recipe, seed, round_number)
        return network

    key = _key(groups, before, recipe, seed, round_number)
    store_weights(path, key, train)
    return StoredNetwork(path=path, key=key, recipe=recipe)


def _key(
    groups: Sequence[Sequence[LabelledImage]],
    before: StoredNetwork | None,
    recipe: Recipe,
    seed: int,
    round_number: int,
) -> str:
    settings: dict[str, Any] = {n: as_table(getattr(recipe, n)) for n in NETWORK_SETTINGS}
    known = [settings, seed, round_number, None if before is None else before.key]
    total = hashlib.sha256(json.dumps(known).encode())
    for group in groups:
        listed = [[labelled.name, labelled.key] for labelled in group]
        total.update(json.dumps(listed).encode())
    return total.hexdigest()


def _examples(
    images: Sequence[LabelledImage], dataset: Dataset, max_side: int | None
) -> "Examples":
    from wsps.data import Examples

    return Examples([partial(_example, labelled, dataset, max_side) for labelled in images])


def _example(labelled: LabelledImage, dataset: Dataset, max_side: int | None) -> "TrainingExample":
    from wsps.data import reduce_example
    from wsps.examples import example_from_weak

    classes, instances = read_maps(labelled.folder, labelled.name)
    made = PseudoLabel(classes=classes, instances=instances)
    # The semantic network learns from the maps alone; boxes are for the detector.
    no_boxes = WeakLabel(image_id=labelled.image.image_id)
    photo = dataset.read_photo(labelled.image)
    return reduce_example(example_from_weak(photo, made, no_boxes, dataset.categories), max_side)


@lru_cache(maxsize=1)
def _load_once(stored: StoredNetwork, num_classes: int) -> "PSPNet":
    """Return the network for labelling; nobody may train it."""
    return _load(stored, num_classes)


def _load(stored: StoredNetwork, num_classes: int) -> "PSPNet":
    from wsps.networks.backbone import build_backbone
    from wsps.networks.pspnet import PSPNet

    network = PSPNet(build_backbone(stored.recipe.backbone), num_classes)
    return load_weights(stored.path, network)
