"""Tell which classes a crop has, and where the classifier looks for each: Grad-CAM.

Paper: Li, Arnab, Torr 2018, sec. 3.3 and B.2. Source: Selvaraju et al., Grad-CAM, ICCV 2017.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsps.networks.backbone import Backbone, build_backbone
from wsps.networks.pspnet import PSPTrunk, resize
from wsps.recipe import BackboneSettings


class CropClassifier(nn.Module):
    """PSPNet's trunk, global average pooling and a linear layer: (B, 3, H, W) to (B, K) logits."""

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.trunk = PSPTrunk(backbone)
        self.classify = nn.Linear(self.trunk.out_channels, num_classes)

    def forward(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        """Return (B, K) logits of (B, 3, H, W) images, whose features may be there already."""
        return self.logits(self.trunk(images, features))

    def logits(self, features: Tensor) -> Tensor:
        """Return (B, K) float32 logits of the trunk's (B, C, h, w) features."""
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.classify(features.float().mean(dim=(2, 3)))
        return logits


def build_classifier(settings: BackboneSettings, num_classes: int) -> CropClassifier:
    """Return a classifier on the backbone of a recipe, before training.

    Raises:
        RecipeError: as `build_backbone`.
    """
    if settings.norm == "group":
        # A crop may be all of one class: less its own mean, it would look like one of any other.
        settings = replace(settings, norm="batch")
    return CropClassifier(build_backbone(settings), num_classes)


def grad_cam(classifier: CropClassifier, images: Tensor) -> Tensor:
    """Return Grad-CAM heat maps of every class: (B, K, H, W), non-negative.

    A class's map is the rectified sum of the last convolution's channels, each weighted by the
    mean gradient of the class's logit in it (Selvaraju et al. 2017, eq. 1 and 2).

    Args:
        classifier: in evaluation mode.
        images: (B, 3, H, W) RGB of 0 to 255.
    """
    with torch.no_grad():
        features = classifier.trunk(images).float()  # (B, C, h, w)
    # In float32 whatever autocast says.
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        # A logit is linear in the mean of each channel, so that its gradient is the same in all
        # h w cells: the layer's weight divided by their number.
        weights = classifier.classify.weight.float() / features[0, 0].numel()
        heat = functional.relu(torch.einsum("kc,bchw->bkhw", weights, features))
        return resize(heat, images.shape[-2:])
