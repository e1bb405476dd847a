"""Move class borders to the photo's edges with a fully connected CRF.

Paper: Kraehenbuehl, Koltun 2011, used as in Li, Arnab, Torr 2018, sec. 3.4.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from annotools.errors import name_place
from annotools.records import Photo
from wsps.device import choose_device
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
        settings: of the CRF; without iterations probabilities stay as they are.

    Raises:
        RecipeError: where a reach is far too small for the photo.
    """
    (sharpened,) = sharpen_batch([photo], probabilities[None], settings)
    return np.asarray(sharpened, dtype=np.float32)


def sharpen_batch(
    photos: Sequence[Photo], probabilities: NDArray[np.float32], settings: CrfSettings
) -> NDArray[np.float32]:
    """Return what `sharpen` does of each of B photos of one size: (B, K, H, W).

    Args:
        photos: B of (H, W, 3) RGB, at least one.
        probabilities: (B, K, H, W), in [0, 1].
        settings: of the CRF; without iterations probabilities stay as they are.

    Raises:
        RecipeError: where a reach is far too small for the photos.
    """
    if settings.iterations == 0:
        return probabilities
    probabilities = np.maximum(probabilities, MIN_PROBABILITY)
    with name_place("refinement.crf"):
        if settings.engine == "pydensecrf":
            from wsps.crf.reference import sharpen_by_reference

            pairs = zip(photos, probabilities, strict=True)
            return np.stack([sharpen_by_reference(*pair, settings) for pair in pairs])
        return _sharpen_on_lattice(np.stack(photos), probabilities, settings)


def _sharpen_on_lattice(
    photos: NDArray[np.uint8], probabilities: NDArray[np.float32], settings: CrfSettings
) -> NDArray[np.float32]:
    import torch

    from wsps.crf.mean_field import build_kernels, infer_labels

    device = choose_device()
    colours = torch.from_numpy(photos).to(device).float().permute(0, 3, 1, 2)
    here = torch.ones(len(photos), device=device)
    weights = torch.tensor([settings.gaussian_weight, settings.bilateral_weight], device=device)
    with torch.no_grad():
        kernels = build_kernels(colours, settings, here, "symmetric")
        evidence = torch.from_numpy(probabilities).to(device).log().flatten(2).transpose(1, 2)
        pairs = list(zip(kernels, weights, strict=True))
        log_q = infer_labels(evidence.contiguous(), pairs, settings.iterations)
        beliefs = log_q.exp().transpose(1, 2).reshape(probabilities.shape)
    return np.asarray(beliefs.cpu().numpy(), dtype=np.float32)
