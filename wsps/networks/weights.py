"""What a backbone starts from, in words and as files; torch is not needed for that."""

import hashlib
from functools import lru_cache
from pathlib import Path

from annotools.errors import RecipeError
from annotools.files import stamp
from wsps.networks.weight_names import OTHER_RECIPE, PRETRAINED, is_file, is_timm
from wsps.recipe import BackboneSettings


def describe_weights(settings: BackboneSettings) -> str:
    """Return what a backbone starts from, as rows and manifests name it.

    Work that hangs on the weights has it among its keys: a file is named by its content too, so
    that one that was replaced under its name is noticed.

    Returns:
        `none` for random weights, else such as `resnet50 IMAGENET1K_V2`,
        `timm:resnet18.a1_in1k`, or `thin_resnet50.pt (sha256 1a2b3c4d5e6f)`.

    Raises:
        RecipeError: when the file cannot be read, or timm has no such network.
    """
    weights = settings.weights
    if weights is None:
        return "none"
    if is_file(weights):
        path = Path(weights)
        return f"{path.name} (sha256 {_hash_file(path, _stamp(path))})"
    if weights == PRETRAINED and is_timm(settings.name):
        from wsps.networks.timm_networks import full_name

        return full_name(settings.name)
    return f"{settings.name} {weights}"


def refuse_endless(path: Path) -> None:
    """Make sure that reading a path comes to an end: pipes and devices may have none.

    Raises:
        RecipeError: when it is something else than a file or a folder.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise RecipeError(f"{path}: is no regular file: backbone.weights names a state dict")


def _stamp(path: Path) -> str:
    refuse_endless(path)
    try:
        return stamp(path)
    except OSError as error:
        raise unreadable(path, error) from error


@lru_cache
def _hash_file(path: Path, _stamp: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> RecipeError:
    """Return what to say of a file of weights that cannot be read."""
    if path.is_dir():
        return RecipeError(f"{path}: is a folder: backbone.weights names a file, or known weights")
    if not path.is_file():
        return RecipeError(
            f"{path}: no such file: backbone.weights names a state dict or known weights; put the "
            f"file there, {OTHER_RECIPE}"
        )
    return RecipeError(f"{path}: cannot be read ({error.strerror}): check the file")
