"""What a trial bought, as training examples: before the first training, and after each round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from annotools.records import NO_LABEL, Dataset, Image, WeakLabel
from annotools.weak_labels.annotators import Annotator, annotate_weak
from annotools.weak_labels.outlines import annotate_full
from annotools.weak_labels.weaken import weaken
from wsps.data import Examples, TrainingExample, reduce_example
from wsps.examples import example_from_full, example_from_weak
from wsps.networks.classifier import CropClassifier
from wsps.networks.pspnet import PSPNet
from wsps.pseudo_labels.image_labels import label_image
from wsps.pseudo_labels.label_store import BoxLabelStore
from wsps.pseudo_labels.records import PseudoLabel
from wsps.pseudo_labels.tags import TaggedPhoto, TaggedPhotos, label_from_tags, train_classifier
from wsps.recipe import Recipe
from wsps.self_training import UnlabelledPixels, example_from_prediction


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """The labels of a trial.

    `images_of` gives the images of each label kind, `NO_LABEL` among them; `weak_of` the weak
    label of each image without a full one by image id, as the `annotator` gives it, with the
    mistakes of the `seed`; `box_labels` keeps what is made from boxes.
    """

    dataset: Dataset
    images_of: Mapping[str, Sequence[Image]]
    weak_of: Mapping[int | str, WeakLabel]
    annotator: Annotator
    box_labels: BoxLabelStore
    recipe: Recipe
    seed: int


def buy_labels(
    dataset: Dataset,
    kind_of: Mapping[int | str, str],
    annotator: Annotator,
    box_labels: BoxLabelStore,
    recipe: Recipe,
    seed: int,
) -> Purchase:
    """Return the labels of the images in `kind_of`, which gives each image id its label kind."""
    images_of: dict[str, list[Image]] = {kind: [] for kind in sorted(set(kind_of.values()))}
    weak_of = {}
    for image in dataset.images:
        kind = kind_of.get(image.image_id)
        if kind is None:
            continue
        images_of[kind].append(image)
        if kind == NO_LABEL:
            weak_of[image.image_id] = WeakLabel(image_id=image.image_id)
        elif kind != "full":
            size_wh = recipe.tags.crop_size_wh
            weak = weaken(dataset.read_label(image), dataset.categories, kind, size_wh)
            weak_of[image.image_id] = annotate_weak(
                weak, dataset.categories, annotator, (image.width, image.height), seed
            )
    return Purchase(
        dataset=dataset,
        images_of=images_of,
        weak_of=weak_of,
        annotator=annotator,
        box_labels=box_labels,
        recipe=recipe,
        seed=seed,
    )


def first_examples(bought: Purchase, device: torch.device) -> dict[str, Examples]:
    """Return the examples of the images with a label, by label kind.

    Where there are tags, a classifier is trained on them first.
    """
    classifier = _train_classifier(bought, device)
    groups = {}
    for kind, images in bought.images_of.items():
        if kind == "full":
            groups[kind] = Examples([partial(_full_example, bought, image) for image in images])
        elif kind != NO_LABEL:
            makers = [partial(_weak_example, bought, image, classifier, device) for image in images]
            groups[kind] = Examples(makers)
    return groups


def relabelled_examples(
    bought: Purchase, first: Mapping[str, Examples], network: PSPNet, round_number: int
) -> list[Examples]:
    """Return the examples of a round: the full labels of the `first`, all others by the network.

    Images without a label take part from here on.
    """
    groups = []
    for kind, images in bought.images_of.items():
        makers = [partial(_next_example, bought, image, network, round_number) for image in images]
        groups.append(first[kind] if kind == "full" else Examples(makers))
    return groups


def _train_classifier(bought: Purchase, device: torch.device) -> CropClassifier | None:
    tagged = [
        image
        for images in bought.images_of.values()
        for image in images
        if (weak := bought.weak_of.get(image.image_id)) and weak.crops
    ]
    if not tagged:
        return None
    photos = TaggedPhotos(bought.dataset, tagged, bought.weak_of)
    return train_classifier(photos, bought.dataset.categories, bought.recipe, bought.seed, device)


def _full_example(bought: Purchase, image: Image) -> TrainingExample:
    dataset = bought.dataset
    label = dataset.read_label(image)
    label = annotate_full(label, dataset.categories, bought.annotator, bought.seed)
    example = example_from_full(dataset.read_photo(image), label, dataset.categories)
    return reduce_example(example, bought.recipe.max_side)


def _weak_example(
    bought: Purchase, image: Image, classifier: CropClassifier | None, device: torch.device
) -> TrainingExample:
    weak, categories = bought.weak_of[image.image_id], bought.dataset.categories
    photo = bought.dataset.read_photo(image)
    from_tags: NDArray[np.uint8] | None = None
    if weak.crops:
        assert classifier is not None
        tagged = TaggedPhoto(photo=photo, weak=weak)
        from_tags = label_from_tags(classifier, tagged, categories, bought.recipe, device)
    from_boxes = _box_label(bought, image) if weak.has_boxes else None
    pseudo = label_image(from_boxes, from_tags, weak, categories, bought.recipe.refinement)
    return reduce_example(
        example_from_weak(photo, pseudo, weak, categories), bought.recipe.max_side
    )


def _next_example(
    bought: Purchase, image: Image, network: PSPNet, round_number: int
) -> TrainingExample:
    weak = bought.weak_of[image.image_id]
    known = UnlabelledPixels(
        weak=weak,
        read_photo=partial(bought.dataset.read_photo, image),
        read_box_label=partial(_box_label, bought, image) if weak.has_boxes else None,
    )
    categories = bought.dataset.categories
    return example_from_prediction(known, network, round_number, categories, bought.recipe)


def _box_label(bought: Purchase, image: Image) -> PseudoLabel:
    return bought.box_labels.label(bought.dataset, image, bought.weak_of[image.image_id].boxes)
