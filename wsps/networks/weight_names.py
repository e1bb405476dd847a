"""How backbones and their weights are named in recipes: files, torchvision's and timm's."""

import os
from pathlib import Path

OTHER_RECIPE = "or choose a recipe that needs no weights: small, in a study recipe.inherit=small"
"""The remedy of whoever cannot get a file."""

PRETRAINED = "pretrained"
"""What `backbone.weights` says for timm's own weights of a network of timm."""

TIMM = "timm:"
"""What the name of a backbone begins with that is a network of timm."""

_ENDINGS = (".pt", ".pth", ".safetensors")


def is_timm(name: str) -> bool:
    """Tell whether a backbone is one of timm's."""
    return name.startswith(TIMM)


def is_file(weights: str) -> bool:
    """Tell whether weights are the path of a file, and not a name.

    A path has a slash, ends in `.pt`, `.pth` or `.safetensors`, or exists.
    """
    return has_form_of_file(weights) or (weights != "" and Path(weights).exists())


def has_form_of_file(weights: str) -> bool:
    """Tell whether weights have a slash or the ending of a file, wherever it may lie."""
    return os.sep in weights or "/" in weights or weights.endswith(_ENDINGS)
