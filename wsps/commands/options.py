"""Commands of the segmenter share these options."""

from typing import Annotated

import typer

RecipeFile = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE.toml",
        help="How to train: frozen, small, demo, resnet50, li2018-voc, li2018-cityscapes, or a "
        "file of your own, which may be a study: its \\[recipe] is used. If absent frozen for "
        "photos, from pretrained weights, and small for --format scenes.",
    ),
]
RecipeChanges = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace a setting of the recipe, as semantic.steps=400; repeat it.",
    ),
]
