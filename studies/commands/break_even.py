"""`annotools study break-even` says at which annotation time the better choice changes."""

from typing import Annotated

import typer

from annotools.commands.options import JsonFile, tell, write_answer
from annotools.commands.places import Commands
from annotools.commands.tables import COMPACT, NOTHING, console, table
from studies.commands.options import ReadFolder, check_hours, open_study, tell_missing

app = Commands()


@app.command()
def break_even(
    folder: ReadFolder,
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
    from studies.advice.changes import SEARCHED_FACTOR
    from studies.answers import answer
    from studies.break_even import find_changes_of_study
    from studies.folder import STUDY_FILE, finished_results
    from studies.summary import has_learnt_nothing, summary_table

    if hours is not None:
        check_hours(hours)
    study = open_study(folder / STUDY_FILE)
    results = finished_results(study, folder)
    tell_missing(folder, results)
    if has_learnt_nothing(summary_table(results)):
        tell([answer(results)])
    changes = find_changes_of_study(study, results, action, hours)
    heads = ("mixes", "hours", "better", "now (s)", "changes below (s)", "above (s)")
    shown = table(heads, left=len(heads), padding=COMPACT)
    for row in changes:
        ends = [NOTHING if end is None else f"{end:.3g}" for end in (row.below, row.above)]
        names = f"{row.first} or {row.second}"
        better = row.better or "both alike"
        shown.add_row(names, f"{row.hours:.3g}", better, f"{row.now:g}", *ends)
    output = console()
    output.print(shown)
    output.print(
        f"{NOTHING} : no change from a {SEARCHED_FACTOR:g}th to {SEARCHED_FACTOR:g} times the time "
        f"of {action}, as far as the trials' hours reach. Means over seeds decide; how sure they "
        "are is in the report."
    )
    write_answer(json_file, changes)
