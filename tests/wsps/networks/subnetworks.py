"""Small instance subnetworks, with what is put into them."""

import torch
from torch import Tensor

from annotools.categories import Category, CategorySet
from wsps.detections import Detections
from wsps.networks.instance import (
    InstanceSubnetwork,
)
from wsps.recipe import PHOTO_SIDE, InstanceKernelSettings, InstanceSettings

ROAD, SKY, CAR, BUS = 0, 1, 2, 3

CATEGORIES = CategorySet(
    categories=tuple(
        Category(category_id=i, name=name, is_thing=is_thing, colour=(i, i, i))
        for i, (name, is_thing) in enumerate(
            [("road", False), ("sky", False), ("car", True), ("bus", True)]
        )
    )
)

NO_KERNELS = InstanceKernelSettings(gaussian_weight=0.0, bilateral_weight=0.0)
PLAIN = InstanceSettings(
    steps=1,
    learning_rate=1e-3,
    box_weight=0.7,
    global_weight=0.3,
    soften_scores=False,
    reach=1000.0,
    kernels=NO_KERNELS,
)
"""Unary terms alone, with weights that differ."""

SMALL_KERNELS = InstanceKernelSettings(
    gaussian_weight=1.0, gaussian_sigma_xy=1.0, bilateral_weight=4.0, bilateral_sigma_xy=6.0
)
"""Of images of a dozen pixels, at the side that they are given for."""


def subnetwork(
    settings: InstanceSettings = PLAIN, categories: CategorySet = CATEGORIES
) -> InstanceSubnetwork:
    return InstanceSubnetwork(categories, settings)


def detections(*found: tuple[list[float], float], class_index: int = CAR) -> Detections:
    """Boxes and scores."""
    return Detections(
        boxes_xyxy=torch.tensor([box for box, _ in found]).reshape(-1, 4),
        class_indices=torch.full((len(found),), class_index),
        scores=torch.tensor([score for _, score in found]),
    )


def uniform_semantic(height: int = 12, width: int = 16) -> Tensor:
    """Road 0.3, sky 0.1, car 0.6 everywhere."""
    probabilities = torch.tensor([0.3, 0.1, 0.6, 0.0])[:, None, None]
    return probabilities.expand(4, height, width).contiguous()


def noise_image(height: int = 12, width: int = 16, seed: int = 0) -> Tensor:
    return 120 + 58 * torch.randn(3, height, width, generator=torch.Generator().manual_seed(seed))


def painted(grey: Tensor) -> Tensor:
    """The image of (H, W) grey levels of 0 to 255."""
    return grey.expand(3, *grey.shape)


def run(
    network: InstanceSubnetwork,
    semantic: Tensor,
    image: Tensor,
    found: Detections,
    iterations: int = 0,
    side: int = PHOTO_SIDE,
) -> Tensor:
    """Logarithms of the beliefs in one image: (L, H, W)."""
    sides = torch.tensor([side])
    return network(semantic[None], image[None], sides, [found], iterations).log_q[0]
