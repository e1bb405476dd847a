"""Commands on datasets: what labels cost, and what they look like."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from annotools.dataset_prices import KindPrice
    from annotools.records import Dataset, Image, Photo

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)

MIN_DRAWN_WIDTH = 640
"""Pixels up to which small photos are enlarged, so that names can be read on them."""

Root = Annotated[Path, typer.Argument(help="The dataset; of scenes, a TOML file of knobs.")]
Format = Annotated[str, typer.Option("--format", help="coco-instances or scenes.")]
Split = Annotated[str, typer.Option(help="The part of the dataset.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the table to this file as well.")
]


@app.command()
def price(
    root: Root,
    format_name: Format,
    split: Split = "train",
    times: Annotated[
        str, typer.Option(help="Annotation times: a preset, or your own file.toml.")
    ] = "li2018",
    kinds: Annotated[
        list[str] | None,
        typer.Option(help="Label kind: full, boxes, tags or boxes+tags; repeat it. All if absent."),
    ] = None,
    crops: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Pixels of the tagged crops; the whole image if absent."),
    ] = None,
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
    from annotools.records import LABEL_KINDS
    from annotools.times import read_times

    crop_size_wh = _parse_size(crops)
    asked = tuple(dict.fromkeys(kinds or LABEL_KINDS))
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
def draw(
    root: Root,
    format_name: Format,
    out: Annotated[Path, typer.Option(help="The PNG file to write.")],
    split: Split = "train",
    image: Annotated[
        list[str] | None, typer.Option(help="Id of an image to draw; repeat it.")
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, help="Draw the first so many, where no --image is given.")
    ] = 4,
) -> None:
    """Draw images beside their labels: segments, boxes and names.

    [bold]Examples[/bold]

    \b
    annotools draw DATA --format coco-instances --split val --count 6 --out sheet.png
    annotools draw world.toml --format scenes --image 3 --image 17 --out sheet.png
    """  # noqa: D301
    from rich.console import Console

    from annotools.drawing import contact_sheet, encode_png
    from annotools.files import write_whole
    from annotools.formats import read_dataset

    dataset = read_dataset(format_name, root, split)
    chosen = _choose_images(dataset, image, count)
    pictures = [picture for image in chosen for picture in _draw_pair(dataset, image)]
    write_whole(out, encode_png(contact_sheet(pictures, columns=2)))
    Console(soft_wrap=True).print(str(out), markup=False, highlight=False)


def _parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise typer.BadParameter(f"{text!r}: write width and height as 500x400")
    return int(width), int(height)


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


def _choose_images(dataset: "Dataset", ids: list[str] | None, count: int) -> "list[Image]":
    from annotools.errors import DatasetError

    if not dataset.images:
        raise DatasetError(f"{dataset.name}: split {dataset.split} has no image")
    if not ids:
        return list(dataset.images[:count])
    image_of = {str(image.image_id): image for image in dataset.images}
    for image_id in ids:
        if image_id not in image_of:
            first = ", ".join(list(image_of)[:5])
            raise DatasetError(f"{dataset.name} has no image {image_id!r}; its first are {first}")
    return [image_of[image_id] for image_id in ids]


def _draw_pair(dataset: "Dataset", image: "Image") -> "tuple[Photo, Photo]":
    from annotools.drawing import draw_label, enlarge

    factor = max(1, -(-MIN_DRAWN_WIDTH // image.width))
    photo, label = enlarge(dataset.read_photo(image), dataset.read_label(image), factor)
    return photo, draw_label(photo, label, dataset.categories)
