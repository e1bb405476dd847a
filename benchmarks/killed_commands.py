"""Kill real runs of commands that take long, repeat them to their end, and compare the results.

`faults.py` uses this. A run gets SIGKILL, SIGTERM or SIGINT (which a terminal sends to all its
processes), or one of its workers is killed, at a random moment between its start and its end.
"""

import contextlib
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotools.files import files_under, leftover_of

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "worker lost")

ENDED = "ended before"
"""In place of a signal: the work was done before it was sent."""

ORPHAN_SECONDS = 3.0
"""After so many no process of a run may be left."""

PATIENCE = 600.0
"""Seconds after which a run is given up."""

STUDY = """\
name = "killed"
budgets_hours = [3]
seeds = [0, 1]
dataset = { format = "scenes", root = "small.toml" }
mixes = { boxes = { boxes = 1 }, full = { full = 1 } }
[recipe]
views = { crop_size_wh = [64, 64] }
descent = { batch_size = 2 }
semantic = { steps = 8, learning_rate = 0.001, schedule = "cosine" }
detector = { steps = 8, learning_rate = 0.001, schedule = "cosine" }
instance = { steps = 5, learning_rate = 0.001, schedule = "cosine" }
"""

COMMANDS = {
    "convert": "convert large.toml --format scenes --to full --to boxes+tags --crops 64x64",
    "pseudo-label": "pseudo-label small.toml --format scenes --labels boxes+tags --crops 32x32 "
    "--rounds 1 --maps --set descent.batch_size=2 --set views.crop_size_wh=[48,48] "
    "--set classifier.steps=8 --set semantic.steps=8 --set refinement.crf.iterations=2",
    # A trial whose worker was killed is kept as failed until one asks for it again.
    "study run": "study run study.toml --retry-failed",
}


@dataclass(frozen=True, kw_only=True)
class Kill:
    """What one kill did: `faults` is empty where all was well."""

    command: str
    workers: int
    signal: str
    place: str
    faults: tuple[str, ...]


def kill_often(kills: int, seed: int, folder: Path) -> Iterator[Kill]:
    """Yield what became of so many kills, spread over commands, workers and signals.

    Args:
        kills: in all.
        seed: of the moments.
        folder: for all that is written.
    """
    (folder / "large.toml").write_text("width = 96\nheight = 96\nnum_train = 240\nnum_val = 1\n")
    (folder / "small.toml").write_text("width = 64\nheight = 64\nnum_train = 4\nnum_val = 2\n")
    (folder / "study.toml").write_text(STUDY)
    cases = [(command, workers) for command in COMMANDS for workers in (1, 2)]
    for number, (command, workers) in enumerate(cases):
        rng = random.Random(f"{seed} {command} {workers}")
        # What does not divide goes to the last ones.
        share = (kills + number) // len(cases)
        yield from _Case(command, workers, folder).kill(share, rng, f"--kills {kills}")


@dataclass
class _Case:
    """A command with some workers, which is killed again and again."""

    command: str
    workers: int
    folder: Path

    def kill(self, count: int, rng: random.Random, asked: str) -> Iterator[Kill]:
        if not count:
            return
        whole, begun = self._out("whole"), time.perf_counter()
        status, told = self._finish(self._start(whole))
        seconds = time.perf_counter() - begun
        assert status == 0, told
        out, hits = self._out("0"), 0
        for attempt in range(100 * count):
            sent = SIGNALS[hits % len(SIGNALS)]
            if sent == "worker lost" and self.workers == 1 and self.command != "study run":
                sent = "SIGKILL"
            moment = rng.uniform(0, seconds)
            process = self._start(out)
            faults = _strike(process, sent, moment)
            if faults is None:
                faults, sent = self._compare(whole, out), ENDED
            else:
                hits += 1
                # Half of the folders are killed a second time before they are finished.
                if rng.random() < 0.5 and hits < count:
                    yield self._kill(sent, asked, moment, faults)
                    continue
                faults += self._end(whole, out)
            yield self._kill(sent, asked, moment, faults)
            shutil.rmtree(out, ignore_errors=True)
            out = self._out(str(attempt + 1))
            if hits >= count:
                break
        shutil.rmtree(whole)

    def _end(self, whole: Path, out: Path) -> list[str]:
        """Repeat the command until it ends, and compare."""
        status, told = self._finish(self._start(out))
        if status != 0:
            return [f"repeated, it ended with status {status}: {told[-300:]!r}"]
        return self._compare(whole, out)

    def _kill(self, sent: str, asked: str, moment: float, faults: Sequence[str]) -> Kill:
        place = f"{asked}, {self.command} --workers {self.workers}, after {moment:.2f} s"
        return Kill(
            command=self.command,
            workers=self.workers,
            signal=sent,
            place=place,
            faults=tuple(faults),
        )

    def _out(self, name: str) -> Path:
        return self.folder / f"{self.command.replace(' ', '-')}-{self.workers}-{name}"

    def _start(self, out: Path) -> "subprocess.Popen[str]":
        arguments = [*COMMANDS[self.command].split(), "--workers", str(self.workers)]
        root = Path(__file__).parents[1]
        path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
        return subprocess.Popen(
            [sys.executable, "-m", "studies.cli", *arguments, "--out", str(out)],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # Bits are compared: one thread, and no GPU.
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path},
        )

    def _finish(self, process: "subprocess.Popen[str]") -> tuple[int, str]:
        _, told = process.communicate(timeout=PATIENCE)
        return process.returncode, told

    def _compare(self, whole: Path, out: Path) -> list[str]:
        """Return what is not as in the run that nobody killed, and what is left over."""
        one, other = _read_result(whole), _read_result(out)
        differing = sorted(n for n in one.keys() | other.keys() if one.get(n) != other.get(n))
        leftovers = [name for name in files_under(out) if leftover_of(name)]
        faults = [f"differs: {', '.join(differing[:5])}"] if differing else []
        return faults + [f"left over: {name}" for name in leftovers]


