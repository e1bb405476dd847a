"""The command `plan` says what a budget buys, and writes which image gets which label."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotools.commands import options
from annotools.commands.places import READS, Commands, Writes
from annotools.commands.tables import console, count_of, number, table

if TYPE_CHECKING:
    from annotools.allocation.buy_images import BudgetRow, Contents

app = Commands()

_PLACE = "{budget}"


def _files_of(out: Path | None, asked: Mapping[str, Any]) -> list[Path]:
    """Return the files of an allocation each, given all that is asked for."""
    files = [] if out is None else [_file_of(out, hours) for hours in asked["budgets"]]
    return list(dict.fromkeys(files))


@app.command()
def plan(
    root: options.Root,
    format_name: options.Format,
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
    split: options.Split = "train",
    order: Annotated[
        str,
        typer.Option(
            metavar="random|cheapest|most-categories|FILE",
            help="Which images come first; a file lists image ids, one a line, and no others "
            "are bought.",
        ),
        READS,
    ] = "random",
    share_by: Annotated[
        str, typer.Option(metavar="hours|images", help="What the shares are shares of.")
    ] = "hours",
    times: options.Times = "li2018",
    crops: options.Crops = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of images.")] = 0,
    categories: options.Categories = None,
    photos: options.Photos = None,
    allow_missing: options.AllowMissing = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Write the allocation, for convert and studies; with several budgets the name "
            "has {budget} in it.",
        ),
        Writes(places=_files_of),
    ] = None,
    json_file: options.JsonFile = None,
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
    from annotools.allocation.buy_images import buy_images, summarise_allocation
    from annotools.allocation.plan_file import PlanSettings, write_allocation
    from annotools.drops import drop_lines, follow_labels
    from annotools.formats.source import Source
    from annotools.settings import is_own_file

    shares = _parse_mix(mix)
    plans = [
        PlanSettings(
            format=format_name,
            # The plan file is read later, and perhaps from another working folder.
            root=root.resolve(),
            split=split,
            mix=shares,
            budget_hours=hours,
            share_by=share_by,
            order=order,
            seed=seed,
            times=str(Path(times).resolve()) if is_own_file(times) else times,
            crop_size_wh=options.crops_of(crops, format_name),
            categories=categories,
        )
        for hours in _check_budgets(budgets, out)
    ]
    files = [None if out is None else _file_of(out, asked.budget_hours) for asked in plans]
    source = Source(
        format_name=format_name,
        root=root,
        split=split,
        allow_missing=allow_missing,
        categories=categories,
        photos=photos,
    )
    dataset, left_out = follow_labels(options.open_dataset(source))
    allocations, contents = buy_images(dataset, dataset.images, plans)
    rows = [summarise_allocation(bought, contents) for bought in allocations]
    for path, bought in zip(files, allocations, strict=True):
        if path is not None:
            write_allocation(path, bought)
    images = count_of(len(dataset.images), "image")
    _print_rows(rows, f"{images} of {dataset.name}, {split}; times {times}")
    options.tell(_caveats(format_name, times, shares, contents))
    options.tell(drop_lines(left_out.groups))
    asked = vars(plans[0]) | {"budgets": rows, "drops": left_out.groups}
    del asked["budget_hours"]  # Each of the rows has its own.
    options.write_answer(json_file, asked)


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
    from annotools.prices.times import MAX_HOURS

    for hours in budgets:
        if not 0 <= hours <= MAX_HOURS:
            raise typer.BadParameter(f"--budget {hours}: give 0 to {MAX_HOURS:g} hours")
    rising = sorted(set(budgets))
    if out is not None and len({_file_of(out, hours) for hours in rising}) < len(rising):
        raise typer.BadParameter(
            f"--out {out}: several budgets need a file each; write {_PLACE} in its name, "
            f"as plan_{_PLACE}h.json"
        )
    return rising


def _file_of(out: Path, hours: float) -> Path:
    return out.with_name(out.name.replace(_PLACE, f"{hours:g}"))


def _print_rows(rows: "Sequence[BudgetRow]", title: str) -> None:
    shown = table(("budget", "label kind", "images", "instances", "hours"), left=2, title=title)
    for row in rows:
        budget = f"{row.budget_hours:g} h"
        for kind in row.kinds:
            cells = (number(kind.images), number(kind.instances), number(kind.hours, 2))
            shown.add_row(budget, kind.kind, *cells)
            budget = ""
        shown.add_row(budget, "left over", "", "", number(row.left_hours, 2), end_section=True)
    output = console()
    output.print(shown)
    for row in rows:
        for line in _explain(row):
            output.print(line)


def _explain(row: "BudgetRow") -> Iterator[str]:
    """Yield why a budget was not spent, or bought no label at all."""
    from annotools.prices.price_list import write_number
    from annotools.records import NO_LABEL

    bought = [kind for kind in row.kinds if kind.images]
    budget, left = f"{row.budget_hours:g} h", f"{row.left_hours:,.2f} h are not spent"
    if row.ran_out and len(bought) < 2:
        yield f"{budget} are more than there is to buy: no image is left, and {left}."
    elif row.ran_out:
        taken = ", ".join(f"{kind.kind} {kind.images:,}" for kind in bought)
        dearest = max(bought, key=lambda kind: kind.hours / kind.images).kind
        yield (
            f"{budget} are more than this mix can spend: no image is left ({taken}), and {left}; "
            f"a larger share of {dearest} spends more."
        )
    elif row.next_hours is not None and all(kind.kind == NO_LABEL for kind in bought):
        yield (
            f"{budget} buy no label: the first in this order, of the kind {row.next_kind}, takes "
            f"{write_number(row.next_hours)} h."
        )


def _caveats(
    format_name: str, times: str, mix: Mapping[str, float], contents: "Contents"
) -> Iterator[str]:
    """Yield what times of certain images are used for others: the presets' are of Cityscapes."""
    from annotools.prices.actions import actions_for
    from annotools.prices.times import explain_images, read_times
    from annotools.records import NO_LABEL

    if format_name != "cityscapes":
        # Images of one dataset differ in their counts and not in the actions that are counted.
        content = next(iter(contents.values()))
        used = {a for kind in mix if kind != NO_LABEL for a in actions_for(content, kind)}
        yield from explain_images(read_times(times), used)
