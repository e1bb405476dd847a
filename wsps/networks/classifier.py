"""Tell which classes a crop has, and where the classifier looks for each: Grad-CAM.

Paper: Li, Arnab, Torr 2018, sec. 3.3 and B.2. Source: Selvaraju et al., Grad-CAM, ICCV 2017.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wsps.networks.backbone import Backbone
from wsps.networks.pspnet import PSPTrunk, resize


class CropClassifier(nn.Module):
    """PSPNet's trunk, global average pooling and a linear layer: (B, 3, H, W) to (B, K) logits."""

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.trunk = PSPTrunk(backbone)
        self.classify = nn.Linear(self.trunk.out_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, K) logits of (B, 3, H, W) images."""
        return self.logits(self.trunk(images))

    def logits(self, features: Tensor) -> Tensor:
        """Return (B, K) float32 logits of the trunk's (B, C, h, w) features."""
        logits: Tensor = self.classify(features.mean(dim=(2, 3)))
        return logits.float()


def grad_cam(classifier: CropClassifier, images: Tensor) -> Tensor:
    """Return Grad-CAM heat maps of every class: (B, K, H, W), non-negative.

    A class's map is the rectified sum of the last convolution's channels, each weighted by the
    mean gradient of the class's logit in it (Selvaraju et al. 2017, eq. 1 and 2).

    Args:
        classifier: in evaluation mode.
        images: (B, 3, H, W) RGB of 0 to 255.
    """
    # Gradients are needed in the last features alone, so the trunk keeps nothing for them.
    with torch.no_grad():
        features = classifier.trunk(images).float()
    features.requires_grad_(True)
    logits = classifier.logits(features)
    maps = []
    for class_index in range(logits.shape[1]):
        # No image's logit depends on another image, so that the gradient of the sum holds the
        # gradient of each.
        (gradient,) = torch.autograd.grad(logits[:, class_index].sum(), features, retain_graph=True)
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        maps.append(functional.relu((weights * features).sum(dim=1)))
    heat = torch.stack(maps, dim=1).detach()  # (B, K, h, w)
    return resize(heat, images.shape[-2:])
