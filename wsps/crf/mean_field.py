"""Infer the labels of pixels by mean field under Gaussian kernels of place and of colour.

Paper: Kraehenbuehl, Koltun 2011, algorithm 1; unrolled for training as in Zheng et al., Conditional
Random Fields as Recurrent Neural Networks, ICCV 2015.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from annotools.errors import RecipeError
from wsps.crf.lattice import Lattice, build_lattice
from wsps.recipe import KernelSettings


def infer_labels(
    evidence: Tensor, kernels: Sequence[tuple[Lattice, Tensor]], iterations: int
) -> Tensor:
    """Return the logarithms of the beliefs in L labels: (B, N, L), they sum to 1 in each pixel.

    Labels that differ cost the same whichever they are (Potts), which is, up to a constant, a
    reward for those that agree: with beliefs q an iteration is q <- softmax(evidence + sum w K q).

    Args:
        evidence: (B, N, L) logarithms of the labels' support in N pixels of B images; minus
            infinity is no label, of which a pixel must have another. The gradient flows into them.
        kernels: each with its weight w, into which the gradient flows; over the B N pixels.
        iterations: 0 leaves the evidence as it is, but for its sum.
    """
    if evidence.shape[-1] == 0:  # No label at all: nothing to filter.
        return evidence
    energy = evidence
    for _ in range(iterations):
        beliefs = energy.softmax(dim=-1).flatten(0, 1)
        energy = evidence
        for lattice, weight in kernels:
            message = lattice.filter(beliefs).view_as(evidence)
            energy = torch.addcmul(energy, message, weight)
    return energy.log_softmax(dim=-1)


def place_features(height: int, width: int, device: torch.device) -> Tensor:
    """Return the places of an image's pixels, x first: (H W, 2), row by row."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device),
        torch.arange(width, dtype=torch.float32, device=device),
        indexing="ij",
    )
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def build_kernels(
    colours: Tensor, settings: KernelSettings, scales: Tensor, normalisation: str
) -> tuple[Lattice, Lattice]:
    """Return the Gaussian and the bilateral kernel over the pixels of B images of one size.

    Args:
        colours: (B, 3, H, W), of 0 to 255 a channel, up to a constant.
        settings: the kernels' reaches.
        scales: (B,) what the reaches in pixels are multiplied with.
        normalisation: of the kernels, see `build_lattice`.

    Raises:
        RecipeError: where a reach is far too small for a photo of this size.
    """
    images, _, height, width = colours.shape
    places = place_features(height, width, colours.device).expand(images, -1, 2)
    places = places / scales[:, None, None]
    near = places / settings.gaussian_sigma_xy
    alike = [
        places / settings.bilateral_sigma_xy,
        colours.flatten(2).transpose(1, 2) / settings.bilateral_sigma_rgb,
    ]
    found = []
    for features, names in (
        (near, "gaussian_sigma_xy is"),
        (torch.cat(alike, dim=2), "bilateral_sigma_xy and bilateral_sigma_rgb are"),
    ):
        try:
            found.append(build_lattice(features, normalisation))
        except ValueError as error:
            raise RecipeError(
                f"{names} too small for photos of {width} x {height} pixels: raise one"
            ) from error
    return found[0], found[1]
