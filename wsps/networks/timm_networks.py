"""The feature extractors of timm, where it is installed, as layers of a backbone.

Source: https://github.com/huggingface/pytorch-image-models.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from annotools.errors import RecipeError
from wsps.networks.weight_names import OTHER_RECIPE, PRETRAINED, TIMM
from wsps.recipe import BackboneSettings

USUAL_STRIDE = 16

_ANY_SIZE: tuple[dict[str, Any], ...] = (
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)
"""Options with one of which a transformer takes photos that are not of its own size."""

_TIMEOUT_SECONDS = 10.0
"""For so long the server of timm's weights may say nothing."""

_TRIED_HW = (5, 7)
"""Sides of the image on which a network is tried, in cells of its coarsest map."""

_SEEN = re.compile(
    # Segment Anything and what was taught by it; `sam_in1k` is an optimizer, and seen nothing.
    r"samvit|sam2|sa1b|_sam_|radio|pe_spatial|"
    # Networks that learnt boxes or masks as text, or whose teacher did.
    r"florence|pali|pe_lang|eupe|qwen|gemma|deepseek|"
    # Data sets of boxes or masks.
    r"coco|ade20k|o365|objects365|openimages|lvis|cityscapes|mapillary|pascal|_voc"
)


def colours_of(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation, of red, green and blue of 0 to 1, that a network expects.

    Raises:
        RecipeError: without timm, or when it has no such network.
    """
    config = _config(name)
    return tuple(config.mean), tuple(config.std)


def full_name(name: str) -> str:
    """Return the name of a network with the tag of the weights that timm has for it.

    Raises:
        RecipeError: without timm, or when it has no such network.
    """
    config = _config(name)
    return f"{TIMM}{config.architecture}" + (f".{config.tag}" if config.tag else "")


def file_key(key: str) -> str:
    """Return what a tensor's name in a file and its name in the layers have in common.

    timm names the parts of a feature extractor anew: `stages.0` of a file is `stages_0` there, or
    `model.stages.0`.
    """
    return key.removeprefix("0.network.").removeprefix("model.").replace(".", "_")


def build_layers(settings: BackboneSettings) -> tuple[nn.Sequential, int, int]:
    """Return the layers of a network of timm, their channels and their output stride.

    timm's own weights are in them where the settings ask for these, and random ones where not.

    Raises:
        RecipeError: without timm, for a network that it does not have or that gives no maps of
            photos of any size, an output stride or a normalisation that the network does not have,
            or weights that cannot be had or have seen masks or boxes.
    """
    name, asked = settings.name, settings.output_stride
    _config(name)  # Names an unknown network.
    if settings.norm == "group":
        raise RecipeError(f"norm = 'group': {name} has normalisations of its own: use batch")
    options: dict[str, Any] = {}
    if settings.weights == PRETRAINED:
        _check_seen(full_name(name))
        _check_reach(name)
        options["pretrained"] = True
    network = _create(name, options, asked)
    strides = list(network.feature_info.reduction())
    stride = _choose_stride(name, strides, asked)
    # The deepest map of this stride; what comes after it is left out.
    place = len(strides) - 1 - strides[::-1].index(stride)
    if place < len(strides) - 1:
        options["out_indices"] = (network.feature_info.out_indices[place],)
        network = _create(name, options, asked)
    channels = network.feature_info.channels()[-1]
    are_frozen = settings.norm == "frozen"
    maps = _Maps(network, multiple=max(strides), are_frozen=are_frozen)
    _check_maps(name, maps, channels, stride)
    return nn.Sequential(maps), channels, stride


class _Maps(nn.Module):
    """The last map of a network of timm, for images of any size: (B, C, H / s, W / s).

    Args:
        network: a feature extractor.
        multiple: to one of so many pixels both sides of its images are padded.
        are_frozen: whether batch normalisations keep their statistics.
    """

    def __init__(self, network: nn.Module, *, multiple: int, are_frozen: bool) -> None:
        super().__init__()
        self.network = network
        self.multiple = multiple
        self.are_frozen = are_frozen
        self.train()

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        # After normalisation 0 is the mean colour.
        padded = functional.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        maps: Tensor = self.network(padded)[-1]
        if str(getattr(self.network, "output_fmt", "")).endswith("NHWC"):
            maps = maps.permute(0, 3, 1, 2).contiguous()
        stride = padded.shape[-1] // maps.shape[-1]
        return maps[..., : -(-height // stride), : -(-width // stride)]

    def train(self, mode: bool = True) -> "_Maps":
        super().train(mode)
        if self.are_frozen:
            # timm has batch normalisations of its own, which cannot be replaced by ours.
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise RecipeError(
            f"backbone.name begins with {TIMM}, and timm is not installed: "
            "pip install 'annotools[timm]'"
        ) from error
    return timm


def _config(name: str) -> Any:
    """Return what timm knows of a network and of the weights that its tag names."""
    timm, own = _timm(), name.removeprefix(TIMM)
    known, _, tag = own.partition(".")
    if not timm.is_model(known):
        near = timm.list_models(f"*{known}*")[:3] or get_close_matches(known, timm.list_models())
        like = f", such as {', '.join(near)}" if near else ""
        raise RecipeError(
            f"backbone.name = {name!r}: timm {timm.__version__} has no such network: give one of "
            f"timm.list_models(){like}"
        )
    try:
        config = timm.models.get_pretrained_cfg(own)
    except RuntimeError as error:
        tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{known}.*")]
        raise RecipeError(
            f"backbone.name = {name!r}: {known} has no weights {tag!r}: "
            f"use {' or '.join(tags) or 'it without a tag'}"
        ) from error
    return config


def _check_seen(name: str) -> None:
    if seen := _SEEN.search(name.lower()):
        raise RecipeError(
            f"backbone.name = {name!r}: its weights ({seen[0].strip('_')}) learnt from masks or "
            "boxes, or may have, which would leak the answer: choose weights of classification or "
            "self-supervision"
        )


def _create(name: str, options: Mapping[str, Any], output_stride: int | None) -> Any:
    """Return the feature extractor, dilated to an output stride where it can be."""
    timm, own = _timm(), name.removeprefix(TIMM)
    stride: dict[str, Any] = {"output_stride": output_stride or USUAL_STRIDE}
    problem = None
    for more in (stride, *_ANY_SIZE):
        try:
            return timm.create_model(own, features_only=True, **options, **more)
        # A network has many ways to say that it has no such option.
        except Exception as error:
            problem = error
    if "pretrained" in options:
        raise _not_to_be_had(name, problem) from problem
    raise RecipeError(
        f"backbone.name = {name!r}: gives no feature maps ({_line(problem)}): choose another "
        "network"
    ) from problem


def _check_reach(name: str) -> None:
    """Make sure that timm's weights are in the cache or can be downloaded.

    timm itself would try for most of a minute, and tell each time.
    """
    import huggingface_hub

    place = _config(name).hf_hub_id
    names = ("model.safetensors", "pytorch_model.bin")
    if not place or any(huggingface_hub.try_to_load_from_cache(place, one) for one in names):
        return
    try:
        huggingface_hub.HfApi().model_info(place, timeout=_TIMEOUT_SECONDS)
    # What it raises depends on the client that it uses.
    except Exception as error:
        raise _not_to_be_had(name, error) from error


def _not_to_be_had(name: str, error: Exception | None) -> RecipeError:
    full = full_name(name).removeprefix(TIMM)
    place = _config(name).hf_hub_id or f"timm/{full}"
    return RecipeError(
        f"backbone.weights = {PRETRAINED!r}: those of {full} cannot be had ({_line(error)}): put "
        f"https://huggingface.co/{place}/resolve/main/model.safetensors in a file and give its "
        f"path, {OTHER_RECIPE}"
    )


def _line(error: Exception | None) -> str:
    text = " ".join(str(error).split())
    return text[:120] or type(error).__name__


def _choose_stride(name: str, strides: list[int], asked: int | None) -> int:
    if asked is None:
        return max((one for one in strides if one <= USUAL_STRIDE), default=min(strides))
    if asked not in strides:
        known = " or ".join(map(str, sorted(set(strides))))
        raise RecipeError(f"backbone.output_stride = {asked}: {name} has {known}")
    return asked


@torch.no_grad()
def _check_maps(name: str, maps: _Maps, channels: int, stride: int) -> None:
    """Make sure that a network takes images of a size that is not its own."""
    height, width = (side * maps.multiple for side in _TRIED_HW)
    try:
        found = maps.eval()(torch.zeros(1, 3, height, width))
    # Each network says in its own way that it was made for one size.
    except Exception as error:
        raise RecipeError(
            f"backbone.name = {name!r}: does not take photos of any size ({_line(error)}): choose "
            "another network"
        ) from error
    finally:
        maps.train()
    expected = (1, channels, height // stride, width // stride)
    if found.shape != expected:
        raise RecipeError(
            f"backbone.name = {name!r}: gives a map of {tuple(found.shape)} where {expected} was "
            "announced: choose another network"
        )
