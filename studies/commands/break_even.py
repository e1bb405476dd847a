"""The command that says at which annotation time the better choice of a study changes."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from annotools.commands.options import JsonFile

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)

PIPED_WIDTH = 160
"""Columns of a table that goes to a file or another program."""


@app.command()
def break_even(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study.")],
    action: Annotated[
        str, typer.Option(help="Whose time is varied: box, tag, mask, full_image ...")
    ],
    hours: Annotated[
        float | None,
        typer.Option(help="Hours at which mixes are compared; the middle of both if absent."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Show at which seconds of an action the better of two mixes is the other one.

    The finished trials are priced anew, not trained anew.

    [bold]Examples[/bold]

    \b
    annotools study break-even runs/street --action box
    annotools study break-even runs/street --action full_image --hours 18
    """  # noqa: D301
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from annotools.files import write_json
    from annotools.settings import as_table
    from studies.break_even import SEARCHED_FACTOR, break_even_of_study
    from studies.folder import STUDY_FILE, finished_results, load_stored_study

    study = load_stored_study(folder / STUDY_FILE)
    changes = break_even_of_study(study, finished_results(study, folder), action, hours)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    heads = ("mixes", "hours", "better", "now (s)", "changes below (s)", "above (s)")
    for head in heads:
        table.add_column(head)
    for row in changes:
        ends = ["–" if end is None else f"{end:.3g}" for end in (row.below, row.above)]
        names = f"{row.first} or {row.second}"
        better = row.better or "both alike"
        table.add_row(names, f"{row.hours:.3g}", better, f"{row.now:g}", *ends)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(table, markup=False)
    note = (
        f"– : no change from a {SEARCHED_FACTOR:g}th to {SEARCHED_FACTOR:g} times the time of "
        f"{action}, as far as the trials' hours reach. Means over seeds decide; how sure they are "
        "is in the report."
    )
    console.print(note, markup=False, highlight=False)
    if json_file is not None:
        write_json(json_file, as_table(changes))
