"""The command `check` lists what is wrong with a dataset."""

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands import options
from annotools.commands.places import Commands
from annotools.commands.tables import count_of
from annotools.terminal import say

if TYPE_CHECKING:
    from annotools.checks.dataset_checks import CheckReport
    from annotools.checks.problems import Problem

PLACES_SHOWN = 4
"""Of like problems, the places of these are in their line."""

LINES_SHOWN = 40
"""As many kinds of problem are shown, about a page."""

app = Commands()


@app.command()
def check(
    root: options.KeptRoot,
    format_name: options.Format,
    splits: Annotated[
        list[str] | None,
        typer.Option("--split", help="A part to check; repeat it. Train if absent."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A part that must share no image with those checked; repeat it."),
    ] = None,
    photos: options.Photos = None,
    decode: Annotated[
        bool,
        typer.Option("--decode", help="Decode every photo, to find damage inside: takes minutes."),
    ] = False,
    json_file: options.JsonFile = None,
) -> None:
    """List everything that is wrong with a dataset; exit status 1 if there is an error.

    Errors stop the readers or make results wrong. Warnings are what the readers resolve by a rule
    of theirs, such as overlapping masks, measure anew, such as areas, or take although it may be
    wrong; they alone leave the exit status 0. Like problems share a line, with their number and
    the first places; --json has each of them. Of a photo its size and its end are read, unless
    --decode is given; labels are always decoded.

    [bold]Examples[/bold]

    \b
    annotools check DATA --format coco-panoptic --split train --split val
    annotools check DATA --format cityscapes --split train --against val --json problems.json
    """  # noqa: D301
    from annotools.checks.dataset_checks import check_dataset
    from annotools.settings import as_table

    chosen = tuple(dict.fromkeys(splits or ["train"]))
    report = check_dataset(
        format_name, root, chosen, tuple(against or ()), photos=photos, decode=decode
    )
    options.tell(report.notes)
    for line in _lines_of(report.problems):
        say(line)
    say(_conclusion(report, chosen))
    head = {"format": format_name, "splits": chosen, "against": against or []}
    options.write_answer(json_file, head | as_table(report))
    if any(problem.severity == "error" for problem in report.problems):
        raise typer.Exit(1)


def _lines_of(problems: Sequence["Problem"]) -> list[str]:
    """Return problems as lines."""
    from annotools.checks.problems import group_alike

    groups = group_alike(problems)
    lines = [_line_of(alike) for alike in groups[:LINES_SHOWN]]
    if len(groups) > LINES_SHOWN:
        hidden = sum(len(alike) for alike in groups[LINES_SHOWN:])
        lines.append(f"... and {hidden:,} problems of other kinds: --json FILE writes them all")
    return lines


def _line_of(alike: Sequence["Problem"]) -> str:
    """Return like problems as one: how many they are, the first, and the places of the next."""
    first = alike[0]
    times = f"{len(alike):,} times: " if len(alike) > 1 else ""
    places = list(dict.fromkeys(problem.place for problem in alike))
    shown = [_shorten(place, first.place) for place in places[1:PLACES_SHOWN]]
    shown += ["..."] if len(places) > PLACES_SHOWN else []
    so_too = f"; so too {', '.join(shown)}" if shown else ""
    return f"{first.severity}: {times}{first.place}: {first.message}{so_too}"


def _shorten(place: str, first: str) -> str:
    """Return a place without the folders, or the file, that it shares with the first one."""
    parts, known = (re.split(r"(?<=/)|(?<=: )", text) for text in (place, first))
    # The two differ, so that something is left.
    shared = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(parts, known, strict=False))
    return "".join(parts[len(list(shared)) :])


def _conclusion(report: "CheckReport", splits: tuple[str, ...]) -> str:
    images = count_of(report.images, "image")
    looked_at = f"{images}, {report.photos:,} with a photo, of {', '.join(splits)}"
    num_errors = sum(problem.severity == "error" for problem in report.problems)
    num_warnings = len(report.problems) - num_errors
    if not report.problems:
        return f"No problem in {looked_at}: files, sizes, categories, labels, names."
    found = f"{count_of(num_errors, 'error')} and {count_of(num_warnings, 'warning')}"
    return f"{found} in {looked_at}."
