"""Examples whose labels come from the network's own predictions: one round of iteration.

Paper: Li, Arnab, Torr 2018, sec. 3.4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.records import Photo, WeakLabel
from wsps.data import TrainingExample, normalise, reduce_example, reduce_photo
from wsps.examples import example_from_weak
from wsps.networks.pspnet import PSPNet
from wsps.pseudo_labels.prediction_labels import label_from_prediction
from wsps.pseudo_labels.records import PseudoLabel
from wsps.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class UnlabelledPixels:
    """An image without a full label, and the functions that read what is known of it.

    `weak` is empty where nothing was bought, and `read_box_label` gives the label from its boxes,
    None where nobody drew any.
    """

    weak: WeakLabel
    read_photo: Callable[[], Photo]
    read_box_label: Callable[[], PseudoLabel] | None = None


def example_from_prediction(
    image: UnlabelledPixels,
    network: PSPNet,
    round_number: int,
    categories: CategorySet,
    recipe: Recipe,
) -> TrainingExample:
    """Return the example of an image that the network labels, as far as `weak` lets it.

    Args:
        image: what is known.
        network: as trained before this round, in evaluation mode.
        round_number: from 1.
        categories: of the dataset.
        recipe: its refinement, and the size of photos.
    """
    photo = image.read_photo()
    pseudo = label_by_network(
        photo,
        network,
        from_boxes=image.read_box_label() if image.read_box_label is not None else None,
        weak=image.weak,
        round_number=round_number,
        categories=categories,
        recipe=recipe,
    )
    return reduce_example(example_from_weak(photo, pseudo, image.weak, categories), recipe.max_side)


def label_by_network(
    photo: Photo,
    network: PSPNet,
    *,
    from_boxes: PseudoLabel | None,
    weak: WeakLabel,
    round_number: int,
    categories: CategorySet,
    recipe: Recipe,
) -> PseudoLabel:
    """Return the label that the network gives a photo, as far as `weak` lets it: (H, W) maps.

    Args:
        photo: (H, W, 3) RGB.
        network: as trained before this round, in evaluation mode.
        from_boxes: label from boxes, None where nobody drew any.
        weak: empty where nothing was bought.
        round_number: from 1.
        categories: of the dataset.
        recipe: its refinement, and the size of photos.
    """
    return label_from_prediction(
        photo,
        class_probabilities(network, photo, recipe.max_side),
        from_boxes=from_boxes,
        weak=weak,
        categories=categories,
        settings=recipe.refinement,
        round_number=round_number,
    )


@torch.no_grad()
def class_probabilities(network: PSPNet, photo: Photo, max_side: int | None) -> NDArray[np.float32]:
    """Return the probability of each class at each pixel that the network sees: (K, H, W).

    Args:
        network: in evaluation mode.
        photo: (H, W, 3) RGB.
        max_side: the photo goes through the network with no side above it.
    """
    device = next(network.parameters()).device
    image = normalise(reduce_photo(photo, max_side)).to(device)
    probabilities = network(image[None])[0].softmax(dim=0).cpu().numpy()
    return np.asarray(probabilities, dtype=np.float32)
