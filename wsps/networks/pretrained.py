"""Read the weights that a backbone starts from: a file, or torchvision's by their name."""

import os
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor

from annotools.errors import RecipeError


def read_pretrained(backbone: str, weights: str, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the wanted tensors of pretrained weights; what these have besides is left out.

    Args:
        backbone: its name.
        weights: the path of a state dict that `torch.save` wrote, in torchvision's naming for a
            ResNet; it has a slash, ends in `.pt` or `.pth`, or exists. Or the name of torchvision's
            weights, such as `IMAGENET1K_V2`: taken from torch's cache, or downloaded to it.
        wanted: the state dict of the backbone.

    Raises:
        RecipeError: for weights that cannot be had, are damaged, or do not fit.
    """
    path = Path(weights) if _is_path(weights) else _find_named(backbone, weights)
    state = _read_state(path)
    found = {}
    for key, values in wanted.items():
        # A counter that no forward pass reads; frozen batch norms and older files have none.
        if key not in state and key.endswith("num_batches_tracked"):
            found[key] = values
            continue
        problem = _misfit(state.get(key), values)
        if problem:
            raise RecipeError(
                f"{path}: does not fit {backbone}, {key} {problem}: use other weights"
            )
        found[key] = state[key]
    return found


def _is_path(weights: str) -> bool:
    has_form = os.sep in weights or "/" in weights or weights.endswith((".pt", ".pth"))
    return has_form or Path(weights).exists()


def _find_named(backbone: str, weights: str) -> Path:
    """Return the file of torchvision's weights in torch's cache, downloaded if it is not there."""
    known: dict[str, Any] = {}
    if backbone in torchvision.models.list_models():
        # Without the alias DEFAULT, which names other weights from one torchvision to the next.
        known = {entry.name: entry for entry in torchvision.models.get_model_weights(backbone)}
    if weights not in known:
        named = f"one of {', '.join(known)}, or " if known else ""
        raise RecipeError(
            f"backbone.weights = {weights!r}: {backbone} has no such weights: give {named}"
            "the path of a state dict, which ends in .pt or .pth"
        )
    entry = known[weights]
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    if not path.is_file():
        try:
            entry.get_state_dict(progress=sys.stderr.isatty(), check_hash=True, map_location="cpu")
        # A file with another hash than its name says is a RuntimeError.
        except (OSError, HTTPException, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise RecipeError(
                f"backbone.weights = {weights!r}: cannot be downloaded ({reason}): "
                f"put {entry.url} at {path}"
            ) from error
    return path


def _read_state(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise RecipeError(
            f"{path}: no such file; backbone.weights names a state dict, or torchvision's weights"
        )
    try:
        # A pickle can run code when it is read; `weights_only` admits tensors and plain values.
        state = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}): check the file") from error
    # Damage shows in the decoder as any error: which one depends on the byte.
    except Exception as error:
        raise RecipeError(
            f"{path}: not a state dict that torch.save wrote: fetch the file again"
        ) from error
    if not isinstance(state, dict):
        raise RecipeError(
            f"{path}: not a state dict but {type(state).__name__}: save model.state_dict()"
        )
    return state


def _misfit(found: Any, wanted: Tensor) -> str | None:
    """Return what is wrong with a tensor of a file, None if it can take the place of the wanted."""
    if found is None:
        return "is missing"
    if not isinstance(found, Tensor) or found.layout != torch.strided or found.is_meta:
        return "is no tensor of numbers"
    if found.shape != wanted.shape:
        return "has another shape"
    if found.is_floating_point() != wanted.is_floating_point() or found.is_complex():
        return f"has numbers of type {str(found.dtype).removeprefix('torch.')}"
    return None if found.isfinite().all() else "has values that are not finite"
