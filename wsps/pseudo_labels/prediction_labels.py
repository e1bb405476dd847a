"""From a prediction on a weakly labelled image to the label that the next round trains on.

Paper: Li, Arnab, Torr 2018, sec. 3.4.
"""

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.records import Photo, WeakLabel
from wsps.crf.dense_crf import sharpen
from wsps.pseudo_labels.records import PseudoLabel
from wsps.pseudo_labels.refine import refine_label
from wsps.recipe import RefinementSettings


def label_from_prediction(
    photo: Photo,
    probabilities: NDArray[np.float32],
    *,
    from_boxes: PseudoLabel | None,
    weak: WeakLabel,
    categories: CategorySet,
    settings: RefinementSettings,
    round_number: int,
) -> PseudoLabel:
    """Return the label of one image after one round of iterative ground truth.

    Args:
        photo: (H, W, 3) RGB.
        probabilities: (K, H, W) in [0, 1], of the semantic network at the photo's size.
        from_boxes: label from boxes; None to leave it out.
        weak: the weak label of the image.
        categories: of the dataset.
        settings: thresholds and switches, and those of the CRF.
        round_number: from 1.
    """
    if settings.crf.iterations > 0:
        probabilities = sharpen(photo, probabilities, settings.crf)
    return refine_label(
        probabilities.argmax(axis=0).astype(np.uint8),
        scores=probabilities.max(axis=0),
        from_boxes=from_boxes,
        weak=weak,
        categories=categories,
        settings=settings,
        round_number=round_number,
    )
