"""Recipes are TOML files: shipped ones, known by their name, a user's own, and those of studies.

A recipe may begin with `inherit = "small"`, a name or the path of a file, and then says only what
it changes. A study's TOML has its recipe in the table `recipe`, which may inherit as well, and
inherits the default of its dataset's format where it does not say from what.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotools.errors import RecipeError
from annotools.settings import (
    find_toml,
    is_own_file,
    read_lineage,
    read_settings,
    read_toml,
    set_by_path,
)
from wsps.networks.weight_names import has_form_of_file
from wsps.recipe import Recipe

RECIPES_FOLDER = Path(__file__).absolute().with_name("recipes")


def read_recipe(name_or_path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Return the recipe of a shipped name, of a TOML file, or of a study's TOML.

    The file of weights that a recipe names starts at the recipe's folder, and at the working
    directory where it is given as a change.

    Args:
        name_or_path: a `Path` or text that ends in `.toml` is a file; other text is a name.
        changes: settings to replace, each as `semantic.steps=100`.

    Raises:
        RecipeError: for an unknown name, or a file that is missing, not TOML, inherits from itself,
            or has an unknown or impossible setting.
    """
    path = _find_recipe(name_or_path)
    table = _read_own(path)
    for change in changes:
        table = set_by_path(table, change)
    named = str(path) if is_own_file(name_or_path) else f"recipe {name_or_path}"
    where = f"{named} with --set" if changes else named
    return read_settings(Recipe, complete_recipe(table, path), where=where)


def default_recipe(format_name: str | None) -> str:
    """Return the shipped recipe of whoever names none.

    Args:
        format_name: of the dataset; None for photos in a folder. Photos start from pretrained
            features; the built-in world of scenes needs none.
    """
    return "small" if format_name == "scenes" else "frozen"


def recipe_of_study(table: Mapping[str, Any]) -> Any:
    """Return the recipe of a study's table, which inherits the default of its dataset's format.

    A study that has no recipe, or one that does not say what it inherits, begins with that.
    """
    own, dataset = table.get("recipe", {}), table.get("dataset")
    if not isinstance(own, Mapping) or "inherit" in own:
        return own
    format_name = dataset.get("format") if isinstance(dataset, Mapping) else None
    return {"inherit": default_recipe(format_name), **own}


def complete_recipe(table: Any, path: Path) -> Any:
    """Return the table of a recipe, completed with what it inherits.

    What is no table is returned as it is: `read_settings` says what is wrong with it.

    Args:
        table: of a file that may begin with `inherit`; a path in it starts at the working directory
            unless `place_weights` has placed it.
        path: of the file.

    Raises:
        RecipeError: when a file that it inherits from cannot be read or is no recipe.
    """
    if not isinstance(table, Mapping):
        return table
    *older, (_, own) = read_lineage(table, path, _find_recipe, _read_own)
    whole: dict[str, Any] = {}
    for place, inherited in older:
        whole = _merge(whole, inherited)
        # Each file is read as a whole, so that a mistake is reported in the file that has it.
        read_settings(Recipe, whole, where=str(place))
    return _merge(whole, place_weights(own, Path.cwd()))


def place_weights(table: Any, folder: Path) -> Any:
    """Return the table of a recipe whose file of weights, if it names one, starts at a folder.

    Weights that neither look like a file nor lie there, such as `IMAGENET1K_V2`, are a name.
    """
    if not isinstance(table, Mapping) or not isinstance(table.get("backbone"), Mapping):
        return table
    weights = table["backbone"].get("weights")
    if not isinstance(weights, str):
        return table
    has_form = has_form_of_file(weights) or Path(weights).suffix != ""
    if not has_form and not (folder / weights).is_file():
        return table
    # `Path.expanduser` would raise for a user that nobody knows.
    placed = str(folder.absolute() / os.path.expanduser(weights))  # noqa: PTH111
    return {**table, "backbone": {**table["backbone"], "weights": placed}}


def _find_recipe(name_or_path: str | Path) -> Path:
    return find_toml(name_or_path, RECIPES_FOLDER, "recipe")


def _read_own(path: Path) -> dict[str, Any]:
    """Return what a file itself says of a recipe, or what a study begins with."""
    table = read_toml(path)
    is_study = not {"recipe", "dataset"}.isdisjoint(table)
    own = place_weights(recipe_of_study(table) if is_study else table, path.parent)
    if not isinstance(own, dict):
        raise RecipeError(f"{path}: recipe is not a table: correct it")
    return own


def _merge(older: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with the settings of another one in place of its own, one by one."""
    merged = dict(older)
    for key, value in own.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(before, value)
        else:
            merged[key] = value
    return merged
