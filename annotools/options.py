"""Arguments and options that several commands have, and how their texts are read."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CROPS = {"cityscapes": "500x400"}
"""Crops whose tags are counted and drawn, by format: 15 an image in the paper; else the image."""

Root = Annotated[Path, typer.Argument(help="The dataset; of scenes, a TOML file of knobs.")]
Format = Annotated[
    str,
    typer.Option("--format", help="cityscapes, voc, coco-panoptic, coco-instances or scenes."),
]
Split = Annotated[str, typer.Option(help="The part of the dataset.")]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Leave out images of which a file is missing.")
]
Crops = Annotated[
    str | None,
    typer.Option(
        metavar="WxH",
        help="Pixels of the tagged crops; if absent 500x400 of cityscapes, else the whole image.",
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the table to this file as well.")
]


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (width, height) of a text such as 500x400, None for None.

    Raises:
        typer.BadParameter: for another text.
    """
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise typer.BadParameter(f"{text!r}: write width and height as 500x400")
    return int(width), int(height)
