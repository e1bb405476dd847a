"""`annotools study recommend` says what to buy with some hours, by the rows of a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import JsonFile, check_outputs, write_answer
from annotools.commands.tables import COMPACT, NOTHING, console, percent, table

if TYPE_CHECKING:
    from rich.table import Table

    from studies.advice import Advice
    from studies.crossings import HoursNeeded

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)


@app.command()
def recommend(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A study's folder, or any with rows in trials/.")
    ],
    hours: Annotated[float, typer.Option(help="Annotation hours that you have.")],
    metric: Annotated[
        str, typer.Option(help="The score: pq, pq_things, pq_stuff, ap_vol, miou, miou_semantic.")
    ] = "pq",
    target: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Say also how many hours reach this score, in [0, 1]."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Say which labels to buy with some hours, how sure that is, and which trial would help.

    Scores are predicted up to four times the largest budget, with 90 % intervals. It reads the
    trials' rows alone: DIR/trials/*/result.json, and DIR/trials/*.json made elsewhere.

    [bold]Examples[/bold]

    \b
    annotools study recommend runs/street --hours 18
    annotools study recommend runs/street --hours 18 --target 0.6 --json advice.json
    annotools study recommend rows --hours 40 --metric miou
    """  # noqa: D301
    from annotools.settings import as_table
    from studies.advice import advise, hours_to_reach
    from studies.results import read_results, row_paths

    # Infinite hours and what is not a number are refused too.
    if not 0 < hours < float("inf"):
        raise typer.BadParameter(f"--hours {hours:g}: must be a number above 0")
    results = read_results(folder)
    check_outputs({"--json": json_file}, row_paths(folder))
    advice = advise(results, hours, metric)
    needed = {} if target is None else hours_to_reach(results, target, metric)
    output = console()
    output.print(_verdict(advice))
    output.print(_table(advice, needed if target is not None else None))
    for line in _notes(advice):
        output.print(line)
    # The key is there where it was asked for, so that the others stay what they are.
    found = as_table(advice) | ({} if target is None else {"target": as_table(needed)})
    write_answer(json_file, found)


def _verdict(advice: "Advice") -> str:
    """Return the verdict as a sentence."""
    from studies.summary import SCORES
    from studies.verdict import BUY, SURE, TIE

    score = SCORES[advice.metric]
    known = {name: mix for name, mix in advice.mixes.items() if mix.score is not None}
    names = sorted(known, key=lambda name: -(known[name].score or 0))
    if advice.verdict == BUY and advice.mix is not None:
        best = known[advice.mix]
        return (
            f'With {advice.hours:g} h, buy "{advice.mix}": {score} {percent(best.score)} % '
            f"({percent(best.low)}–{percent(best.high)}). With at least {100 * SURE:.0f} % "
            "certainty it is the best of the mixes studied."
        )
    if advice.verdict == TIE:
        return (
            f'With {advice.hours:g} h, "{names[0]}" and "{names[1]}" tie: with at least '
            f"{100 * SURE:.0f} % certainty they are within {100 * advice.delta:.1f} points "
            f"of {score}, so that other grounds decide."
        )
    leads = f' "{names[0]}" leads, but that is not settled.' if len(names) > 1 else ""
    return f"This study cannot tell what to buy with {advice.hours:g} h.{leads}"


def _table(advice: "Advice", needed: "dict[str, HoursNeeded | None] | None") -> "Table":
    """Return a row for each mix, the best first."""
    from studies.summary import SCORES

    heads = [
        "mix",
        f"{SCORES[advice.metric]} at {advice.hours:g} h",
        "best (%)",
        "regret",
        "next hour",
    ]
    shown = table(heads + ([] if needed is None else ["hours to target"]), padding=COMPACT)
    mixes = sorted(advice.mixes.items(), key=lambda item: -(item[1].score or 0))
    for name, mix in mixes:
        cells = [
            NOTHING
            if mix.score is None
            else f"{percent(mix.score)} ({percent(mix.low)}–{percent(mix.high)})",
            percent(mix.p_best, 0),
            percent(mix.regret, 2),
            percent(mix.gain_per_hour, 2),
        ]
        if needed is not None:
            own = needed[name]
            cells.append(
                NOTHING if own is None else f"{own.hours:.3g} ({own.low:.3g}–{own.high:.3g})"
            )
        shown.add_row(name, *cells)
    return shown


def _notes(advice: "Advice") -> list[str]:
    """Return what has to be known with the verdict, a line each."""
    lines = [f"- {reason}" for reason in advice.reasons]
    lines += [
        f'- "{c.before}" is better below {c.hours:.3g} h and "{c.after}" above '
        f"(90 %: {c.low:.3g} to {c.high:.3g} h; certainty {percent(c.probability, 0)} %)"
        for c in advice.crossings
        if not c.low <= advice.hours <= c.high  # else a reason says so
    ]
    run = advice.next_run
    if run is not None:
        worth = (
            ""
            if run.regret_saved is None
            else f", which is expected to save {percent(run.regret_saved, 2)} points of regret"
        )
        lines.append(
            f'Run next: "{run.mix}" at {run.budget_hours:g} h with seed {run.seed}, about '
            f"{run.seconds / 60:.0f} min of computing{worth}."
        )
    return lines
