"""`annotools study recommend` says what to buy with some hours, by the rows of a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import JsonFile, write_answer
from annotools.commands.places import READS, Commands, Reads
from annotools.commands.tables import COMPACT, NOTHING, console, percent, table
from studies.commands.options import check_hours, tell_missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from studies.advice.crossings import HoursNeeded
    from studies.advice.records import Advice

app = Commands()


@app.command()
def recommend(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A study's folder, or any with rows in trials/."),
        Reads(closed=True),
    ],
    hours: Annotated[float, typer.Option(help="Annotation hours that you have.")],
    metric: Annotated[
        str, typer.Option(help="The score: pq, pq_things, pq_stuff, ap_vol, miou, miou_semantic.")
    ] = "pq",
    target: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Say also how many hours, from nothing, reach this score in [0, 1]."
        ),
    ] = None,
    have: Annotated[
        list[str] | None,
        typer.Option(metavar="MIX=HOURS", help="Hours already spent on a mix; repeat it."),
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(help="Annotation times of your own: a preset, or a TOML file."),
        READS,
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Say which labels to buy with some hours, how sure that is, and which trial would help.

    Scores are predicted up to four times the largest budget, with 90 % intervals, which count the
    ranges of the annotation times where rows tell what annotators did. It reads the trials' rows
    alone: DIR/trials/*/result.json, and DIR/trials/*.json made elsewhere.

    [bold]Examples[/bold]

    \b
    annotools study recommend runs/street --hours 18
    annotools study recommend runs/street --hours 18 --target 0.6 --json advice.json
    annotools study recommend rows --hours 40 --metric miou
    annotools study recommend runs/street --hours 10 --have boxes=4 --times own_times.toml
    """  # noqa: D301
    from annotools.settings import as_table
    from studies.advice.advise import advise, hours_to_reach
    from studies.advice.cells import rows_of_main_student
    from studies.advice.wording import notes, verdict_sentence
    from studies.answers import boxes_alone
    from studies.results import read_results
    from studies.summary import SCORES

    check_hours(hours)
    if metric not in SCORES:
        raise typer.BadParameter(f"--metric {metric!r}: use {', '.join(SCORES)}")
    spent = parse_have(have or ())
    results = read_results(folder)
    advice = advise(results, hours, metric, spent, times)
    needed = {} if target is None else hours_to_reach(results, target, metric, times)
    tell_missing(folder, results)
    rows = rows_of_main_student(results, metric)
    output = console()
    output.print(f"{boxes_alone(rows)}{verdict_sentence(advice)}")
    output.print(_table(advice, needed if target is not None else None))
    for line in notes(advice):
        output.print(line)
    if None in needed.values():
        output.print(
            f"- hours to target: {NOTHING} where this study cannot say how many reach {target:g}"
        )
    # The key is there where it was asked for, so that the others stay what they are.
    found = as_table(advice) | ({} if target is None else {"target": as_table(needed)})
    write_answer(json_file, found)


def parse_have(texts: "Sequence[str]") -> dict[str, float]:
    """Return hours by mix from texts such as boxes=4."""
    spent: dict[str, float] = {}
    for text in texts:
        mix, _, number = text.rpartition("=")
        try:
            hours = float(number)
        except ValueError:
            hours = float("nan")
        if not mix or not 0 < hours < float("inf"):
            raise typer.BadParameter(f"--have {text!r}: write MIX=HOURS, such as boxes=4")
        spent[mix] = spent.get(mix, 0.0) + hours
    return spent


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
