"""One run of the command in this process, caught as a terminal would see it."""

import contextlib
import faulthandler
import functools
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO
from unittest import mock

import typer.main

from annotools import seals

CPU_SECONDS = 10.0
"""What a run may compute: hundreds of times what it does when nothing is wrong."""

WAIT_SECONDS = 120.0
"""How long a run may take on a busy machine: one that waits for ever computes nothing."""

HARD_SECONDS = 180.0
"""After so many the process ends with the place where it hangs: code in C hears no alarm."""

MOST_BYTES = 1536 * 2**20
"""Memory that a run of tiny files may take beyond what the process has."""

CEILING_BYTES = 8 * 2**30
"""Address space that a run may ask for on top, so that a fault takes no machine down."""


_get_command = functools.cache(typer.main.get_command)
"""Building the tree of commands anew would take half of the time of a run."""


class TooLongError(BaseException):
    """A run took too long."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: its status, or the traceback of what it raised instead."""

    status: int | None
    traceback: str
    out: str
    err: str
    cpu_seconds: float
    grown_bytes: int


def run_here(
    arguments: Sequence[str], folder: Path, main: Callable[[], None] | None = None
) -> Outcome:
    """Run the command in a folder, with whatever is printed caught at the descriptors.

    Args:
        arguments: after the name of the command.
        folder: the current one of the run.
        main: what to run in place of the command.
    """
    from studies.cli import main as annotools

    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        contextlib.chdir(folder),
        mock.patch.object(sys, "argv", ["annotools", *arguments]),
        mock.patch.object(typer.main, "get_command", _get_command),
        # A process of its own would know of no damage that an earlier run found.
        mock.patch.object(seals, "_damaged", set()),
    ):
        before = _memory("VmRSS")
        _forget_peak()
        begun = time.process_time()
        with _caught(out, err), _usual_warnings(), _bounded():
            status, raised = _end_of(main or annotools)
        return Outcome(
            status=status,
            traceback=raised,
            out=_content(out),
            err=_content(err),
            cpu_seconds=time.process_time() - begun,
            grown_bytes=_memory("VmHWM") - before,
        )


def _end_of(main: Callable[[], None]) -> tuple[int | None, str]:
    try:
        main()
    except SystemExit as end:
        return (end.code if isinstance(end.code, int) else int(end.code is not None)), ""
    except (Exception, TooLongError):
        return None, traceback.format_exc()
    return 0, ""


@contextlib.contextmanager
def _caught(out: IO[bytes], err: IO[bytes]) -> Iterator[None]:
    """Lead both streams, and their descriptors, into files."""
    streams = sys.stdout, sys.stderr
    saved = [os.dup(1), os.dup(2)]
    try:
        for number, file in ((1, out), (2, err)):
            os.dup2(file.fileno(), number)
        # As Python opens them at a terminal that speaks UTF-8.
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(  # noqa: SIM115
            2, "w", encoding="utf-8", errors="backslashreplace", closefd=False
        )
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError):
                stream.flush()
        sys.stdout, sys.stderr = streams
        for number, descriptor in zip((1, 2), saved, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)


@contextlib.contextmanager
def _usual_warnings() -> Iterator[None]:
    """Let warnings be printed as outside of tests, and each time."""
    with warnings.catch_warnings():
        # A test would keep them for its own report.
        warnings.showwarning = lambda *parts: sys.stderr.write(warnings.formatwarning(*parts[:4]))
        warnings.resetwarnings()
        warnings.simplefilter("always")
        for quiet in (
            DeprecationWarning,
            PendingDeprecationWarning,
            ImportWarning,
            ResourceWarning,
        ):
            warnings.simplefilter("ignore", quiet)
        yield


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Bound the time and the memory of a block."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"more than {CPU_SECONDS:g} s of computing, or {WAIT_SECONDS:g} s")

    before = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + CEILING_BYTES, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, WAIT_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    faulthandler.dump_traceback_later(HARD_SECONDS, exit=True)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_REAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()
        for number, handler in before.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "surrogateescape")


def _forget_peak() -> None:
    """Have Linux measure the peak of this process anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> int:
    """Return what Linux says of the memory of this process, in bytes; 0 elsewhere."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0
