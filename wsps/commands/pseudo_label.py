"""The command that makes pseudo-labels of a dataset from the weak labels one could have bought."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import (
    DEFAULT_CROPS,
    AllowMissing,
    Crops,
    Format,
    JsonFile,
    Root,
    Split,
    check_outputs,
    parse_size,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotools.allocation.plan_file import Allocation
    from wsps.pseudo_labels.quality import QualityRow, TagPrecision
    from wsps.pseudo_labels.request import KindQuality, LabelledSplit
    from wsps.recipe import Recipe

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)

PIPED_WIDTH = 160
"""Columns of a table that goes to a file or another program."""


@app.command("pseudo-label")
def pseudo_label(
    root: Root,
    format_name: Format,
    labels: Annotated[
        str,
        typer.Option(
            metavar="KIND|FILE.json",
            help="boxes, tags or boxes+tags for every image, or an allocation of "
            "`annotools plan`: each image its kind, full labels as they are.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")],
    split: Split = "train",
    val_split: Annotated[
        str | None,
        typer.Option(help="Measure the classifier of tags on this split as well."),
    ] = None,
    crops: Crops = None,
    recipe_file: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE.toml", help="A study; its \\[recipe] is used."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Replace a setting of the recipe, as tags.cam_threshold=0.4; repeat it.",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Times that a network learns from the labels and makes the next ones; replaces "
            "refinement.rounds of the recipe, which is 0 by default.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is trained.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that label images.")] = 1,
    max_images: Annotated[
        int | None,
        typer.Option(
            min=1, help="Label only the first so many images; another number starts anew."
        ),
    ] = None,
    box_labels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep labels from boxes there and take those that are: the box_labels of a "
            "study's folder.",
        ),
    ] = None,
    allow_missing: AllowMissing = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove what another run wrote to DIR.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Make pseudo-labels from weak labels, and measure them against the full ones.

    DIR gets semantic/NAME.png, 8-bit class indices, 255 for unknown; instances/NAME.png, 16-bit
    instance numbers, 0 for none; manifest.json, with the category of each class index; and
    quality.json. A run that was stopped goes on where it was when it is repeated. With tags, a
    classifier is trained first.

    In a round of iterative ground truth, as in studies, a semantic network learns from the labels
    so far, and what it sees, cleaned up with boxes, tags and masks, is the next label of every
    image without a full one, also of images that an allocation lists as none. --rounds says how
    many; without it refinement.rounds of the recipe does.
    DIR/rounds/0, DIR/rounds/1 and so on keep the labels before, each with its own manifest.json.

    [bold]Examples[/bold]

    \b
    annotools pseudo-label CITYSCAPES --format cityscapes --labels boxes+tags --out pseudo
      --workers 8 --val-split val
    annotools pseudo-label CITYSCAPES --format cityscapes --labels plan.json --out semi
    annotools pseudo-label world.toml --format scenes --labels tags --crops 48x40
      --set tags.cam_threshold=0.4 --set classifier.steps=400 --out tags
    annotools pseudo-label world.toml --format scenes --labels boxes+tags --crops 48x40
      --rounds 1 --out better
    """  # noqa: D301
    from annotools.files import write_json
    from annotools.formats.source import Source
    from wsps.pseudo_labels.label_split import label_split
    from wsps.pseudo_labels.request import LabelRequest

    check_outputs({"--json": json_file}, [root, labels, recipe_file])
    chosen = _read_labels(labels)
    request = LabelRequest(
        source=Source(
            format_name=format_name,
            root=root,
            split=split,
            allow_missing=allow_missing,
            max_images=max_images,
        ),
        labels=chosen,
        recipe=_replace_rounds(
            _read_recipe(recipe_file, changes or (), crops, chosen, format_name), rounds
        ),
        seed=seed,
        held_out_split=val_split,
        box_labels=box_labels,
    )
    result = label_split(request, out, workers, overwrite=overwrite)
    _print(result, out)
    if json_file is not None:
        quality = json.loads((out / "quality.json").read_bytes())
        content = {"images": dict(result.images), "resumed": result.num_resumed, **quality}
        write_json(json_file, content)


def _read_labels(text: str) -> "str | Allocation":
    """Return a weak label kind, or the allocation of a file."""
    from annotools.allocation.plan_file import read_allocation
    from annotools.weak_labels.weaken import WEAK_KINDS

    if text in WEAK_KINDS:
        return text
    if not Path(text).is_file():
        raise typer.BadParameter(
            f"--labels {text!r}: use {', '.join(WEAK_KINDS)}, or a file of `annotools plan`"
        )
    return read_allocation(Path(text))


