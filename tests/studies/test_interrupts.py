"""A command that is interrupted or loses a process says one line, and leaves no process."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

STOPPED = "error: stopped: repeat the command to go on\n"
LOST = "error: a worker process was killed, most often for lack of memory: repeat the command with "

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A conversion with two workers that takes minutes, in a group of its own."""
    (tmp_path / "world.toml").write_text("width = 64\nheight = 48\nnum_train = 50000\n")
    command = [sys.executable, "-m", "studies", "convert", "world.toml", "--format", "scenes"]
    started = subprocess.Popen(
        [*command, "--to", "full", "--workers", "2", "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    yield started
    # Where a test has failed.
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.communicate()


def members(group: int) -> dict[int, str]:
    """Return the command lines of the processes of a group that have not ended."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state, _, of_group, *_ = (place / "stat").read_text().rpartition(")")[2].split()
            if int(of_group) == group and state != "Z":
                found[int(place.name)] = (place / "cmdline").read_text()
        except OSError:
            continue  # It has ended meanwhile.
    return found


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_ours(process: subprocess.Popen[str]) -> bool:
    """Tell whether our module is at work in a process: Python's own start tells of interrupts."""
    maps = Path(f"/proc/{process.pid}/maps")
    return any(name in maps.read_text() for name in ("_json", "_datetime", "_csv"))


@pytest.mark.parametrize("seed", range(4))
def test_an_interrupt_at_any_moment_is_one_line(seed: int, process: subprocess.Popen[str]) -> None:
    wait_for(lambda: is_ours(process))
    # From the imports of the command over the start of its workers to their work.
    time.sleep(random.Random(seed).uniform(0, 4))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors == STOPPED
    assert process.returncode != 0
    wait_for(lambda: not members(process.pid), 10)


def test_a_lost_worker_is_one_line(process: subprocess.Popen[str]) -> None:
    wait_for(lambda: any("spawn_main" in text for text in members(process.pid).values()))
    time.sleep(0.5)
    worker = next(pid for pid, text in members(process.pid).items() if "spawn_main" in text)
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert errors.startswith(LOST)
    assert (errors.count("\n"), process.returncode) == (1, 1)
    wait_for(lambda: not members(process.pid), 10)


def test_a_killed_command_leaves_nothing_and_says_nothing(process: subprocess.Popen[str]) -> None:
    wait_for(lambda: any("spawn_main" in text for text in members(process.pid).values()))
    time.sleep(1)
    process.kill()
    _, errors = process.communicate(timeout=60)
    assert errors == ""
    wait_for(lambda: not members(process.pid), 10)


LOSE = """
import sys, time, types
cli = types.ModuleType("studies.cli")
def main():
    try:
        try:
            print("ready", flush=True)
            time.sleep(60)
        except BaseException:
            pass
        time.sleep(60)
    finally:
        time.sleep(2.5)  # Cleaning up is not interrupted.
        print("clean", flush=True)
cli.main = main
sys.modules["studies.cli"] = cli
from studies.__main__ import main as start
start()
"""


def test_an_interrupt_that_a_library_catches_comes_again() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOSE],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=30)
    assert (printed, errors, process.returncode) == ("clean\n", STOPPED, 1)
