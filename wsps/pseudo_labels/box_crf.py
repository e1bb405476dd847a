"""A dense CRF for the scores of one box: pixels that look alike have a say in one another."""

import numpy as np
from numpy.typing import NDArray

from annotools.records import BoxXYXY, Photo
from wsps.crf.dense_crf import sharpen
from wsps.pseudo_labels.windows import cut_window, enlarge_to_box, shrink_to_window
from wsps.recipe import CrfSettings

CRF_CONTEXT_SHARE = 0.5
"""Context on each side of a box, as a share of that side of the box.

More than to find the object: what is like the background far around is background as well."""

MAX_CRF_PIXELS = 64 * 64
"""Most pixels of the window that the CRF works on. With more it takes longer and is no better."""

MAX_TRUST = 0.9
"""Probability of the object where a score is 1, and of the background where it is 0.

With more trust the CRF would change nothing."""


def sharpen_box(
    photo: Photo, box_xyxy: BoxXYXY, scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean of a box's scores and of what a dense CRF makes of them: (H, W) of the box.

    The CRF has the defaults of `CrfSettings`, which are DeepLab's, on the pixels of a window.

    Deviation from the paper: it uses the CRF on predictions only.

    Args:
        photo: (H, W, 3) RGB.
        box_xyxy: within the photo and not empty.
        scores: (H, W) of the box, how surely its pixels are its object, in [0, 1].

    Paper: Li, Arnab, Torr 2018, sec. 3.4.
    """
    window = cut_window(photo, box_xyxy, CRF_CONTEXT_SHARE, MAX_CRF_PIXELS)
    probability = 1 - MAX_TRUST + (2 * MAX_TRUST - 1) * shrink_to_window(scores, window)
    sharpened = sharpen(window.pixels, np.stack([1 - probability, probability]), CrfSettings())[1]
    return np.asarray((enlarge_to_box(sharpened, window) + scores) / 2, dtype=np.float32)
