"""Each kind of file with damage of many kinds: one line or an answer, whole files or none."""

import pytest

from tests.faults.kinds import KINDS
from tests.faults.tries import Kind, try_command, try_kind

TRIES = 50
"""Of each kind; `benchmarks/faults.py` makes as many as there is time for."""

FEWER = dict.fromkeys(("weights", "rows", "study-json", "model", "detections"), 25)
"""Of kinds that take longest."""

BLOCK = 25
"""So many in a test."""


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_is_not_damaged_is_read(kind: Kind) -> None:
    for number, command in enumerate(kind.commands):
        tried = try_command(kind, number)
        assert (tried.outcome.status, tried.faults) == (kind.status, []), (command, tried)


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        pytest.param(kind, first, id=f"{name}-seeds-from-{first}")
        for name, kind in KINDS.items()
        for first in range(0, FEWER.get(name, TRIES), BLOCK)
    ],
)
def test_damage_gives_one_line_or_an_answer(kind: Kind, first: int) -> None:
    tries = {seed: try_kind(kind, seed) for seed in range(first, first + BLOCK)}
    found = [
        f"{fault}: {' '.join(tried.arguments)[:200]} with {tried.damaged}\n"
        f"    python benchmarks/faults.py --kind {kind.name} --seed {seed} --tries 1"
        for seed, tried in tries.items()
        for fault in tried.faults
    ]
    assert not found, "\n".join(found)
    # Damage that no reader notices, or that all refuse, would test nothing.
    assert len({tried.outcome.err for tried in tries.values()}) > BLOCK / 10
