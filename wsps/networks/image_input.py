"""Networks are given colours of 0 to 255, and bring them to the numbers that their weights expect.

So whoever reads a photo need not know which weights it will meet.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wsps.networks.timm_networks import colours_of
from wsps.networks.weight_names import is_timm
from wsps.recipe import BackboneSettings


@dataclass(frozen=True, kw_only=True)
class ImageInput:
    """What the first convolution of some weights expects: (colour - `mean`) / `deviation`.

    Both are for red, green and blue of 0 to 255; `is_bgr` says that blue comes first.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    is_bgr: bool


IMAGE_INPUTS = {
    # ImageNet's statistics, https://pytorch.org/vision/stable/models.html
    "torchvision": ImageInput(
        mean=(255 * 0.485, 255 * 0.456, 255 * 0.406),
        deviation=(255 * 0.229, 255 * 0.224, 255 * 0.225),
        is_bgr=False,
    ),
    "caffe": ImageInput(mean=(123.0, 117.0, 104.0), deviation=(1.0, 1.0, 1.0), is_bgr=True),
}
"""By the name that `BackboneSettings.input` gives: one of `wsps.recipe.INPUTS`."""

OWN_INPUTS = {"thin-resnet50": "caffe"}
"""The input of backbones, by name, where it is not torchvision's."""


def find_input(settings: BackboneSettings) -> ImageInput:
    """Return what a backbone expects: what its recipe says, else what is its own.

    Raises:
        RecipeError: for a network that timm does not have, or without timm.
    """
    if settings.input is None and is_timm(settings.name):
        mean, deviation = colours_of(settings.name)
        return ImageInput(
            mean=(255 * mean[0], 255 * mean[1], 255 * mean[2]),
            deviation=(255 * deviation[0], 255 * deviation[1], 255 * deviation[2]),
            is_bgr=False,
        )
    name = settings.input or OWN_INPUTS.get(settings.name, "torchvision")
    return IMAGE_INPUTS[name]


class Normalise(nn.Module):
    """Bring (B, 3, H, W) RGB colours of 0 to 255 to what the weights expect."""

    def __init__(self, image_input: ImageInput) -> None:
        super().__init__()
        # The recipe has them, so that no checkpoint need.
        for name in ("mean", "deviation"):
            values = torch.tensor(getattr(image_input, name))[:, None, None]
            self.register_buffer(name, values, persistent=False)
        self.is_bgr = image_input.is_bgr

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images."""
        normalised = (images - self.get_buffer("mean")) / self.get_buffer("deviation")
        return normalised.flip(1) if self.is_bgr else normalised
