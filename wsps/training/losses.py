"""Losses count the pixels whose label is known. Paper: Li, Arnab, Torr 2018, sec. 3.1, eq. 1."""

import torch
from torch import Tensor
from torch.nn import functional

from annotools.categories import IGNORE_INDEX
from wsps.networks.instance import InstanceMarginals
from wsps.training.matching import UNMATCHED, match_labels


def semantic_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean cross-entropy of (B, K, H, W) logits over labelled pixels, 0 without any.

    Args:
        logits: of the semantic network.
        classes: (B, H, W) class indices, `IGNORE_INDEX` where unknown.
    """
    # torch's own mean is NaN where every pixel is ignored.
    total = functional.cross_entropy(logits, classes, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (classes != IGNORE_INDEX).sum().clamp(min=1)


def tag_loss(logits: Tensor, present: Tensor, asked: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of (B, K) logits over the classes asked about.

    Args:
        logits: of the crop classifier.
        present: (B, K), 1.0 where the class is in the crop.
        asked: (B, K), 1.0 where the annotator was asked about the class.

    Paper: Li, Arnab, Torr 2018, sec. B.2, eq. 6.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, present, reduction="none")
    return (losses * asked).sum() / asked.sum().clamp(min=1)


def instance_loss(marginals: InstanceMarginals, classes: Tensor, instances: Tensor) -> Tensor:
    """Return the cross-entropy of one image after matching, 0 when nothing matches.

    Args:
        marginals: of the instance subnetwork, (L, H, W).
        classes: (H, W) class indices, `IGNORE_INDEX` where unknown.
        instances: (H, W) instance numbers, 0 where none is known.
    """
    target = match_labels(
        predicted=marginals.log_q.argmax(dim=0).cpu().numpy(),
        label_classes=marginals.class_indices.cpu().numpy(),
        num_things=marginals.num_things,
        true_classes=classes.cpu().numpy(),
        true_instances=instances.cpu().numpy(),
    )
    labels = torch.from_numpy(target).to(marginals.log_q.device)
    total = functional.nll_loss(
        marginals.log_q[None], labels[None], ignore_index=UNMATCHED, reduction="sum"
    )
    return total / (labels != UNMATCHED).sum().clamp(min=1)
