"""From a prediction on a weakly labelled image to the label that the next round trains on.

Paper: Li, Arnab, Torr 2018, sec. 3.4.
"""

import cv2
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
        probabilities: (K, h, w) in [0, 1], of the semantic network on the photo or on a reduced
            one. The CRF works at this size: the reach of its neighbours is that of small photos.
        from_boxes: label from boxes; None to leave it out.
        weak: the weak label of the image.
        categories: of the dataset.
        settings: thresholds and switches, and those of the CRF.
        round_number: from 1.
    """
    if settings.crf.iterations > 0:
        height, width = probabilities.shape[1:]
        reduced = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
        probabilities = sharpen(reduced.astype(np.uint8, copy=False), probabilities, settings.crf)
    probabilities = _enlarge(probabilities, photo.shape[:2])
    return refine_label(
        probabilities.argmax(axis=0).astype(np.uint8),
        scores=probabilities.max(axis=0),
        from_boxes=from_boxes,
        weak=weak,
        categories=categories,
        settings=settings,
        round_number=round_number,
    )


def _enlarge(probabilities: NDArray[np.float32], shape_hw: tuple[int, ...]) -> NDArray[np.float32]:
    if probabilities.shape[1:] == shape_hw:
        return probabilities
    size_wh = shape_hw[1], shape_hw[0]
    enlarged = [cv2.resize(p, size_wh, interpolation=cv2.INTER_LINEAR) for p in probabilities]
    return np.stack(enlarged).astype(np.float32, copy=False)
