"""The command that says what a budget buys, and writes down which image gets which label."""

import json
import math
from collections.abc import Sequence
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
    refuse_replacing,
)

if TYPE_CHECKING:
    from annotools.allocation.plan_file import PlanSettings
    from annotools.allocation.plan_rows import BudgetRow
    from annotools.records import Dataset

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)

_PLACE = "{budget}"


@app.command()
def plan(
    root: Root,
    format_name: Format,
    mix: Annotated[
        list[str],
        typer.Option(
            metavar="KIND=SHARE",
            help="A label kind and its share, such as boxes+tags=1; repeat it. The kind none "
            "takes images that are used without a label.",
        ),
    ],
    budgets: Annotated[
        list[float], typer.Option("--budget", metavar="HOURS", help="What to spend; repeat it.")
    ],
    split: Split = "train",
    order: Annotated[
        str,
        typer.Option(
            metavar="random|cheapest|most-categories|FILE",
            help="Which images come first; a file lists image ids, one a line, and no others "
            "are bought.",
        ),
    ] = "random",
    share_by: Annotated[
        str, typer.Option(metavar="hours|images", help="What the shares are shares of.")
    ] = "hours",
    times: Annotated[
        str, typer.Option(help="Annotation times: a preset, or your own file.toml.")
    ] = "li2018",
    crops: Crops = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of images.")] = 0,
    allow_missing: AllowMissing = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Write the allocation, for convert and studies; with several budgets the name "
            "has {budget} in it.",
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Show what budgets buy, and write which image gets which label.

    A larger budget keeps what a smaller one bought, and none is exceeded.

    [bold]Examples[/bold]

    \b
    annotools plan CITYSCAPES --format cityscapes --mix boxes+tags=1 --mix full=1
      --budget 10 --budget 20 --out plan_{budget}h.json
    annotools plan world.toml --format scenes --mix full=1 --mix none=1 --budget 12
      --order cheapest --json plan.json
    """  # noqa: D301
    from annotools.allocation.plan_file import PlanSettings
    from annotools.files import write_whole
    from annotools.formats import read_dataset

    shares, hours = _parse_mix(mix), _check_budgets(budgets, out)
    settings = PlanSettings(
        format=format_name,
        root=root.resolve(),
        split=split,
        mix=shares,
        budget_hours=hours[0],
        share_by=share_by,
        order=order,
        seed=seed,
        times=times,
        crop_size_wh=parse_size(crops or DEFAULT_CROPS.get(format_name)),
    )
    outputs = {f"--out for {h:g} h": _file_of(out, h) for h in hours} if out is not None else {}
    check_outputs({**outputs, "--json": json_file}, [root, order, times])
    dataset = read_dataset(format_name, root, split, allow_missing)
    refuse_replacing({**outputs, "--json": json_file}, dataset)
    rows = _buy(dataset, settings, hours, out)
    _print_rows(rows, f"{len(dataset.images)} images of {dataset.name}, {split}; times {times}")
    if json_file is not None:
        write_whole(json_file, _as_json(settings, rows))


def _parse_mix(texts: Sequence[str]) -> dict[str, float]:
    mix: dict[str, float] = {}
    for text in texts:
        kind, equals, share = text.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            equals = ""
        if not equals:
            raise typer.BadParameter(f"--mix {text!r}: write kind and share as boxes+tags=1")
        if kind in mix:
            raise typer.BadParameter(f"--mix {text!r}: {kind} has a share already; give it once")
        mix[kind] = value
    return mix


def _check_budgets(budgets: Sequence[float], out: Path | None) -> list[float]:
    """Return the budgets in rising order, each once."""
    for hours in budgets:
        if not 0 <= hours < math.inf:
            raise typer.BadParameter(f"--budget {hours}: give hours, zero or more")
    rising = sorted(set(budgets))
    if out is not None and len({_file_of(out, hours) for hours in rising}) < len(rising):
        raise typer.BadParameter(
            f"--out {out}: several budgets need a file each; write {_PLACE} in its name, "
            f"as plan_{_PLACE}h.json"
        )
    return rising


def _file_of(out: Path, hours: float) -> Path:
    return out.with_name(out.name.replace(_PLACE, f"{hours:g}"))


def _buy(
    dataset: "Dataset", settings: "PlanSettings", budgets: Sequence[float], out: Path | None
) -> "list[BudgetRow]":
    """Return what each budget buys, and write the allocations if asked."""
    from dataclasses import replace

    from annotools.allocation.allocate import allocate
    from annotools.allocation.image_orders import count_categories, queue_images
    from annotools.allocation.plan_file import write_allocation
    from annotools.allocation.plan_rows import count_instances, summarise_allocation
    from annotools.errors import DatasetError
    from annotools.prices.dataset_prices import price_images
    from annotools.prices.times import read_times
    from annotools.records import NO_LABEL

    if not dataset.images:
        raise DatasetError(f"{dataset.name}: split {dataset.split} has no image to buy")
    mix, images, seed = settings.mix, dataset.images, settings.seed
    kinds = [kind for kind in mix if kind != NO_LABEL]
    times = read_times(settings.times)
    prices = price_images(dataset, images, kinds, times, settings.crop_size_wh)
    counts = count_categories(dataset, images) if settings.order == "most-categories" else {}
    queues = queue_images(settings.order, mix, prices, counts, seed)
    instances = count_instances(dataset, images)
    rows = []
    for hours in budgets:
        bought = allocate(mix, hours, prices, seed, queues, settings.share_by)
        rows.append(summarise_allocation(hours, bought, instances))
        if out is not None:
            asked = replace(settings, budget_hours=hours)
            write_allocation(_file_of(out, hours), asked, bought, prices)
    return rows


def _print_rows(rows: "Sequence[BudgetRow]", title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("budget", justify="right")
    table.add_column("label kind")
    for heading in ("images", "instances", "hours"):
        table.add_column(heading, justify="right")
    for row in rows:
        budget = f"{row.budget_hours:g} h"
        for bought in row.kinds:
            cells = (f"{bought.images:,}", f"{bought.instances:,}", f"{bought.hours:,.2f}")
            table.add_row(budget, bought.kind, *cells)
            budget = ""
        table.add_row(budget, "left over", "", "", f"{row.left_hours:,.2f}", end_section=True)
    console = Console()
    console.print(table)
    for row in rows:
        if row.ran_out:
            console.print(
                f"{row.budget_hours:g} h are more than there is to buy: no image is left, and "
                f"{row.left_hours:,.2f} h are not spent.",
                markup=False,
                highlight=False,
            )


def _as_json(settings: "PlanSettings", rows: "Sequence[BudgetRow]") -> bytes:
    from annotools.settings import as_table

    asked = as_table(settings)
    del asked["budget_hours"]
    return (json.dumps({**asked, "budgets": as_table(list(rows))}, indent=1) + "\n").encode()
