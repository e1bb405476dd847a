"""The command `price` says what labels cost, how sure that is, and what it hangs on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands import options
from annotools.commands.places import READS, Commands, Writes
from annotools.commands.tables import COMPACT, NOTHING, console, count_of, table
from annotools.terminal import say

if TYPE_CHECKING:
    from annotools.prices.image_content import ImageContent
    from annotools.prices.intervals import BreakEven, Price, Swing
    from annotools.prices.price_list import PriceList
    from annotools.prices.times import AnnotationTimes
    from annotools.records import Dataset

app = Commands()


@app.command()
def price(
    root: options.RootIfAny = None,
    format_name: options.FormatIfAny = None,
    statistics: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="In place of a dataset its means per image: cityscapes-train, "
            "cityscapes-trainval, voc, or your own file.toml.",
        ),
        READS,
    ] = None,
    split: options.Split = "train",
    times: options.Times = "li2018",
    seconds: Annotated[
        list[str] | None,
        typer.Option(metavar="ACTION=S", help="Your own time of an action, certain; repeat it."),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="full, 'full by vertex', boxes, tags, 'tags of stuff', boxes+tags, points, "
            "'one point a class', scribbles or coarse; repeat it. All if absent, 'full by vertex' "
            "only where a vertex has a time.",
        ),
    ] = None,
    crops: options.Crops = None,
    max_images: options.MaxImages = None,
    coarse_images: Annotated[
        int,
        typer.Option(min=0, help="Further images like these, for which full means a coarse label."),
    ] = 0,
    all_break_evens: Annotated[
        bool, typer.Option("--break-even", help="Break-evens of all pairs of label kinds.")
    ] = False,
    categories: options.Categories = None,
    photos: options.Photos = None,
    allow_missing: options.AllowMissing = False,
    json_file: options.JsonFile = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help="Draw hours and the saving to this file."),
        Writes(suffix=".png"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws behind the intervals.")] = 0,
) -> None:
    """Show what labelling a dataset costs, by label kind, how sure that is, and what it hangs on.

    Intervals hold 90 % of what other annotators would take, from the ranges in the table of times.

    [bold]Examples[/bold]

    \b
    annotools price DATA --format coco-instances --kinds full --kinds boxes
    annotools price world.toml --format scenes --crops 48x40 --json prices.json
    annotools price --statistics cityscapes-train --seconds box=35 --picture prices.png
    annotools price --statistics cityscapes-train --coarse-images 19998
    annotools price --statistics voc --times bearman2016 --break-even
    """  # noqa: D301
    from annotools.drops import DropList, drop_lines, follow_labels
    from annotools.formats.source import Source
    from annotools.prices.price_list import as_json, make_price_list

    table_of_times = _read_times(times, seconds or [])
    left_out = DropList()
    if statistics is not None:
        if root or format_name or crops or max_images or allow_missing or photos or categories:
            raise typer.BadParameter(
                "--statistics stands in place of ROOT, --format, --crops, --max-images, "
                "--categories, --photos and --allow-missing"
            )
        content, num_images, name = _read_statistics(statistics)
    elif root is None or format_name is None:
        raise typer.BadParameter("give ROOT and --format, or --statistics")
    else:
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
        content, num_images, name = _measure(dataset, crop_size_wh, max_images)
    listed = make_price_list(
        content, num_images, kinds, table_of_times, num_coarse_images=coarse_images, seed=seed
    )
    _print(listed, name, all_break_evens=all_break_evens)
    options.tell(drop_lines(left_out.groups))
    answer = {"dataset": name, **as_json(listed), "drops": left_out.groups}
    options.write_answer(json_file, answer)
    if picture is not None:
        # matplotlib loads slowly, so it is imported only where there is something to draw.
        from annotools.prices.plots import draw_prices

        draw_prices([row for row in listed.prices if row], listed.headline, picture)
        say(str(picture))


def _read_times(name: str, seconds: Sequence[str]) -> "AnnotationTimes":
    from annotools.prices.times import fix_time, read_times

    times = read_times(name)
    for assignment in seconds:
        action, _, text = assignment.partition("=")
        try:
            value = float(text)
        except ValueError as error:
            raise typer.BadParameter(f"--seconds {assignment}: write it as box=12") from error
        times = fix_time(times, action, value)
    return times


def _read_statistics(name_or_path: str) -> "tuple[ImageContent, int, str]":
    """Return the mean image of published statistics, the number of images and their name."""
    from annotools.prices.image_content import read_statistics

    published = read_statistics(name_or_path)
    return published.content, published.num_images, f"{published.name} ({published.source})"


def _measure(
    dataset: "Dataset", crop_size_wh: tuple[int, int] | None, max_images: int | None
) -> "tuple[ImageContent, int, str]":
    """Return the mean image of a dataset, the number of images and their name."""
    from annotools.prices.image_content import mean_content, measure_images

    images = dataset.images[:max_images]
    contents = measure_images(dataset, images, crop_size_wh, with_vertices=True)
    left_out = f" ({len(dataset.drops):,} left out)" if dataset.drops else ""
    name = f"{dataset.name}, {dataset.split}{left_out}"
    return mean_content(contents.values()), len(images), name


def _print(listed: "PriceList", name: str, *, all_break_evens: bool) -> None:
    from annotools.prices.price_list import explain

    output = console()
    number = count_of(listed.num_images, "image")
    if listed.num_coarse_images:
        number += f" and {count_of(listed.num_coarse_images, 'coarse one')}"
    output.print(f"{number} of {name}; times {listed.times.name}")
    heads: tuple[str, ...]
    heads = ("label kind", "s/image", "min/image", "hours", "full costs", "% of full")
    rows = [
        [workload.name, *_price_cells(row)]
        for workload, row in zip(listed.workloads, listed.prices, strict=True)
    ]
    output.print(table(heads, rows, padding=COMPACT))
    if listed.swings:
        heads = ("what the saving hangs on", "range (s)", "full costs", "share of spread")
        rows = [_swing_cells(listed, swing) for swing in listed.swings]
        output.print(table(heads, rows, padding=COMPACT))
    break_evens = _shown_break_evens(listed, all_break_evens=all_break_evens)
    if break_evens:
        heads = ("costs the same", "action", "now (s)", "at (s)")
        rows = [_break_even_cells(row) for row in break_evens]
        output.print(table(heads, rows, padding=COMPACT))
    for line in explain(listed):
        output.print(line)


def _price_cells(row: "Price | None") -> list[str]:
    from annotools.prices.price_list import write_interval, write_number

    if row is None:
        return [NOTHING] * 5
    percent = None if row.ratio_to_full is None else 100 * row.ratio_to_full
    return [
        f"{row.seconds_per_image:,.1f}",
        f"{row.seconds_per_image / 60:,.2f}",
        write_number(row.hours) + write_interval(row.hours_interval),
        write_number(row.full_is_times, "x") + write_interval(row.full_is_times_interval),
        write_number(percent) + write_interval(row.ratio_interval, 100),
    ]


def _swing_cells(listed: "PriceList", swing: "Swing") -> list[str]:
    from annotools.prices.price_list import write_number

    time = listed.times.actions[swing.action]
    return [
        swing.action,
        f"{time.low:g} to {time.high:g}",
        f"{write_number(swing.at_low, 'x')} to {write_number(swing.at_high, 'x')}",
        f"{100 * swing.variance_share:.0f} %",
    ]


def _shown_break_evens(listed: "PriceList", *, all_break_evens: bool) -> "list[BreakEven]":
    """Return all break-evens, or those that decide whether the explained saving is one."""
    if all_break_evens:
        return list(listed.break_evens)
    return [
        row
        for row in listed.break_evens
        if row.first == "full" and row.second == listed.headline_name
    ]


def _break_even_cells(row: "BreakEven") -> list[str]:
    from annotools.prices.price_list import write_number

    return [f"{row.first} = {row.second}", row.action, f"{row.now:g}", write_number(row.seconds)]
