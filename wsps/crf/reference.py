"""The dense CRF of `pydensecrf`, in compiled code for one CPU core.

Paper: Kraehenbuehl, Koltun 2011, used as in Li, Arnab, Torr 2018, sec. 3.4.
"""

import numpy as np
from numpy.typing import NDArray
from pydensecrf.densecrf import DenseCRF2D

from annotools.errors import RecipeError
from annotools.records import Photo
from wsps.recipe import CrfSettings

MAX_RANGE = 5000
"""Standard deviations that features may span, twice as many those of places alone: `pydensecrf` has
16 bits for a coordinate of its lattice, and beyond them it crashes."""


def sharpen_by_reference(
    photo: Photo, probabilities: NDArray[np.float32], settings: CrfSettings
) -> NDArray[np.float32]:
    """Return what `wsps.crf.dense_crf.sharpen` returns, computed by `pydensecrf`.

    On the few pixels of a box it is the faster one, and it needs no torch.

    Args:
        photo: (H, W, 3) RGB, at least one pixel.
        probabilities: (K, H, W), above 0, at most 1.
        settings: of the CRF.

    Raises:
        RecipeError: where a reach is too small.
    """
    num_classes, height, width = probabilities.shape
    side = max(height, width)
    bilateral = side / settings.bilateral_sigma_xy + 255 / settings.bilateral_sigma_rgb
    if max(bilateral, side / settings.gaussian_sigma_xy / 2) > MAX_RANGE:
        raise RecipeError(
            "bilateral_sigma_xy, bilateral_sigma_rgb or gaussian_sigma_xy is too small for "
            f"pydensecrf on photos of {width} x {height} pixels: raise it, or set engine = lattice"
        )
    crf = DenseCRF2D(width, height, num_classes)
    # pydensecrf refuses arrays that are not contiguous or have another type.
    energy = -np.log(probabilities).reshape(num_classes, -1)
    crf.setUnaryEnergy(np.ascontiguousarray(energy, dtype=np.float32))
    crf.addPairwiseGaussian(sxy=settings.gaussian_sigma_xy, compat=settings.gaussian_weight)
    crf.addPairwiseBilateral(
        sxy=settings.bilateral_sigma_xy,
        srgb=settings.bilateral_sigma_rgb,
        rgbim=np.ascontiguousarray(photo),
        compat=settings.bilateral_weight,
    )
    marginals = np.array(crf.inference(settings.iterations), dtype=np.float32)
    return marginals.reshape(probabilities.shape)
