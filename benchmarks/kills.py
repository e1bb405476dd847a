"""Kill real training runs at random moments, go on, and compare with runs that nobody touched.

    OMP_NUM_THREADS=1 python benchmarks/kills.py [--kills 20] [--seed 0] [--loaders 0]

The process group gets SIGKILL, and SIGINT in a quarter of the cases, until each stage was hit so
often. Half of the kills wait until a file is half written; in a third of the runs each step is
followed by a checkpoint. It prints a Markdown table; exit status 1 says that not all was equal.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import typer
from convert import describe_machine

from annotools.files import files_under, leftover_of

WORLD = "width = 64\nheight = 64\nnum_train = 6\nnum_val = 2\n"

STEPS = {"classifier": 200, "semantic": 200, "detector": 120, "instance": 120}

SETTINGS = (
    *("--set", "descent.batch_size=2", "--set", "views.crop_size_wh=[48,48]"),
    *(part for stage, steps in STEPS.items() for part in ("--set", f"{stage}.steps={steps}")),
)

SAVE_SECONDS = (0.0, 0.2, 0.5)
"""Seconds between checkpoints, drawn for each run; with 0 each step is followed by one."""

KILLS_A_STAGE = 7
"""About so many hit a stage from its beginning to its end."""

PATIENCE = 300.0
"""Seconds after which a run that says nothing is given up."""

WRAPPER = """
import os, pathlib, sys, time
import wsps.training.loop as loop
log, seconds, *sys.argv[1:] = sys.argv[1:]
loop.SAVE_SECONDS = float(seconds)
steps = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
seed_of_step = loop.stream_seed
def note(seed, word, stage, step):
    os.write(steps, f"{stage} {step}\\n".encode())
    return seed_of_step(seed, word, stage, step)
