"""The command `convert` writes the cheaper labels one could have bought."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands import options
from annotools.commands.places import READS, Commands, keep
from annotools.commands.tables import NOTHING, console, count_of, number, table

if TYPE_CHECKING:
    from annotools.allocation.plan_file import Allocation
    from annotools.conversion.account import Conversion
    from annotools.prices.times import AnnotationTimes

app = Commands()


@app.command()
def convert(
    root: options.Root,
    format_name: options.Format,
    out: options.OutFolder,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="KIND",
            help="Label kind: full, boxes, tags, boxes+tags, points, scribbles or coarse; "
            "repeat it.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Give each image the kind it has in an allocation of `annotools plan`, instead "
            "of --to.",
        ),
        READS,
    ] = None,
    annotator: options.AnnotatorFile = None,
    split: options.Split = "train",
    workers: options.Workers = 1,
    overwrite: options.Overwrite = False,
    crops: options.Crops = None,
    box_format: Annotated[
        str, typer.Option(metavar="coco|voc|yolo", help="How boxes are written.")
    ] = "coco",
    categories: options.Categories = None,
    photos: options.Photos = None,
    allow_missing: options.AllowMissing = False,
    max_images: options.MaxImages = None,
    seed: Annotated[int, typer.Option(min=0, help="Of points, scribbles and mistakes.")] = 0,
    times: Annotated[
        str | None,
        typer.Option(
            help="Annotation times: a preset, or your own file.toml; if absent those of --labels, "
            "else li2018."
        ),
        READS,
    ] = None,
    json_file: options.JsonFile = None,
) -> None:
    """Write the cheaper labels one could have bought: all kinds in one pass.

    A run that was stopped goes on where it was when it is repeated. The manifest in the folder
    says where everything came from, what was left out, and what it costs.

    [bold]Examples[/bold]

    \b
    annotools convert CITYSCAPES --format cityscapes --to boxes --to tags --out weak
    annotools convert COCO --format coco-instances --split val --to boxes --box-format yolo
      --categories voc --out voc-boxes --workers 8
    annotools convert CITYSCAPES --format cityscapes --labels plan.json --annotator hurried.toml
      --out bought
    """  # noqa: D301
    from annotools.allocation.plan_file import read_allocation
    from annotools.conversion.convert import convert as convert_source
    from annotools.conversion.wanted import Wanted
    from annotools.formats.source import Source
    from annotools.weak_labels.annotators import read_annotator

    if (labels is None) == (not kinds):
        raise typer.BadParameter("give either --to or --labels")
    allocation = read_allocation(labels) if labels is not None else None
    crop_size_wh = options.crops_of(crops, format_name)
    if allocation is not None:
        kinds = list(_bought_kinds(allocation))
        # The plan's prices are for crops of its own, so the format's default does not count here.
        crop_size_wh = options.parse_size(crops) or allocation.settings.crop_size_wh
        categories = categories or allocation.settings.categories
    table_of_times = _read_times(times, allocation)
    source = Source(
        format_name=format_name,
        root=root,
        split=split,
        allow_missing=allow_missing,
        categories=categories,
        max_images=max_images,
        photos=photos,
    )
    options.open_dataset(source)
    conversion = convert_source(
        source,
        Wanted(
            kinds=tuple(dict.fromkeys(kinds or ())),
            box_format=box_format,
            crop_size_wh=crop_size_wh,
            seed=seed,
            annotator=None if annotator is None else read_annotator(annotator),
            allocation=allocation,
        ),
        table_of_times,
        out,
        workers,
        overwrite=overwrite,
    )
    _print_conversion(conversion, out)
    options.write_answer(json_file, conversion)


def _bought_kinds(allocation: "Allocation") -> tuple[str, ...]:
    from annotools.errors import RecipeError

    if not allocation.bought_kinds:
        raise RecipeError(f"{allocation.path}: it buys no label: plan with a larger budget")
    return allocation.bought_kinds


def _read_times(times: str | None, allocation: "Allocation | None") -> "AnnotationTimes":
    """Return the times that were asked for, else those of the allocation, else the paper's."""
    from annotools.errors import name_place
    from annotools.prices.times import read_times

    if times is not None or allocation is None:
        return read_times(times or "li2018")
    keep([allocation.settings.times], f"a file that {allocation.path} names")
    with name_place(f"{allocation.path} asks for these times (--times takes others)"):
        return read_times(allocation.settings.times)


def _print_conversion(conversion: "Conversion", out: Path) -> None:
    from annotools.drops import drop_lines

    title = f"{count_of(conversion.num_images, 'image')}, "
    title += count_of(conversion.num_objects, "object")
    if conversion.num_resumed:
        title += f"; {count_of(conversion.num_resumed, 'image')} done before"
    rows = (
        (r.kind, ", ".join(r.files), number(r.entries), number(r.dropped), number(r.hours, 2))
        for r in conversion.kinds
    )
    columns = ("label kind", "files", "entries", "objects dropped", "hours")
    shown = console()
    shown.print(table(columns, rows, left=2, title=title))
    unpriced = (
        f"{NOTHING} {row.kind}: no price, because {row.hours_missing}"
        for row in conversion.kinds
        if row.hours_missing is not None
    )
    for line in (*unpriced, *drop_lines(conversion.drops), str(out / "manifest.json")):
        # With soft wrapping a long path stays in one piece and can be copied.
        shown.print(line, soft_wrap=True)
