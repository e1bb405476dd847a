"""The command `study new` writes a study that fits a dataset."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import AllowMissing, Categories, Format, Root, Times, tell
from annotools.commands.places import READS, Commands, Writes
from annotools.terminal import say

if TYPE_CHECKING:
    from wsps.recipe import BackboneSettings

app = Commands()

STARTS_FROM = (
    "networks start from torchvision's weights of resnet50, which the study downloads once: "
    "--weights takes a file in their place, or none for a small network that starts from nothing, "
    "which may do for few categories with looks of their own"
)

_BACKBONES = ("resnet50", "thin-resnet50", "resnet101", "resnet18")
"""The networks whose weights a file may have."""


@app.command()
def new(
    root: Root,
    format_name: Format,
    out: Annotated[
        Path, typer.Option(metavar="FILE.toml", help="The file to write."), Writes()
    ] = Path("study.toml"),
    train_split: Annotated[str, typer.Option(help="Whose labels can be bought.")] = "train",
    val_split: Annotated[
        str | None,
        typer.Option(help="What is scored: val, or the last fifth of train where there is none."),
    ] = None,
    test_split: Annotated[
        str | None,
        typer.Option(help="What no choice sees: test, where the dataset has it with labels."),
    ] = None,
    categories: Categories = None,
    allow_missing: AllowMissing = False,
    times: Times = "li2018",
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME|none",
            help="Weights of a ResNet to start from, in place of those that the recipe downloads; "
            "none for a small network that needs none.",
        ),
        READS,
    ] = None,
) -> None:
    """Write a study that fits a dataset: mixes, budgets, splits and a recipe, with comments.

    The budgets follow from what the images hold and what labels of them cost. The file runs as it
    is, and is meant to be changed.

    [bold]Examples[/bold]

    \b
    annotools study new CITYSCAPES --format cityscapes --out street.toml
    annotools study new COCO --format coco-instances --categories person,dog
      --weights resnet50.pth --out people.toml
    annotools study new CELLS --format coco-instances --weights none --out cells.toml
    annotools study new DATA --format voc --train-split 'train[:70%]' --val-split 'train[70%:]'
    """  # noqa: D301
    from annotools.errors import RecipeError
    from annotools.files import write_whole
    from annotools.formats.source import open_source
    from annotools.settings import is_own_file
    from studies.new_study import choose_study
    from studies.new_study_toml import run_command, study_toml
    from studies.study import DatasetSettings
    from wsps.recipe_files import default_recipe

    if out.exists():
        raise RecipeError(f"{out}: is there already, and is not replaced: give another --out")
    if out.suffix == ".json":
        raise RecipeError(f"{out}: a study is a TOML file: give --out a name that ends in .toml")
    backbone = None if weights is None else _find_backbone(weights)
    open_source.cache_clear()  # The files may have changed since they were read last.
    settings = DatasetSettings(
        format=format_name,
        # The file is read later, and perhaps from another working folder.
        root=root.resolve(),
        train_split=train_split,
        val_split=val_split or "val",
        test_split=test_split,
        categories=categories,
        allow_missing=allow_missing,
    )
    times = str(Path(times).resolve()) if is_own_file(times) else times
    chosen = choose_study(settings, times, is_val_given=val_split is not None)
    tell(chosen.notes)
    if weights is None and default_recipe(format_name) != "small":
        tell([STARTS_FROM])
    write_whole(out, study_toml(chosen, out.stem, out, backbone).encode())
    say(f"{out}: run it with {run_command(out, out.stem)}")


def _find_backbone(weights: str) -> "BackboneSettings":
    """Return the settings of the first network that some weights fit; of the small one for `none`.

    Raises:
        RecipeError: when they fit no network.
    """
    from annotools.errors import RecipeError
    from wsps.networks.weight_names import is_file
    from wsps.networks.weights import describe_weights
    from wsps.recipe import BackboneSettings

    if weights == "none":
        return BackboneSettings()
    named = str(Path(weights).resolve()) if is_file(weights) else weights
    # A file that is not there is told before torch is loaded, which takes seconds.
    describe_weights(BackboneSettings(weights=named))

    from wsps.networks.backbone import build_backbone

    errors = []
    for name in _BACKBONES:
        settings = BackboneSettings(name=name, weights=named)
        try:
            build_backbone(settings)
        except RecipeError as error:
            errors.append(error)
        else:
            return settings
    raise errors[0]
