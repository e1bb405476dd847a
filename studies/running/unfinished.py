"""Say in one line which trials of a study failed or are left, and what to do."""

from collections.abc import Mapping, Sequence

from annotools.commands.tables import count_of
from studies.failures import TrialFailure

MAX_NAMED = 3
"""Trials that a line names; the report has all."""


def tell_unfinished(
    failures: Sequence[TrialFailure], left: Mapping[str, str], num_planned: int
) -> str:
    """Return the line that a run of a study ends with that has not finished all trials.

    Args:
        failures: of its trials.
        left: why trials are neither finished nor failed, by name.
        num_planned: how many trials the study has.
    """
    parts = []
    if failures:
        of = f"{len(failures)} of {count_of(num_planned, 'trial')}"
        errors = [f"{failure.name}: {failure.error}" for failure in failures]
        parts.append(f"{of} failed: {_few(errors)}; repeat the command with --retry-failed")
    for why in dict.fromkeys(left.values()):
        names = [name for name, reason in left.items() if reason == why]
        of = f"{len(names)} of {count_of(num_planned, 'trial')}"
        parts.append(f"{of} left, {why}: {_few(names)}; repeat the command to go on")
    return "; ".join(parts)


def _few(texts: Sequence[str]) -> str:
    more = len(texts) - MAX_NAMED
    return "; ".join([*texts[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])])
