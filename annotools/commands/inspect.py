"""The command that counts what a dataset holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    refuse_replacing,
)

if TYPE_CHECKING:
    from rich.table import Table

    from annotools.prices.summary import Summary

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)

SHOWN_SIZES = 5
"""How many of the distinct image sizes are printed."""


@app.command()
def inspect(
    root: Root,
    format_name: Format,
    split: Split = "train",
    crops: Crops = None,
    max_images: Annotated[
        int | None, typer.Option(min=1, help="Count only the first so many images.")
    ] = None,
    allow_missing: AllowMissing = False,
    json_file: JsonFile = None,
) -> None:
    """Count what a dataset holds: images, instances, tags, and every category.

    [bold]Examples[/bold]

    \b
    annotools inspect DATA --format cityscapes --split val
    annotools inspect DATA --format coco-instances --crops 320x240 --json summary.json
    """  # noqa: D301
    from rich.console import Console

    from annotools.formats import read_dataset
    from annotools.prices.image_content import count_vertices
    from annotools.prices.summary import summarise
    from annotools.progress import track
    from annotools.settings import as_table

    crop_size_wh = parse_size(crops or DEFAULT_CROPS.get(format_name))
    check_outputs({"--json": json_file}, [root])
    dataset = read_dataset(format_name, root, split, allow_missing)
    refuse_replacing({"--json": json_file}, dataset)
    images = dataset.images[:max_images]
    labels = (dataset.read_label(i) for i in track(images, "counting", len(images)))
    vertices = (count_vertices(dataset, i) for i in track(images, "counting vertices", len(images)))
    summary = summarise(labels, dataset.categories, crop_size_wh, vertices)
    console = Console()
    title = f"{dataset.name}, {split}"
    console.print(_figures_table(summary, title, images_left_out=len(dataset.drops)))
    console.print(_categories_table(summary))
    for note in dataset.notes:
        console.print(f"Note: {note}.", markup=False, highlight=False)
    head = {"format": dataset.name, "split": split, "images_left_out": len(dataset.drops)}
    _write_json(json_file, head | as_table(summary))


def _figures_table(summary: "Summary", title: str, images_left_out: int) -> "Table":
    from rich import box
    from rich.table import Table

    sizes = [f"{s.width} x {s.height}: {s.images:,}" for s in summary.sizes[:SHOWN_SIZES]]
    if len(summary.sizes) > SHOWN_SIZES:
        sizes.append(f"and {len(summary.sizes) - SHOWN_SIZES:,} more")
    width_height = summary.crop_size_wh
    crops = "the whole image" if width_height is None else "crops of {} x {}".format(*width_height)
    instances = (
        f"mean {_show(summary.mean_instances, 2)}, median {_show(summary.median_instances, 1)}, "
        f"most {_show(summary.max_instances, 0)}"
    )
    tags = (
        f"stuff {_show(summary.stuff_tags_per_crop, 2)}, all {_show(summary.tags_per_crop, 2)} "
        f"({summary.crops:,} crops)"
    )
    vertices = f"mean {_show(summary.mean_vertices, 1)} ({summary.images_with_vertices:,} images)"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", show_header=False)
    for name, figure in (
        ("images", f"{summary.images:,} ({images_left_out:,} left out)"),
        ("image sizes", f"{len(summary.sizes):,} distinct\n" + "\n".join(sizes)),
        ("instances", f"{summary.instances:,}"),
        ("instances per image", instances),
        ("groups", f"{summary.groups:,}"),
        ("stuff segments", f"{summary.stuff_segments:,}"),
        ("objects without a segment", f"{summary.dropped_objects:,}"),
        ("polygon vertices per image", vertices),
        (f"tags on {crops}", tags),
        ("void", _show_percent(summary.void_share)),
    ):
        table.add_row(name, figure)
    return table


def _categories_table(summary: "Summary") -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("category")
    table.add_column("kind")
    for heading in ("images", "segments", "groups", "pixels", "median area"):
        table.add_column(heading, justify="right")
    for row in summary.categories:
        table.add_row(
            escape(row.name),
            "thing" if row.is_thing else "stuff",
            f"{row.images:,}",
            f"{row.segments:,}",
            f"{row.groups:,}",
            _show_percent(row.pixel_share),
            _show(row.median_area, 0),
        )
    return table


def _show(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _show_percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _write_json(path: Path | None, content: dict[str, Any]) -> None:
    from annotools.files import write_json

    if path is not None:
        write_json(path, content)