def _read_recipe(
    path: Path | None,
    changes: "Sequence[str]",
    crops: str | None,
    labels: "str | Allocation",
    format_name: str,
) -> "Recipe":
    """Return the recipe; its crops are those asked for, else the allocation's or the format's."""
    from dataclasses import replace

    from annotools.errors import RecipeError
    from annotools.settings import read_settings, read_toml, set_by_path
    from wsps.recipe import Recipe, decide_completeness

    table = {} if path is None else read_toml(path).get("recipe", {})
    if not isinstance(table, dict):
        raise RecipeError(f"{path}: recipe is not a table: correct it")
    for change in changes:
        table = set_by_path(table, change)
    sources = ([] if path is None else [str(path)]) + (["--set"] if changes else [])
    recipe = read_settings(Recipe, table, where=" with ".join(sources) or "the defaults")
    size_wh = parse_size(crops) or recipe.tags.crop_size_wh
    if size_wh is None and not isinstance(labels, str):
        size_wh = labels.settings.crop_size_wh
    elif size_wh is None:
        size_wh = parse_size(DEFAULT_CROPS.get(format_name))
    recipe = replace(recipe, tags=replace(recipe.tags, crop_size_wh=size_wh))
    return decide_completeness(recipe, format_name)


def _replace_rounds(recipe: "Recipe", rounds: int | None) -> "Recipe":
    from dataclasses import replace

    if rounds is None:
        return recipe
    return replace(recipe, refinement=replace(recipe.refinement, rounds=rounds))


def _print(result: "LabelledSplit", out: Path) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    for found in result.kinds:
        console.print(_quality_table(found, result.tags))
    for line in (*_round_lines(result.rounds), *_notes(result), str(out / "manifest.json")):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _quality_table(found: "KindQuality", tags: "Mapping[str, TagPrecision]") -> object:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from annotools.records import TAGGED_KINDS

    shown = tags if found.kind in TAGGED_KINDS else {}
    origin = "by the network alone" if found.kind == "none" else f"from {found.kind}"
    title = f"{found.images:,} images labelled {origin}, in percent"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("class")
    table.add_column("kind")
    headings = ("precision", "recall", "coverage", "pixels")
    for heading in (*headings, *(f"AP of tags, {split}" for split in shown)):
        table.add_column(escape(heading), justify="right")
    num_classes = len(found.rows) - 3
    for number, row in enumerate(found.rows):
        rates = [_show_rate(rate) for rate in (row.precision, row.recall, row.coverage)]
        ap = [
            _show_rate(tag.ap[number] if number < num_classes else tag.mean)
            if number <= num_classes
            else ""
            for tag in shown.values()
        ]
        cells = (escape(row.name), row.kind, *rates, f"{row.pixels:,}", *ap)
        table.add_row(*cells, end_section=number == num_classes - 1)
    return table


def _show_rate(rate: float | None) -> str:
    return "–" if rate is None or rate != rate else f"{100 * rate:.1f}"


def _round_lines(rounds: "Sequence[Sequence[KindQuality]]") -> list[str]:
    """Return a line for each round and kind: what became of the labels, over all pixels."""
    lines = []
    for number, kinds in enumerate(rounds[1:], start=1):
        before = {found.kind: _overall(found) for found in rounds[number - 1]}
        for found in kinds:
            parts = []
            for name in ("precision", "recall", "coverage"):
                rate = _show_rate(getattr(_overall(found), name))
                if found.kind in before:
                    rate = f"{_show_rate(getattr(before[found.kind], name))} -> {rate}"
                parts.append(f"{name} {rate} %")
            lines.append(f"round {number}, {found.kind}: {', '.join(parts)}")
    return lines


def _overall(found: "KindQuality") -> "QualityRow":
    return next(row for row in found.rows if row.kind == "all")


def _notes(result: "LabelledSplit") -> list[str]:
    counts = dict(result.images)
    total = counts.pop("in")
    parts = [f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    notes = [f"{total:,} image{'' if total == 1 else 's'}: {', '.join(parts)}."]
    if result.num_resumed:
        what = " labels of all rounds" if len(result.rounds) > 1 else ""
        notes.append(f"{result.num_resumed:,}{what} were done by an earlier run.")
    for split, tags in result.tags.items():
        notes.append(
            f"AP of tags: how well the classifier ranks the {tags.num_crops:,} crops of {split}; "
            "its mean stands beside all."
        )
    return notes
