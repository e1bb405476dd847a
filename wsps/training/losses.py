"""Losses count the pixels whose label is known. Paper: Li, Arnab, Torr 2018, sec. 3.1, eq. 1."""

from torch import Tensor
from torch.nn import functional

from annotools.categories import IGNORE_INDEX
from wsps.networks.instance import InstanceMarginals
from wsps.processes import mean_over_processes
from wsps.training.matching import UNMATCHED, match_labels


def semantic_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean cross-entropy of (B, K, H, W) logits over labelled pixels, 0 without any.

    Where several processes share a batch, labelled pixels are counted over all of them, so that the
    mean of their losses is that of the whole batch.

    Args:
        logits: of the semantic network.
        classes: (B, H, W) class indices, `IGNORE_INDEX` where unknown.
    """
    # torch's own mean is NaN where every pixel is ignored.
    total = functional.cross_entropy(
        logits.float(), classes, ignore_index=IGNORE_INDEX, reduction="sum"
    )
    return total / mean_over_processes((classes != IGNORE_INDEX).sum()).clamp(min=1)


def tag_loss(logits: Tensor, present: Tensor, asked: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of (B, K) logits over the classes asked about.

    Args:
        logits: of the crop classifier.
        present: (B, K), 1.0 where the class is in the crop.
        asked: (B, K), 1.0 where the annotator was asked about the class.

    Paper: Li, Arnab, Torr 2018, sec. B.2, eq. 6.
    """
    losses = functional.binary_cross_entropy_with_logits(logits.float(), present, reduction="none")
    return (losses * asked).sum() / asked.sum().clamp(min=1)


def instance_loss(marginals: InstanceMarginals, classes: Tensor, instances: Tensor) -> Tensor:
    """Return the mean over images of their cross-entropy after matching, 0 where nothing matches.

    Args:
        marginals: of the instance subnetwork, (B, L, H, W).
        classes: (B, H, W) class indices, `IGNORE_INDEX` where unknown.
        instances: (B, H, W) instance numbers, 0 where none is known.
    """
    log_q = marginals.log_q
    if log_q.shape[1] == 0:  # Without stuff and detections there is no label to believe in.
        return log_q.sum()
    target = match_labels(log_q.argmax(dim=1), marginals.labels, classes, instances)
    # The subnetwork's own order, a row for a pixel, so that nothing is copied.
    by_pixel = log_q.movedim(1, 3)
    losses = functional.nll_loss(
        by_pixel.flatten(0, 2), target.flatten(), ignore_index=UNMATCHED, reduction="none"
    ).view(target.shape)
    matched = (target != UNMATCHED).sum(dim=(1, 2)).clamp(min=1)
    return (losses.sum(dim=(1, 2)) / matched).mean()
