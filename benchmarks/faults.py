"""Damage files, damage own state and kill runs, for as long as one likes; count what held.

    python benchmarks/faults.py [--minutes 30] [--seed S] [--kills 50]
    python benchmarks/faults.py --kind voc-xml --seed 17 --tries 1

The first call takes fresh seeds: each kind of file in turn for two thirds of the time, then each
kind of own state for the rest, and then the kills, which come on top. The second repeats one try.
It prints a Markdown table of counts; exit status 1 says that something was not handled well.
"""

import contextlib
import io
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from convert import describe_machine
from killed_commands import kill_often

# The tests' own inputs and damages are used, and tests are not installed.
sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.faults.damages import SCENARIOS, Stopped, each_kind
from tests.faults.kinds import KINDS
from tests.faults.tries import try_kind

STATE_SHARE = 1 / 3
"""Of the time that goes to damages of own state."""

SHOWN = 3
"""So many faults of a group are named in the table; all are listed before it."""


@dataclass
class Group:
    """A row of the table."""

    tries: int = 0
    bad: int = 0
    what: Counter[str] = field(default_factory=Counter)


class Counts:
    """Tries by group, with a line for each that was not handled well."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}

    def add(self, group: str, faults: list[str], how: str) -> None:
        """Count a try, and print what was wrong and how to repeat it."""
        row = self.groups.setdefault(group, Group())
        row.tries += 1
        row.bad += bool(faults)
        for fault in faults:
            row.what[fault.partition(":")[0].partition(" in ")[0][:60]] += 1
            typer.echo(f"- {group}: {fault}\n  {how}")
        sys.stdout.flush()

    def print_table(self) -> bool:
        """Print the table; return whether all was well."""
        typer.echo(
            "\n| group | tries | handled well | not | what was wrong |\n" + "| --- " * 5 + "|"
        )
        total, bad = 0, 0
        for name, row in self.groups.items():
            what = ", ".join(f"{count} {text}" for text, count in row.what.most_common(SHOWN))
            typer.echo(f"| {name} | {row.tries:,} | {row.tries - row.bad:,} | {row.bad} | {what} |")
            total, bad = total + row.tries, bad + row.bad
        typer.echo(f"| all | {total:,} | {total - bad:,} | {bad} | |")
        return bad == 0


def main(
    minutes: Annotated[float, typer.Option(min=0, help="For files and own state.")] = 5.0,
    seed: Annotated[int | None, typer.Option(help="The first one; drawn if absent.")] = None,
    kind: Annotated[str | None, typer.Option(help="Of file; all if absent.")] = None,
    tries: Annotated[
        int | None, typer.Option(min=1, help="Of each kind of file, in place of minutes; no kills.")
    ] = None,
    kills: Annotated[int, typer.Option(min=0, help="Of running commands.")] = 0,
) -> None:
    """Print what was not handled well, and a table of counts."""
    first = random.randrange(10**9) if seed is None else seed
    names = list(KINDS) if kind is None else [kind]
    if not set(names) <= set(KINDS):
        raise typer.BadParameter(f"--kind {kind}: use {', '.join(KINDS)}")
    typer.echo(f"{describe_machine(('annotools', 'torch'))} Seeds from {first}.\n")
    counts = Counts()
    now = time.monotonic()
    damage_files(counts, names, first, tries, now + 60 * minutes * (1 - STATE_SHARE))
    if tries is None and kind is None:
        damage_state(counts, first, now + 60 * minutes)
        kill_runs(counts, first, kills)
    raise SystemExit(0 if counts.print_table() else 1)


def damage_files(
    counts: Counts, names: list[str], first: int, tries: int | None, until: float
) -> None:
    """Try each kind of file in turn."""
    number = 0
    while number < tries if tries is not None else time.monotonic() < until:
        for name in names:
            tried = try_kind(KINDS[name], first + number)
            how = f"python benchmarks/faults.py --kind {name} --seed {first + number} --tries 1"
            counts.add(KINDS[name].group, tried.faults, f"{how}  # {' '.join(tried.arguments)}")
        number += 1


def damage_state(counts: Counts, first: int, until: float) -> None:
    """Damage what stopped runs left, a kind of file after the other, and repeat the commands."""
    stopped: dict[str, Stopped] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        number = first
        while time.monotonic() < until:
            for scenario, kind in each_kind():
                # What the commands say would hide the faults.
                silence = io.StringIO()
                with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
                    if scenario not in stopped:
                        folder = Path(place) / scenario
                        stopped[scenario] = Stopped(scenario=SCENARIOS[scenario], folder=folder)
                    done, wrong = stopped[scenario].damage(kind, random.Random(f"{number} {kind}"))
                faults = [] if wrong is None else [wrong]
                counts.add(f"own state of {scenario}", faults, f"{kind}, seed {number}: {done}")
            number += 1


def kill_runs(counts: Counts, first: int, kills: int) -> None:
    """Kill running commands."""
    if not kills:
        return
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        for kill in kill_often(kills, first, Path(name)):
            group = f"kills: {kill.command}, {kill.workers} workers, {kill.signal}"
            counts.add(group, list(kill.faults), f"--seed {first} {kill.place}")


if __name__ == "__main__":
    typer.run(main)
