"""Read the weights that a backbone starts from: a file, or torchvision's by their name."""

import io
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor

from annotools.errors import RecipeError
from wsps.networks.weight_names import OTHER_RECIPE, is_file
from wsps.networks.weights import refuse_endless, unreadable

_PARTS_OF_OTHERS = (
    # Of torchvision's detectors and segmenters, mmdetection, Detectron2, DETR, Segment Anything.
    *("rpn.", "rpn_head.", "roi_heads.", "roi_head.", "backbone.body.", "backbone.fpn."),
    *("aux_classifier.", "decode_head.", "auxiliary_head.", "sem_seg_head.", "bbox_head."),
    *("mask_head.", "mask_decoder.", "sam_mask_decoder.", "prompt_encoder.", "sam_prompt_encoder."),
    *("proposal_generator.", "bbox_embed.", "class_embed.", "bbox_attention.", "panoptic_head."),
)
"""How tensors' names begin in networks that have seen masks or boxes."""


def read_pretrained(
    backbone: str,
    weights: str,
    wanted: Mapping[str, Tensor],
    file_key: Callable[[str], str] = str,
) -> dict[str, Tensor]:
    """Return the wanted tensors of pretrained weights; what these have besides is left out.

    Args:
        backbone: its name.
        weights: the path of a state dict that `torch.save` wrote, in torchvision's naming for a
            ResNet, or of a file of safetensors; see `is_file`. Or the name of torchvision's
            weights, such as `IMAGENET1K_V2`: taken from torch's cache, or downloaded to it.
        wanted: the state dict of the backbone; numbers of the file take its precision.
        file_key: gives the same for the names that a tensor has in the file and in `wanted`.

    Raises:
        RecipeError: for weights that cannot be had, are damaged, do not fit, or are those of a
            network that has seen masks or boxes, which would leak the answer of a study.
    """
    path = Path(weights) if is_file(weights) else _find_named(backbone, weights)
    named = _read_state(path)
    _check_seen(path, named)
    own = _unwrap(named, wanted, file_key)
    _check_seen(path, own)
    state = {file_key(str(key)): values for key, values in own.items()}
    found = {}
    for wanted_key, values in wanted.items():
        key = file_key(wanted_key)
        # A counter that no forward pass reads; frozen batch norms and older files have none.
        if key not in state and key.endswith("num_batches_tracked"):
            found[wanted_key] = values
            continue
        problem = _misfit(state.get(key), values)
        if problem:
            raise RecipeError(
                f"{path}: does not fit {backbone}, {key} {problem}: use other weights, or the "
                "backbone.name that these are of"
            )
        found[wanted_key] = state[key].to(values.dtype)
    return found


def _unwrap(
    named: Mapping[str, Any], wanted: Mapping[str, Tensor], file_key: Callable[[str], str]
) -> Mapping[str, Any]:
    """Return the tensors of the network that is learnt, where a self-supervised one has several.

    MoCo saves its encoder beside one that follows it slowly (He et al. 2020; Chen et al. 2021).
    """
    first = file_key(next(iter(wanted)))
    if first in map(file_key, named):
        return named
    for prefix in ("encoder_q.", "base_encoder."):
        if any(key.startswith(prefix) for key in named):
            return {k.removeprefix(prefix): v for k, v in named.items() if k.startswith(prefix)}
    return named


def _check_seen(path: Path, state: Mapping[str, Any]) -> None:
    """Refuse the weights of networks that detect or segment, as far as their names tell."""
    for key, values in state.items():
        # A linear layer of that name is a classifier's, a convolution one of torchvision's
        # segmenters'.
        segments = key == "classifier.4.weight" and getattr(values, "ndim", 0) == 4
        # Some save a detector or segmenter within a larger module.
        bare = str(key).removeprefix("module.").removeprefix("model.")
        if segments or bare.startswith(_PARTS_OF_OTHERS):
            raise RecipeError(
                f"{path}: has {key}, a part of a network that has seen masks or boxes, which would "
                "leak the answer: use weights of classification or self-supervision"
            )


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
            f"the path of a state dict, which ends in .pt, .pth or .safetensors, {OTHER_RECIPE}"
        )
    entry = known[weights]
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    if not path.is_file():
        shown = sys.stderr.isatty()
        try:
            # torch tells where it downloads to, which a log does not need beside our own line.
            place = sys.stderr if shown else io.StringIO()
            with redirect_stdout(place), redirect_stderr(place):
                entry.get_state_dict(progress=shown, check_hash=True, map_location="cpu")
        # A file with another hash than its name says is a RuntimeError.
        except (OSError, HTTPException, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise RecipeError(
                f"backbone.weights = {weights!r}: cannot be downloaded ({reason}): "
                f"put {entry.url} at {path}, give backbone.weights the path of a file that you "
                f"have, {OTHER_RECIPE}"
            ) from error
    return path


def _read_state(path: Path) -> dict[str, Any]:
    refuse_endless(path)
    try:
        _refuse_packed(path)
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        # torch warns of what it then refuses, and one line is enough.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # A pickle can run code when it is read; `weights_only` admits tensors and plain values.
            state = torch.load(path, weights_only=True, map_location="cpu")
    except RecipeError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    # Damage shows in the decoder as any error: which one depends on the byte.
    except Exception as error:
        wrote = "of safetensors" if path.suffix == ".safetensors" else "that torch.save wrote"
        raise RecipeError(f"{path}: not a state dict {wrote}: fetch the file again") from error
    if not isinstance(state, dict):
        raise RecipeError(
            f"{path}: not a state dict but {type(state).__name__}: save model.state_dict()"
        )
    # Training programs wrap it in a table of theirs, and in a module that spreads batches.
    for name in ("state_dict", "model"):
        if isinstance(state.get(name), dict):
            state = state[name]
    return _without_module(state)


def _without_module(state: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key).removeprefix("module."): values for key, values in state.items()}


def _refuse_packed(path: Path) -> None:
    """Refuse an archive that unpacks to more than its own size: torch.save packs nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"unpacks to {unpacked} bytes")


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise RecipeError(
            f"{path}: safetensors is not installed, which comes with timm: "
            "pip install 'annotools[timm]'"
        ) from error
    return _without_module(load_file(path))


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
