"""The command that counts what a dataset holds."""

from typing import TYPE_CHECKING

from annotools.commands import options
from annotools.commands.places import Commands
from annotools.commands.tables import NOTHING, console, count_of, number, percent, table

if TYPE_CHECKING:
    from rich.table import Table

    from annotools.prices.summary import Summary

app = Commands()

SHOWN_SIZES = 5
"""So many of the distinct image sizes are printed."""


@app.command()
def inspect(
    root: options.Root,
    format_name: options.Format,
    split: options.Split = "train",
    crops: options.Crops = None,
    max_images: options.MaxImages = None,
    categories: options.Categories = None,
    photos: options.Photos = None,
    allow_missing: options.AllowMissing = False,
    json_file: options.JsonFile = None,
) -> None:
    """Count what a dataset holds: images, instances, tags, and every category.

    [bold]Examples[/bold]

    \b
    annotools inspect DATA --format cityscapes --split val
    annotools inspect DATA --format coco-instances --crops 320x240 --json summary.json
    """  # noqa: D301
    from annotools.drops import drop_lines, follow_labels
    from annotools.formats.source import Source
    from annotools.prices.summary import summarise
    from annotools.settings import as_table

    crop_size_wh = options.crops_of(crops, format_name)
    source = Source(
        format_name=format_name,
        root=root,
        split=split,
        allow_missing=allow_missing,
        categories=categories,
        photos=photos,
    )
    dataset, left_out = follow_labels(options.open_dataset(source))
    summary = summarise(dataset, dataset.images[:max_images], crop_size_wh)
    shown = console()
    title = f"{dataset.name}, {split}"
    shown.print(_figures_table(summary, title, images_left_out=len(dataset.drops)))
    shown.print(_categories_table(summary))
    for note in dataset.notes:
        shown.print(f"Note: {note}.")
    options.tell(drop_lines(left_out.groups))
    head = {"format": dataset.name, "split": split, "images_left_out": len(dataset.drops)}
    options.write_answer(json_file, {**head, **as_table(summary), "drops": left_out.groups})


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
        f"({count_of(summary.crops, 'crop')})"
    )
    counted = count_of(summary.images_with_vertices, "image")
    vertices = f"mean {number(summary.mean_vertices, 1)} ({counted})"
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
    columns = ("category", "kind", "images", "objects", "groups", "pixels", "median area")
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
