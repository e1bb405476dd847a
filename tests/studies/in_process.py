"""Trials without networks and without other processes, for tests of who runs them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from annotools.parallel import Lost
from studies.results import TrialResult
from studies.trials import Trial

FULL = {"full": {"full": 1}}
"""The mixes of a study of full labels."""


def run_here(
    function: Callable[[Any], Any], items: Sequence[Any], *_: object
) -> Iterator[tuple[Any, Any]]:
    """Stand for `run_isolated`: work in this process, and tell of one that would end."""
    for item in items:
        try:
            yield item, function(item)
        except SystemExit as end:
            yield item, Lost(exit_code=int(end.code or 0))


def key_of(trial: Trial | TrialResult) -> tuple[str, float, int]:
    return trial.mix, trial.budget_hours, trial.seed


def failing(error: Exception, then: Callable[[Trial], TrialResult]) -> Callable[[Trial], Any]:
    """A trial that fails for seed 1."""

    def run_trial(trial: Trial) -> TrialResult:
        if trial.seed == 1:
            raise error
        return then(trial)

    return run_trial
