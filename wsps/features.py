"""Keep what a frozen backbone sees in pictures: it is computed once, though many steps ask.

A picture is known by its pixels, so that trials that learn from the same views share the files.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from annotools.files import digest
from annotools.records import Photo
from annotools.seals import read_sealed, write_sealed
from wsps.device import choose_device, resolve_precision
from wsps.networks.backbone import Backbone
from wsps.training.checkpoints import digest_tensors

_FORM = 2
"""Changes when the files do, so that those of an older version are not taken for damaged."""


@dataclass(frozen=True, kw_only=True)
class KeptFeatures:
    """A folder with one file a picture; several processes may use it at the same time.

    `backbone` is frozen, and `key` names its weights and how it computes.
    """

    backbone: Backbone
    folder: Path
    key: str

    def see(self, images: Tensor, pixels: Sequence[str]) -> Tensor:
        """Return the features of pictures, (B, C, h, w) float32, from the folder where it has them.

        Args:
            images: (B, 3, H, W) RGB of 0 to 255.
            pixels: what `name_pixels` gives of each.

        Raises:
            OSError: when a file cannot be written.
        """
        found = []
        for image, name in zip(images, pixels, strict=True):
            path = self.folder / f"{digest(self.key, name)[:32]}.npy"
            features = _read(path, self.backbone.out_channels)
            if features is None:
                # Alone: what it sees in a picture must not depend on those beside it.
                features = _shrink(see_frozen(self.backbone, image[None])[0]).cpu().numpy()
                # Made again in less time than a disk takes to be sure of it.
                write_sealed(path, _encode(features), flush=False)
            found.append(torch.from_numpy(features).float())
        return torch.stack(found).to(images.device)


@torch.no_grad()
def see_frozen(backbone: Backbone, images: Tensor) -> Tensor:
    """Return the (B, C, h, w) features of (B, 3, H, W) images; no gradient flows to a backbone."""
    features: Tensor = backbone.eval()(images)
    return features.float()


FeatureReader = Callable[[Tensor, Sequence[str]], Tensor | None]
"""Gives the features of (B, 3, H, W) images and of the names of their pixels, none where these are
not known; None where the backbone learns, and so is part of the network."""


def feature_reader(backbone: Backbone, precision: str, folder: Path | None) -> FeatureReader:
    """Return what sees for a network that is put on a backbone.

    Args:
        backbone: frozen or not.
        precision: in which it computes.
        folder: that keeps features; None to see again each time.
    """
    if not backbone.is_frozen:
        return lambda _images, _pixels: None
    if folder is None:
        return lambda images, _pixels: see_frozen(backbone, images)
    kept = keep_features(backbone, folder, precision)
    return lambda images, pixels: (
        kept.see(images, pixels) if pixels else see_frozen(backbone, images)
    )


def keep_features(backbone: Backbone, folder: Path, precision: str) -> KeptFeatures:
    """Return the features of a frozen backbone in a folder, which may have those of others too.

    Args:
        backbone: with its weights.
        folder: made where it does not exist.
        precision: in which the backbone computes.
    """
    device = choose_device()
    # Machines that share a folder may see otherwise: `auto` is not the same precision on each.
    seen_as = device.type, resolve_precision(device, precision)
    # Of the layers themselves their text: it has the strides and dilations.
    key = digest(_FORM, digest_tensors(backbone.state_dict()), str(backbone), *seen_as)
    return KeptFeatures(backbone=backbone, folder=folder, key=key)


def name_pixels(photo: Photo) -> str:
    """Return a name of an (H, W, 3) picture that equal ones share."""
    return f"{photo.shape} {hashlib.sha256(photo.tobytes()).hexdigest()}"


def _shrink(features: Tensor) -> Tensor:
    """Return float32 features in half of the space, unless some are too large for it."""
    halved = features.half()
    return halved if bool(halved.isfinite().all()) else features


def _encode(features: NDArray[np.floating]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, features)
    return buffer.getvalue()


def _read(path: Path, channels: int) -> NDArray[np.floating] | None:
    """Return the features of a file, None for a missing or damaged one."""
    content = read_sealed(path)
    if content is None:
        return None
    features: NDArray[np.floating] = np.load(io.BytesIO(content), allow_pickle=False)
    is_known = features.dtype in (np.float16, np.float32) and features.shape[:1] == (channels,)
    return features if is_known else None
