"""Commands of the segmenter share these options."""

from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.places import READS, keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsps.recipe import Recipe

RecipeFile = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE.toml",
        help="How to train: frozen, small, demo, resnet50, li2018-voc, li2018-cityscapes, or a "
        "file of your own, which may be a study: its \\[recipe] is used. If absent frozen for "
        "photos, from pretrained weights, and small for --format scenes.",
    ),
    READS,
]
RecipeChanges = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace a setting of the recipe, as semantic.steps=400; repeat it.",
    ),
    READS,
]


def read_recipe_kept(name_or_path: str, changes: "Sequence[str]") -> "Recipe":
    """Return a recipe, as `read_recipe` does; no output of the command may be its weights."""
    from wsps.recipe_files import read_recipe

    recipe = read_recipe(name_or_path, changes)
    keep([recipe.backbone.weights], "the file of the recipe's weights")
    return recipe