def _strike(process: "subprocess.Popen[str]", sent: str, moment: float) -> list[str] | None:
    """Send a signal after some seconds; return what was wrong, None where the run ended before."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment)
    # A worker that is to be killed must be there.
    victims = _session(process.pid) - {process.pid}
    while sent == "worker lost" and process.poll() is None and not (workers := _workers(victims)):
        time.sleep(0.05)
        victims = _session(process.pid) - {process.pid}
    if process.poll() is not None:
        status, told = process.returncode, process.communicate()[1]
        assert status == 0, told
        return None
    if sent == "worker lost":
        with contextlib.suppress(ProcessLookupError):
            os.kill(min(workers), signal.SIGKILL)
    elif sent == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(getattr(signal, sent))
    try:
        _, told = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return [f"does not end: {process.communicate()[1][-300:]!r}"]
    # The signal may have come after the work.
    if process.returncode == 0:
        return [] if not _lines(told) else [f"status 0, and said {told[:300]!r}"]
    return [*_faults_of_words(sent, process.returncode, told), *_orphans(process.pid)]


def _faults_of_words(sent: str, status: int, told: str) -> list[str]:
    lines = _lines(told)
    expected: dict[str, tuple[tuple[int, ...], int]] = {
        "SIGKILL": ((-signal.SIGKILL,), 0),
        "SIGTERM": ((-signal.SIGTERM, 1, 128 + signal.SIGTERM), 1),
        # Before Python listens, an interrupt ends it without a word.
        "SIGINT": ((1, -signal.SIGINT), 1),
        "worker lost": ((1,), 1),
    }
    statuses, most = expected[sent]
    faults = [] if status in statuses else [f"status {status}"]
    if len(lines) > most or (status == 1 and len(lines) != 1):
        faults.append(
            f"{len(lines)} lines: {lines[0][:150]!r} ... {lines[-1][:150]!r}"
            if lines
            else "no line"
        )
    return faults


def _lines(told: str) -> list[str]:
    """Return what was said, without notes and without the time-stamped log of a study."""
    return [line for line in told.splitlines() if not re.match(r"note: |\d{4}-\d\d-\d\d ", line)]


def _orphans(session: int) -> list[str]:
    """Return the processes of a run that do not end after it."""
    until = time.perf_counter() + ORPHAN_SECONDS
    while (left := _session(session)) and time.perf_counter() < until:
        time.sleep(0.05)
    names = [_command_line(pid) for pid in left]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"{len(left)} processes left: {names[0][-100:]!r}"] if left else []


def _session(leader: int) -> set[int]:
    """Return the processes of a session that run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name, in brackets, may hold anything.
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.add(int(stat.parent.name))
    return found


def _workers(pids: set[int]) -> set[int]:
    """Return which processes are workers, and not what Python starts to clean up after them."""
    return {pid for pid in pids if "spawn_main" in _command_line(pid)}


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    except OSError:
        return ""


def _read_result(out: Path) -> dict[str, Any]:
    """Return what counts of a folder, by name: all but how long trials took."""
    found: dict[str, Any] = {}
    for name in files_under(out):
        if name.startswith(".state/") or "/.state/" in name or leftover_of(name):
            continue
        found[name] = (out / name).read_bytes()
        if name.endswith("result.json"):
            row = json.loads(found[name])
            found[name] = {k: v for k, v in row.items() if k not in ("seconds", "sha256")}
        elif name == "results.csv":
            with (out / name).open(newline="") as file:
                found[name] = [row | {"seconds": ""} for row in csv.DictReader(file)]
        elif name.startswith("report."):
            # The page has the table in it, and both say how to go on in this folder.
            told = found[name].replace(str(out).encode(), b"")
            found[name] = re.sub(rb"\d+ min of computing|data:text/csv[^\"]*", b"", told)
    return found