loop.stream_seed = note
def write_slowly(path, content):
    with path.open("wb", buffering=0) as file:
        file.write(content[: len(content) // 2])
        time.sleep(0.02)
        file.write(content[len(content) // 2 :])
pathlib.Path.write_bytes = write_slowly
from studies.cli import main
main()
"""
"""The command itself, with other seconds between checkpoints, a disk so slow that a kill finds a
file half written, and a note of each step that begins."""


@dataclass
class Hits:
    """What became of a stage."""

    kills: int = 0
    interrupts: int = 0
    in_writing: int = 0
    twice: int = 0
    runs: set[Path] = field(default_factory=set)
    differing: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A command with stages that are killed; `seconds` is how long each takes undisturbed."""

    name: str
    arguments: Sequence[str]
    stages: Sequence[str]
    folder: Path
    whole: Path
    seconds: Mapping[str, float]


def measure(
    kills: Annotated[int, typer.Option(min=1, help="That hit each stage.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of moments and signals.")] = 0,
    loaders: Annotated[int, typer.Option(min=0, help="Of `annotools train`.")] = 0,
) -> None:
    """Print what became of each stage."""
    machine = describe_machine(("annotools", "torch"))
    typer.echo(f"{machine} {kills} kills a stage, seed {seed}, {loaders} loaders\n")
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = folder / "world.toml"
        world.write_text(WORLD)
        place = (str(world), "--format", "scenes")
        convert = ("convert", *place, "--split", "train", "--to", "full", "--out", f"{folder}/full")
        subprocess.run(
            [sys.executable, "-m", "studies.cli", *convert], check=True, stdout=subprocess.DEVNULL
        )
        weak = ("--labels", "boxes+tags", "--crops", "32x32", "--rounds", "1", "--maps")
        chains = (
            ("pseudo-label", ("pseudo-label", *place, *weak), ("classifier", "semantic")),
            (
                "train",
                (
                    *("train", "--labels", f"{folder}/full", "--photos", *place),
                    *("--loaders", str(loaders)),
                ),
                ("semantic", "detector", "instance"),
            ),
        )
        typer.echo(
            "| command | stage | steps | kills | of them SIGINT | in the middle of a file "
            "| runs | steps done twice | equal |"
        )
        typer.echo("| --- " * 9 + "|")
        is_equal = True
        for command, arguments, stages in chains:
            hits = _kill_often(_watch_whole(command, arguments, stages, folder), kills, rng)
            for stage, found in hits.items():
                what = "yes" if not found.differing else f"NO: {', '.join(found.differing[:3])}"
                typer.echo(
                    f"| {command} | {stage} | {STEPS[stage]} | {found.kills} | {found.interrupts} "
                    f"| {found.in_writing} | {len(found.runs)} | {found.twice} | {what} |",
                )
                is_equal = is_equal and not found.differing
    raise SystemExit(0 if is_equal else 1)


def _watch_whole(name: str, arguments: Sequence[str], stages: Sequence[str], folder: Path) -> Chain:
    """Run a command to its end, and measure how long its stages take."""
    whole, log = folder / f"{name}-whole", folder / f"{name}-whole.log"
    process = _begin(arguments, whole, log, seconds=60.0)
    seen: dict[str, list[float]] = {stage: [] for stage in stages}
    while process.poll() is None:
        stage = _last_stage(log)
        if stage is not None:
            seen[stage].append(time.perf_counter())
        time.sleep(0.01)
    assert process.returncode == 0, process.communicate()
    return Chain(
        name=name,
        arguments=arguments,
        stages=stages,
        folder=folder,
        whole=whole,
        # To the first step of the next stage, so that what comes after the last one is hit too.
        seconds={stage: times[-1] - times[0] for stage, times in seen.items()},
    )


def _kill_often(chain: Chain, kills: int, rng: random.Random) -> Mapping[str, Hits]:
    """Kill runs of a command, one after the other, until each stage was hit so often."""
    hits = {stage: Hits() for stage in chain.stages}
    number = 0
    while any(found.kills < kills for found in hits.values()):
        out = chain.folder / f"{chain.name}-{number}"
        log = chain.folder / f"{chain.name}-{number}.log"
        number += 1
        while True:
            process = _begin(chain.arguments, out, log, rng.choice(SAVE_SECONDS))
            if not _strike(process, log, chain, hits, kills, rng, out):
                break
        assert process.returncode == 0, process.communicate()
        differing = _compare(chain.whole, out)
        steps = log.read_text().splitlines()
        for stage, found in hits.items():
            if out in found.runs:
                found.differing += differing
            mine = [line for line in steps if line.split()[0] == stage]
            found.twice += len(mine) - len(set(mine))
    return hits


def _strike(
    process: "subprocess.Popen[str]",
    log: Path,
    chain: Chain,
    hits: Mapping[str, Hits],
    kills: int,
    rng: random.Random,
    out: Path,
) -> bool:
    """Kill a run in a stage that was not hit often enough; return False where it ended itself."""
    begun = log.stat().st_size if log.is_file() else 0
    until = time.perf_counter() + PATIENCE
    while process.poll() is None:
        assert time.perf_counter() < until, f"{chain.name} hangs"
        stage = _last_stage(log, begun)
        if stage is not None and hits[stage].kills < kills:
            before = _half_written(out)
            time.sleep(rng.uniform(0, chain.seconds[stage] * 2 / KILLS_A_STAGE))
            is_interrupt = rng.random() < 0.25
            if rng.random() < 0.5:
                _wait_for_writing(process, out, before)
            stage = _last_stage(log, begun) or stage
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGINT if is_interrupt else signal.SIGKILL)
            _, told = process.communicate(timeout=PATIENCE)
            if process.returncode == 0:  # Its last step was done when the signal came.
                return False
            found = hits[stage]
            found.kills += 1
            found.interrupts += is_interrupt
            found.in_writing += len(_half_written(out) - before) > 0
            found.runs.add(out)
            if is_interrupt and (process.returncode != 1 or len(told.splitlines()) != 1):
                found.differing.append(f"SIGINT gave {process.returncode}: {told[-200:]!r}")
            return True
        time.sleep(0.005)
    process.communicate()
    return False


def _begin(
    arguments: Sequence[str], out: Path, log: Path, seconds: float
) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRAPPER, str(log), str(seconds), *arguments]
    return subprocess.Popen(
        [*command, "--out", str(out), *SETTINGS],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _last_stage(log: Path, begun: int = 0) -> str | None:
    """Return the stage of the last step begun, None where the process began none."""
    if not log.is_file() or log.stat().st_size == begun:
        return None
    with log.open("rb") as file:
        file.seek(max(begun, log.stat().st_size - 100))
        lines = file.read().decode().splitlines()
    return lines[-1].split()[0] if lines and " " in lines[-1] else None


def _wait_for_writing(process: "subprocess.Popen[str]", out: Path, before: set[str]) -> None:
    """Return when a file is half written, or after a second without one."""
    until = time.perf_counter() + 1
    while process.poll() is None and time.perf_counter() < until and _half_written(out) <= before:
        pass


def _half_written(out: Path) -> set[str]:
    return {name for name in files_under(out) if leftover_of(name)} if out.is_dir() else set()


def _compare(whole: Path, out: Path) -> list[str]:
    """Return the files that are not alike: networks by their tensors, others byte by byte."""
    names, others = (
        {name for name in files_under(folder) if not name.startswith(".state/setup")}
        for folder in (whole, out)
    )
    differing = [f"{name} (in one alone)" for name in sorted(names ^ others)]
    for name in sorted(names & others):
        if name.endswith(".pt"):
            one, other = (
                torch.load(folder / name, weights_only=True)["state"] for folder in (whole, out)
            )
            is_alike = one.keys() == other.keys() and all(
                torch.equal(one[key], other[key]) for key in one
            )
        else:
            is_alike = (whole / name).read_bytes() == (out / name).read_bytes()
        if not is_alike:
            differing.append(name)
    return differing


if __name__ == "__main__":
    typer.run(measure)
