"""Move class borders to the photo's edges with a fully connected CRF.

Paper: Kraehenbuehl, Koltun 2011, used as in Li, Arnab, Torr 2018, sec. 3.4.
"""

import numpy as np
from numpy.typing import NDArray
from pydensecrf.densecrf import DenseCRF2D

from annotools.records import Photo
from wsps.recipe import CrfSettings

MIN_PROBABILITY = 1e-5
"""Stands for smaller probabilities, so that a class that got 0 can still win."""


def sharpen(
    photo: Photo, probabilities: NDArray[np.float32], settings: CrfSettings
) -> NDArray[np.float32]:
    """Return the class probabilities of every pixel after mean-field inference: (K, H, W).

    They sum to 1 over the classes. They are far surer than those that came in, because each pixel
    is counted among its own neighbours and neighbours repeat each other's evidence.

    Args:
        photo: (H, W, 3) RGB, at least one pixel.
        probabilities: (K, H, W), in [0, 1].
        settings: of the CRF; without iterations only `MIN_PROBABILITY` changes anything.
    """
    num_classes, height, width = probabilities.shape
    energy = -np.log(np.maximum(probabilities, MIN_PROBABILITY))
    crf = DenseCRF2D(width, height, num_classes)
    # pydensecrf refuses arrays that are not contiguous or have another type.
    crf.setUnaryEnergy(np.ascontiguousarray(energy.reshape(num_classes, -1), dtype=np.float32))
    crf.addPairwiseGaussian(sxy=settings.gaussian_sigma_xy, compat=settings.gaussian_weight)
    crf.addPairwiseBilateral(
        sxy=settings.bilateral_sigma_xy,
        srgb=settings.bilateral_sigma_rgb,
        rgbim=np.ascontiguousarray(photo),
        compat=settings.bilateral_weight,
    )
    marginals = np.array(crf.inference(settings.iterations), dtype=np.float32)
    return marginals.reshape(probabilities.shape)
