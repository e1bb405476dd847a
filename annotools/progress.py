"""Long work shows a bar on stderr, to people at a terminal and to nobody else."""

import contextlib
import multiprocessing
import os
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from annotools.screen import Screen
from annotools.stderr import open_terminal
from annotools.terminal import one_line

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Yield the items while a bar shows how many of `total` are done."""
    # Workers write to the same terminal as their parent, and bars would overwrite each other; so
    # would those of processes that `torchrun` starts, of which the first one talks.
    in_worker = multiprocessing.parent_process() is not None or os.environ.get("RANK", "0") != "0"
    with contextlib.nullcontext() if in_worker else open_terminal() as terminal:
        if terminal is None:
            yield from items
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Screen(terminal), transient=True) as progress:
            yield from progress.track(items, total=total, description=one_line(description))
