"""Commands on datasets: what labels cost, what they look like, and cheaper ones in their place."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools import draw_cli, inspect_cli
from annotools.options import (
    DEFAULT_CROPS,
    AllowMissing,
    Crops,
    Format,
    JsonFile,
    Root,
    Split,
    parse_size,
)

if TYPE_CHECKING:
    from annotools.conversion.convert import Conversion
    from annotools.dataset_prices import KindPrice

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)
app.add_typer(inspect_cli.app)
app.add_typer(draw_cli.app)

MAX_SHOWN_REASONS = 10
"""Reasons for drops that are printed, the most frequent first."""

Times = Annotated[str, typer.Option(help="Annotation times: a preset, or your own file.toml.")]


@app.command()
def price(
    root: Root,
    format_name: Format,
    split: Split = "train",
    times: Times = "li2018",
    kinds: Annotated[
        list[str] | None,
        typer.Option(help="Label kind: full, boxes, tags or boxes+tags; repeat it. All if absent."),
    ] = None,
    crops: Crops = None,
    max_images: Annotated[
        int | None, typer.Option(min=1, help="Price only the first so many images.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Show what labelling a dataset costs, by label kind.

    [bold]Examples[/bold]

    \b
    annotools price DATA --format coco-instances --kinds full --kinds boxes
    annotools price world.toml --format scenes --crops 48x40 --json prices.json
    """  # noqa: D301
    from annotools.dataset_prices import price_images, summarise_prices
    from annotools.files import write_whole
    from annotools.formats import read_dataset
    from annotools.times import read_times
    from annotools.weak_labels.weaken import WEAK_KINDS

    crop_size_wh = parse_size(crops or DEFAULT_CROPS.get(format_name))
    asked = tuple(dict.fromkeys(kinds or ("full", *WEAK_KINDS)))
    table_of_times = read_times(times)
    dataset = read_dataset(format_name, root, split)
    images = dataset.images[:max_images]
    prices = price_images(dataset, images, {*asked, "full"}, table_of_times, crop_size_wh)
    rows = summarise_prices(prices, asked)
    title = f"{len(images)} images of {dataset.name}, {split}; times {table_of_times.name}"
    _print_prices(rows, title, table_of_times.note)
    if json_file is not None:
        content = {"times": table_of_times.name, "images": len(images)}
        listed = content | {"kinds": [vars(row) for row in rows]}
        write_whole(json_file, (json.dumps(listed, indent=1) + "\n").encode())


@app.command()
def convert(
    root: Root,
    format_name: Format,
    kinds: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar="KIND",
            help="Label kind: full, boxes, tags, boxes+tags, points, scribbles or coarse; "
            "repeat it.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write to.")],
    split: Split = "train",
    workers: Annotated[int, typer.Option(min=1, help="Processes that read labels.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove what a conversion wrote to DIR before.")
    ] = False,
    crops: Crops = None,
    box_format: Annotated[
        str, typer.Option(metavar="coco|voc|yolo", help="How boxes are written.")
    ] = "coco",
    categories: Annotated[
        str | None,
        typer.Option(metavar="voc", help="Go over to the categories of another dataset."),
    ] = None,
    allow_missing: AllowMissing = False,
    max_images: Annotated[
        int | None, typer.Option(min=1, help="Convert only the first so many images.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of points and scribbles.")] = 0,
    times: Times = "li2018",
    json_file: JsonFile = None,
) -> None:
    """Write the cheaper labels one could have bought: all kinds in one pass.

    A run that was stopped goes on where it was when it is repeated. The manifest in the folder
    says where everything came from, what was left out, and what it costs.

    [bold]Examples[/bold]

    \b
    annotools convert CITYSCAPES --format cityscapes --to boxes --to tags --out weak
    annotools convert COCO --format coco-instances --split val --to boxes --box-format yolo
      --categories voc --out voc-boxes --workers 8
    """  # noqa: D301
    from dataclasses import asdict

    from annotools.conversion.convert import convert as convert_source
    from annotools.conversion.image_outputs import Wanted
    from annotools.conversion.shards import Source
    from annotools.files import write_whole
    from annotools.times import read_times

    crop_size_wh = parse_size(crops or DEFAULT_CROPS.get(format_name))
    conversion = convert_source(
        Source(
            format_name=format_name,
            root=root,
            split=split,
            allow_missing=allow_missing,
            categories=categories,
            max_images=max_images,
        ),
        Wanted(
            kinds=tuple(dict.fromkeys(kinds)),
            box_format=box_format,
            crop_size_wh=crop_size_wh,
            seed=seed,
        ),
        read_times(times),
        out,
        workers,
        overwrite=overwrite,
    )
    _print_conversion(conversion, out)
    if json_file is not None:
        write_whole(json_file, (json.dumps(asdict(conversion), indent=1) + "\n").encode())


def _print_prices(rows: "Sequence[KindPrice]", title: str, note: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("label kind")
    for heading in ("seconds per image", "hours", "ratio to full"):
        table.add_column(heading, justify="right")
    for row in rows:
        ratio = "–" if row.ratio_to_full is None else f"{row.ratio_to_full:.4f}"
        table.add_row(row.kind, f"{row.seconds_per_image:,.1f}", f"{row.hours:,.2f}", ratio)
    console = Console()
    console.print(table)
    console.print(note, markup=False, highlight=False)


def _print_conversion(conversion: "Conversion", out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title = f"{conversion.num_images} images, {conversion.num_objects} objects"
    if conversion.num_resumed:
        title += f"; {conversion.num_resumed} images were done before"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("label kind")
    table.add_column("files")
    for heading in ("entries", "objects dropped", "hours"):
        table.add_column(heading, justify="right")
    for row in conversion.kinds:
        hours = "–" if row.hours is None else f"{row.hours:,.2f}"
        files = ", ".join(row.files)
        table.add_row(row.kind, files, f"{row.entries:,}", f"{row.dropped:,}", hours)
    console = Console()
    console.print(table)
    drops = sorted(conversion.drops, key=lambda group: -group.count)
    lines = [
        f"dropped from {group.kind}: {group.count:,}, {group.reason}; {group.places[0]}"
        + (", ..." if group.count > 1 else "")
        for group in drops[:MAX_SHOWN_REASONS]
    ]
    if len(drops) > MAX_SHOWN_REASONS:
        lines.append(f"dropped for {len(drops) - MAX_SHOWN_REASONS} other reasons: see")
    for line in (*lines, str(out / "manifest.json")):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
