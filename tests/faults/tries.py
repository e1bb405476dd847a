"""A try: an input with one damaged file, one command that reads it, and what was wrong with that.

Everything follows from the kind of file and the seed.
"""

import contextlib
import functools
import random
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tests.faults.in_process import Outcome, run_here
from tests.faults.judging import find_faults, read_tree
from tests.faults.mutations import mutate


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file, and the commands that read it."""

    name: str
    group: str
    """Row of the table that counts tries."""
    make: Callable[[Path], None]
    """Writes an input without a fault into a folder."""
    damaged: tuple[str, ...]
    """Patterns of the files of which one is damaged; none where the arguments are."""
    commands: tuple[str, ...]
    """Each try takes one; paths are relative to the folder."""
    status: int = 0
    """With which they end when nothing is damaged."""
    arguments: Callable[[random.Random], tuple[str, ...]] = lambda _: ()
    """Further ones, hostile where no file is."""
    rewritten: tuple[str, ...] = ()
    """Patterns of files that the commands may write beside answers and `out`."""
    within: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
    """What stands for the long parts of the commands."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What was done, how it ended and what was wrong with that."""

    arguments: tuple[str, ...]
    damaged: str | None
    outcome: Outcome
    faults: list[str]


def try_kind(kind: Kind, seed: int) -> Tried:
    """Run a command on an input that is damaged in one place."""
    rng = random.Random(f"{kind.name} {seed}")
    content = dict(_undamaged(kind.make))
    name = None
    if kind.damaged:
        names = [n for n in content if any(fnmatch(n, pattern) for pattern in kind.damaged)]
        name = rng.choice(sorted(names))
        content[name] = mutate(rng, name, content[name])
    arguments = (*rng.choice(kind.commands).split(), *kind.arguments(rng))
    return _try(kind, arguments, name, content)


def try_command(kind: Kind, number: int) -> Tried:
    """Run one of the commands on an input without a fault."""
    return _try(kind, tuple(kind.commands[number].split()), None, _undamaged(kind.make))


def _try(
    kind: Kind, arguments: tuple[str, ...], name: str | None, content: dict[str, bytes]
) -> Tried:
    # A folder of its own for each try: what a process remembers of files goes by their paths.
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        folder = Path(place) / "inside"
        for path, body in content.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(body)
        (Path(place) / "outside").write_text("a bystander")
        with kind.within():
            outcome = run_here(arguments, folder)
        faults = find_faults(arguments[0], outcome, folder, content, kind.rewritten)
        beside = read_tree(Path(place))
        strange = [n for n in beside if not n.startswith("inside/") and n != "outside"]
        if beside.get("outside") != b"a bystander" or strange:
            faults.append(f"changed files outside: {strange}")
    return Tried(arguments=arguments, damaged=name, outcome=outcome, faults=faults)


@functools.cache
def _undamaged(make: Callable[[Path], None]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        make(Path(place))
        return read_tree(Path(place))
