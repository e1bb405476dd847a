"""People at a terminal see which trials run, failed and are left; others get a line for each."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from annotools.commands.tables import COMPACT, NOTHING, duration, table
from annotools.locks import holder
from annotools.stderr import open_terminal
from annotools.terminal import one_line, say
from studies.failures import read_failure
from studies.running.trial_process import has_failed, lock_of
from studies.trials import Trial, read_row

if TYPE_CHECKING:
    from rich.console import RenderableType

MAX_FAILED = 5
"""Failed trials that are shown, the last ones."""


@contextlib.contextmanager
def show_trials(
    asked: Sequence[Trial], num_done: int, num_failed: int
) -> Iterator[Callable[[Trial], object]]:
    """Show how far the trials of a study are while the block runs.

    Args:
        asked: that run.
        num_done: others of the study that are finished.
        num_failed: others that failed.

    Yields:
        What is called with each trial that has ended.
    """
    began = time.monotonic()
    progress = _Progress(asked=asked, num_done=num_done, num_failed=num_failed, began=began)
    with open_terminal() as terminal:
        if terminal is None:
            yield progress.log
            return
        from rich.live import Live

        from annotools.screen import Screen

        # Locks are looked at once a second.
        with Live(
            get_renderable=progress.render,
            console=Screen(terminal),
            refresh_per_second=1,
            transient=True,
        ):
            yield progress.note


@dataclass(kw_only=True)
class _Progress:
    """How far trials are; `running` has since when, by name."""

    asked: Sequence[Trial]
    num_done: int
    num_failed: int
    began: float
    ended: dict[str, str] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)
    running: dict[str, float] = field(default_factory=dict)

    def note(self, trial: Trial) -> str:
        """Count a trial that has ended; return what became of it."""
        row = read_row(trial)
        if row is not None:
            self.num_done += 1
            pq = "" if row.pq is None else f", PQ {100 * row.pq:.1f}"
            outcome = f"finished in {duration(row.seconds)}{pq}"
        # One of other settings, or damaged, tells nothing of this trial.
        elif has_failed(trial):
            error = read_failure(trial.failure_path).error
            self.num_failed += 1
            self.errors.append((trial.name, error))
            outcome = f"failed: {error}"
        else:
            outcome = "left" if holder(lock_of(trial)) is None else "left to another process"
        self.ended[trial.name] = outcome
        return outcome

    def log(self, trial: Trial) -> None:
        """Count a trial that has ended, and write a line about it to stderr."""
        outcome = self.note(trial)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        say(f"{now} {trial.name} {outcome} ({self._counts(None)})", to_stderr=True)

    def render(self) -> "RenderableType":
        """Return the table of this moment."""
        from rich.console import Group

        now = time.monotonic()
        for trial in self.asked:
            if trial.name in self.ended or holder(lock_of(trial)) is None:
                self.running.pop(trial.name, None)
            else:
                self.running.setdefault(trial.name, now)
        rows = [
            [one_line(name), "running", duration(now - since)]
            for name, since in self.running.items()
        ]
        rows += [[one_line(n), one_line(e), ""] for n, e in self.errors[-MAX_FAILED:]]
        shown = table(("trial", "state", "for"), rows, left=2, padding=COMPACT)
        return Group(shown, self._counts(len(self.running)))

    def _counts(self, num_running: int | None) -> str:
        num_left = len(self.asked) - len(self.ended) - (num_running or 0)
        counts = [] if num_running is None else [f"{num_running} running"]
        counts += [f"{self.num_done} done", f"{self.num_failed} failed", f"{num_left} left"]
        return f"{', '.join(counts)}, time left {self._time_left()}"

    def _time_left(self) -> str:
        """Return how long the rest takes at the pace so far."""
        if not self.ended:
            return NOTHING
        pace = (time.monotonic() - self.began) / len(self.ended)
        return duration(pace * (len(self.asked) - len(self.ended)))
