"""The panoptic model joins the semantic network, the detector and the instance subnetwork.

Paper: Li, Arnab, Torr 2018, sec. 3.5 and fig. 5.
"""

from dataclasses import dataclass

import torch

from annotools.categories import CategorySet
from annotools.errors import RecipeError
from annotools.random_streams import stream_seed
from wsps.networks.backbone import build_backbone
from wsps.networks.detector import Detector
from wsps.networks.instance import InstanceSubnetwork
from wsps.networks.pspnet import PSPNet
from wsps.recipe import DEFAULT_STUDENT, Recipe


@dataclass(frozen=True, kw_only=True)
class PanopticModel:
    """A student's networks, on one device, with the recipe and categories that they belong to.

    Without a detector, detections are given with the photos. Unless it `has_learnt_boxes`, which
    takes labels with boxes, it finds nothing. The instance subnetwork is that of `li2018`; None for
    `mask-rcnn`.
    """

    recipe: Recipe
    categories: CategorySet
    semantic: PSPNet
    detector: Detector | None
    instance: InstanceSubnetwork | None
    device: torch.device
    student: str = DEFAULT_STUDENT
    has_learnt_boxes: bool = True


def build_model(
    recipe: Recipe,
    categories: CategorySet,
    seed: int,
    device: torch.device,
    *,
    has_detector: bool = True,
) -> PanopticModel:
    """Return the model of `li2018` before training; its random weights come from the seed.

    Args:
        recipe: of the networks.
        categories: that they tell apart.
        seed: of the weights.
        device: where the networks shall be.
        has_detector: false where detections are given, which have no masks: `instance.mask_weight`
            is 0 then.

    Raises:
        RecipeError: for a backbone that does not exist, or has no place for what the recipe asks
            for, or weights that do not fit.
    """
    # Modules draw their weights from torch's global generator, in the order of building, and on the
    # CPU, so that a GPU begins with the same ones.
    torch.manual_seed(stream_seed(seed, "weights"))
    semantic = build_segmenter(recipe, len(categories)).to(device)
    detector = None
    if has_detector:
        masks = recipe.instance.mask_weight > 0
        detector = build_detector(recipe, categories, masks=masks).to(device)
    return PanopticModel(
        recipe=recipe,
        categories=categories,
        semantic=semantic,
        detector=detector,
        instance=InstanceSubnetwork(categories, recipe.instance).to(device),
        device=device,
    )


def build_segmenter(recipe: Recipe, num_classes: int) -> PSPNet:
    """Return the semantic network of a recipe; its random weights come from torch's generator.

    Raises:
        RecipeError: as `build_model`.
    """
    auxiliary = recipe.semantic.auxiliary_weight > 0
    if auxiliary and recipe.backbone.frozen:
        raise RecipeError(
            "semantic.auxiliary_weight is above 0, but a frozen backbone learns nothing from its "
            "loss: set it to 0"
        )
    return PSPNet(build_backbone(recipe.backbone), num_classes, auxiliary)


def check_segmenter(recipe: Recipe) -> None:
    """Make sure, before any work, that the backbone and its weights can be had and fit the recipe.

    Weights that torchvision or timm have to download are in their cache then.

    Raises:
        RecipeError: as `build_segmenter`.
    """
    # Whether weights fit is known when they are in the network, and that is a matter of seconds.
    build_segmenter(recipe, num_classes=1)


def build_detector(recipe: Recipe, categories: CategorySet, *, masks: bool = False) -> Detector:
    """Return the detector of a recipe; its random weights come from torch's generator.

    Args:
        recipe: its backbone, and how many detections are offered in a photo.
        categories: whose things it finds.
        masks: whether its detections have masks.

    Raises:
        RecipeError: as `build_model`.
    """
    return Detector(
        recipe.backbone,
        categories.thing_indices,
        masks=masks,
        max_detections=recipe.instance.max_detections,
    )
