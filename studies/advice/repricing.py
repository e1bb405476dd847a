"""What a study's trials cost at other times: each keeps its scores and moves along the hours."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from annotools.errors import RecipeError, TimesError
from annotools.prices.actions import paid_actions
from annotools.prices.intervals import draw_seconds, total_hours
from annotools.prices.times import AnnotationTimes, missing_actions, missing_time, read_times
from studies.advice.cells import Floats
from studies.advice.curves import NUM_DRAWS
from studies.results import TrialResult


def times_of(rows: Sequence[TrialResult], given: str | None) -> AnnotationTimes | None:
    """Return the times that are given, else those that all rows were priced with.

    None where nothing is given and `why_no_times` has a reason.

    Raises:
        TimesError: when the times that are given cannot be read.
    """
    if given is not None:
        return read_times(given)
    return None if why_no_times(rows) else read_times(str(rows[0].times))


def why_no_times(rows: Sequence[TrialResult]) -> str:
    """Return in a clause why rows do not tell how long annotators may take; empty if they do."""
    own = {row.times for row in rows}
    if not all(row.actions for row in rows) or None in own:
        return "the rows do not say what annotators did"
    if len(own) > 1:
        return "the rows were priced by different times"
    try:
        read_times(str(own.pop()))
    except TimesError as error:
        # A row may come from another machine, and its times are not needed for what it measured.
        return str(error)
    return ""


def paid_for(row: TrialResult, times: AnnotationTimes) -> dict[str, float]:
    """Return how often each action was paid for in a trial, all of which the times know.

    Raises:
        RecipeError: when the row does not say.
        TimesError: when the times lack an action.
    """
    if not row.actions:
        raise RecipeError(
            f"the row of {row.mix!r} at {row.budget_hours:g} h with seed {row.seed} does not say "
            "what its annotators did, so that it cannot be priced anew: run the study again"
        )
    paid = paid_actions(row.actions, times)
    for action in missing_actions(times, paid):
        raise missing_time(times, action)
    return paid


def reprice(rows: Sequence[TrialResult], times: AnnotationTimes) -> list[TrialResult]:
    """Return the rows at the hours that their labels cost by other times.

    The seeds of a mix and budget bought different images; they move by their mean, so that they
    stay one budget. A row whose images hold nothing to label cost nothing, by any times.

    Raises:
        RecipeError: when a row does not say what was paid for, or by these times costs nothing.
        TimesError: when the times lack an action.
    """
    costs: dict[tuple[str, float], list[float]] = defaultdict(list)
    for row in rows:
        paid = paid_for(row, times)
        hours = sum(count * times.actions[name].seconds for name, count in paid.items()) / 3600
        of_point = costs[row.mix, row.budget_hours]
        if row.spent_hours > 0:
            if hours <= 0:
                raise RecipeError(
                    f"the labels of {row.mix!r} cost nothing by these times: there is nothing to "
                    "weigh: give seconds above 0"
                )
            of_point.append(hours / row.spent_hours)
    factor = {point: fmean(factors) if factors else 1.0 for point, factors in costs.items()}
    return [
        replace(
            row,
            budget_hours=row.budget_hours * _exact(factor[row.mix, row.budget_hours]),
            spent_hours=row.spent_hours * _exact(factor[row.mix, row.budget_hours]),
        )
        for row in rows
    ]


def draw_prices(rows: Iterable[TrialResult], times: AnnotationTimes) -> dict[str, Floats]:
    """Return draws (D,) of what an hour of each mix takes, over the ranges of the times.

    A mix whose times have no range, or that cost nothing, is left out: its hours are known.

    Args:
        rows: that say what was paid for.
        times: their ranges are those of `draw_seconds`.
    """
    seconds = draw_seconds(times, 0, NUM_DRAWS)
    actions: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        for name, count in paid_for(row, times).items():
            actions[row.mix][name] += count
    prices = {}
    for mix, counts in actions.items():
        now = sum(count * times.actions[name].seconds for name, count in counts.items()) / 3600
        if now <= 0:
            continue
        drawn = total_hours(counts, seconds) / now
        if drawn.min() < drawn.max():
            prices[mix] = drawn
    return prices


def shares_of(rows: Iterable[TrialResult], times: AnnotationTimes) -> dict[str, dict[str, float]]:
    """Return for each mix which part of its hours goes into each action."""
    hours: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        for name, count in paid_for(row, times).items():
            hours[row.mix][name] += count * times.actions[name].seconds
    return {mix: _normalise(of_mix) for mix, of_mix in hours.items()}


def _normalise(hours: Mapping[str, float]) -> dict[str, float]:
    total = sum(hours.values())
    return {name: part / total for name, part in hours.items() if part > 0}


def _exact(factor: float) -> float:
    """Return a factor; 1 where it is so but for rounding, so that budgets stay as they are."""
    return 1.0 if abs(factor - 1) < 1e-9 else factor
