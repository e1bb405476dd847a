"""Two commands look at a dataset: `inspect` counts what it holds, `check` lists what is wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotools.commands.options import (
    AllowMissing,
    Crops,
    Format,
    JsonFile,
    MaxImages,
    Root,
    Split,
    check_outputs,
    crops_of,
    open_dataset,
)
from annotools.commands.tables import NOTHING, console, number, percent, table

if TYPE_CHECKING:
    from rich.table import Table

    from annotools.checks.dataset_checks import CheckReport
    from annotools.checks.problems import Problem
    from annotools.prices.summary import Summary

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)

SHOWN_SIZES = 5
"""So many of the distinct image sizes are printed."""


@app.command()
def inspect(
    root: Root,
    format_name: Format,
    split: Split = "train",
    crops: Crops = None,
    max_images: MaxImages = None,
    allow_missing: AllowMissing = False,
    json_file: JsonFile = None,
) -> None:
    """Count what a dataset holds: images, instances, tags, and every category.

    [bold]Examples[/bold]

    \b
    annotools inspect DATA --format cityscapes --split val
    annotools inspect DATA --format coco-instances --crops 320x240 --json summary.json
    """  # noqa: D301
    from annotools.formats.source import Source
    from annotools.prices.summary import summarise
    from annotools.settings import as_table

    crop_size_wh = crops_of(crops, format_name)
    source = Source(format_name=format_name, root=root, split=split, allow_missing=allow_missing)
    dataset = open_dataset(source, {"--json": json_file})
    summary = summarise(dataset, dataset.images[:max_images], crop_size_wh)
    shown = console()
    title = f"{dataset.name}, {split}"
    shown.print(_figures_table(summary, title, images_left_out=len(dataset.drops)))
    shown.print(_categories_table(summary))
    for note in dataset.notes:
        shown.print(f"Note: {note}.")
    head = {"format": dataset.name, "split": split, "images_left_out": len(dataset.drops)}
    _write_json(json_file, head | as_table(summary))


@app.command()
def check(
    root: Root,
    format_name: Format,
    splits: Annotated[
        list[str] | None,
        typer.Option("--split", help="A part to check; repeat it. Train if absent."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A part that must share no image with those checked; repeat it."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """List everything that is wrong with a dataset; exit status 1 if there is an error.

    Warnings are what the readers resolve by a rule of theirs, such as overlapping masks; they
    alone leave the exit status 0.

    [bold]Examples[/bold]

    \b
    annotools check DATA --format coco-panoptic --split train --split val
    annotools check DATA --format cityscapes --split train --against val --json problems.json
    """  # noqa: D301
    from annotools.checks.dataset_checks import check_dataset
    from annotools.settings import as_table

    described = [root / "panoptic.json", *root.glob("annotations/*.json")]
    check_outputs({"--json": json_file}, [root, *described])
    chosen = tuple(dict.fromkeys(splits or ["train"]))
    report = check_dataset(format_name, root, chosen, tuple(against or ()))
    for problem in report.problems:
        typer.echo(_line_of(problem))
    typer.echo(_conclusion(report, chosen))
    head = {"format": format_name, "splits": chosen, "against": against or []}
    _write_json(json_file, head | as_table(report))
    if any(problem.severity == "error" for problem in report.problems):
        raise typer.Exit(1)


def _figures_table(summary: "Summary", title: str, images_left_out: int) -> "Table":
    sizes = [f"{s.width} x {s.height}: {s.images:,}" for s in summary.sizes[:SHOWN_SIZES]]
    if len(summary.sizes) > SHOWN_SIZES:
        sizes.append(f"and {len(summary.sizes) - SHOWN_SIZES:,} more")
    width_height = summary.crop_size_wh
    crops = "the whole image" if width_height is None else "crops of {} x {}".format(*width_height)
    instances = (
        f"mean {number(summary.mean_instances, 2)}, median {number(summary.median_instances, 1)}, "
        f"most {number(summary.max_instances)}"
    )
    tags = (
        f"stuff {number(summary.stuff_tags_per_crop, 2)}, all {number(summary.tags_per_crop, 2)} "
        f"({summary.crops:,} crops)"
    )
    vertices = f"mean {number(summary.mean_vertices, 1)} ({summary.images_with_vertices:,} images)"
    rows = (
        ("images", f"{summary.images:,} ({images_left_out:,} left out)"),
        ("image sizes", f"{len(summary.sizes):,} distinct\n" + "\n".join(sizes)),
        ("instances", number(summary.instances)),
        ("instances per image", instances),
        ("groups", number(summary.groups)),
        ("stuff segments", number(summary.stuff_segments)),
        ("objects without a segment", f"{summary.dropped_objects:,}"),
        ("polygon vertices per image", vertices),
        (f"tags on {crops}", tags),
        ("void", _show_share(summary.void_share)),
    )
    return table(("", ""), rows, left=2, title=title, show_header=False)


def _categories_table(summary: "Summary") -> "Table":
    columns = ("category", "kind", "images", "segments", "groups", "pixels", "median area")
    rows = (
        (
            row.name,
            "thing" if row.is_thing else "stuff",
            number(row.images),
            number(row.segments),
            number(row.groups),
            _show_share(row.pixel_share),
            number(row.median_area),
        )
        for row in summary.categories
    )
    return table(columns, rows, left=2)


def _show_share(share: float | None) -> str:
    return NOTHING if share is None else f"{percent(share, 2)}%"


def _line_of(problem: "Problem") -> str:
    """Return a problem as one line that a terminal can show, whatever the files hold."""
    text = f"{problem.severity}: {problem.place}: {problem.message}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _conclusion(report: "CheckReport", splits: tuple[str, ...]) -> str:
    looked_at = f"{report.images:,} images, {report.photos:,} with a photo, of {', '.join(splits)}"
    num_errors = sum(problem.severity == "error" for problem in report.problems)
    num_warnings = len(report.problems) - num_errors
    if not report.problems:
        return f"No problem in {looked_at}: files, sizes, categories, labels, names."
    return f"{num_errors:,} errors and {num_warnings:,} warnings in {looked_at}."


def _write_json(path: Path | None, content: dict[str, Any]) -> None:
    from annotools.files import write_json

    if path is not None:
        write_json(path, content)
