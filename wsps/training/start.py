"""Start from the networks of another run, which may know other categories.

Every tensor of the same name and shape goes over. In the layers that classify, the rows of a
category go over by its name, and those of other categories stay as they were initialised.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from annotools.categories import CategorySet
from annotools.errors import RecipeError
from wsps.networks.image_input import find_input
from wsps.networks.model import PanopticModel
from wsps.recipe import BackboneSettings

Rows = Sequence[tuple[int, int]]
"""Pairs of a row of the new layer and the row of the old one that goes there."""


def take_over(
    model: PanopticModel, other: PanopticModel, networks: Sequence[str], run: Path
) -> dict[str, dict[str, int]]:
    """Give a model the weights of another one.

    Args:
        model: to be trained; its networks are changed.
        other: of the run.
        networks: which networks of the run were trained, of `semantic`, `detector`, `instance`.
        run: for messages.

    Returns:
        For each network how many tensors it has, and how many were taken over, whole or in part.

    Raises:
        RecipeError: when the run has another backbone, or one that expects other colours or is
            normalised otherwise.
    """
    old, new = other.recipe.backbone, model.recipe.backbone
    if old.name != new.name or find_input(old) != find_input(new):
        raise RecipeError(
            f"{run}: was trained with the backbone {old.name} for {_colours(old)}, and the recipe "
            f"has {new.name} for {_colours(new)}: start from a run with the same"
        )
    if (old.norm == "group") != (new.norm == "group"):
        # Both have a scale and an offset of the same shape, which mean something else.
        raise RecipeError(
            f"{run}: was trained with backbone.norm = {old.norm!r}, and the recipe has "
            f"{new.norm!r}: start from a run with the same"
        )
    classes = _shared(model.categories, other.categories, things_only=False)
    # The detector numbers the things from 1, and its 0 is the background.
    things = [(0, 0)] + [
        (new + 1, old + 1)
        for new, old in _shared(model.categories, other.categories, things_only=True)
    ]
    corners = [(4 * new + i, 4 * old + i) for new, old in things for i in range(4)]
    rows_of: dict[str, Mapping[str, Rows]] = {
        "semantic": {"classify": classes, "auxiliary.1": classes},
        "detector": {
            "network.roi_heads.box_predictor.cls_score": things,
            "network.roi_heads.box_predictor.bbox_pred": corners,
            "network.roi_heads.mask_predictor.mask_fcn_logits": things,
        },
        "instance": {},
    }
    return {
        name: _take_tensors(getattr(model, name), getattr(other, name), rows_of[name])
        for name in networks
    }


def _colours(backbone: BackboneSettings) -> str:
    return f"colours of {backbone.input or 'its own'}"


def _shared(wanted: CategorySet, known: CategorySet, *, things_only: bool) -> Rows:
    """Return the places of the categories that both sets have, among all or among the things."""
    names, old_names = (
        [c.name for c in one.categories if c.is_thing or not things_only] for one in (wanted, known)
    )
    return [(i, old_names.index(name)) for i, name in enumerate(names) if name in old_names]


@torch.no_grad()
def _take_tensors(
    network: nn.Module, other: nn.Module, rows_of: Mapping[str, Rows]
) -> dict[str, int]:
    """Take over the tensors of a network.

    Args:
        network: that is changed.
        other: whose tensors are taken.
        rows_of: the rows to take over, by name of the layers that classify.
    """
    old = other.state_dict()
    tensors = {name: t for name, t in network.state_dict().items() if not _names_categories(name)}
    taken = 0
    for name, tensor in tensors.items():
        if name in old:
            rows = rows_of.get(name.rpartition(".")[0])
            taken += _take(tensor, old[name], rows)
    return {"tensors": len(tensors), "taken": taken}


def _names_categories(name: str) -> bool:
    """Tell whether a tensor holds class indices, which are those of the model's own categories."""
    return name.endswith("_indices")


def _take(tensor: Tensor, old: Tensor, rows: Rows | None) -> bool:
    """Copy a tensor into another one, or some of its rows; tell whether anything was copied."""
    if rows is None and tensor.shape == old.shape:
        tensor.copy_(old)
        return True
    if rows and tensor.shape[1:] == old.shape[1:]:
        new_rows, old_rows = zip(*rows, strict=True)
        tensor[list(new_rows)] = old[list(old_rows)]
        return True
    return False
