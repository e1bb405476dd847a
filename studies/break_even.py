"""Finished trials tell at which time of an action the better of two mixes changes.

Another time changes what the images of a trial cost, and nothing about what was trained on them:
each trial keeps its quality and moves along the axis of hours.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from math import log, sqrt
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from annotools.errors import RecipeError
from annotools.prices.times import AnnotationTimes, missing_time, read_times
from studies.advice.changes import nearest_changes
from studies.advice.repricing import paid_for
from studies.results import TrialResult
from studies.study import Study


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The points (P,) of a mix; a time of s seconds puts them at `fixed_hours + s * slope`.

    `pq` is in [0, 1].
    """

    mix: str
    fixed_hours: NDArray[np.float64]
    slope: NDArray[np.float64]
    pq: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ChoiceChange:
    """The times of an action at which the better of two mixes changes, compared at some hours.

    `now` is the present time, at which `better` has the higher PQ, None where both are equal.
    `below` and `above` are the nearest times on either side at which the other mix is better, None
    where the trials show none within `SEARCHED_FACTOR`.
    """

    first: str
    second: str
    hours: float
    action: str
    now: float
    better: str | None
    below: float | None
    above: float | None


def find_changes_of_study(
    study: Study, results: Sequence[TrialResult], action: str, hours: float | None
) -> tuple[ChoiceChange, ...]:
    """Return for each pair of mixes at which time of an action the better one changes.

    Trials are priced anew by what their annotators were paid to do; PQ is the mean over seeds.

    Args:
        study: what was run; its times are the present ones.
        results: finished trials of it.
        action: whose time is varied.
        hours: at which to compare; None for the middle, on a logarithmic axis, of the hours that
            both mixes cover. A pair is left out where one of its mixes does not cover them.

    Raises:
        RecipeError: when no pair of mixes covers the hours, or rows do not say what was paid for.
        TimesError: when the study's times cannot be read or lack an action.
    """
    times = read_times(study.times)
    if action not in times.actions:
        raise missing_time(times, action)
    curves = build_curves(results, times, action)
    now = times.actions[action].seconds
    changes = []
    for first, second in combinations(curves, 2):
        at = hours if hours is not None else common_middle(first, second, now)
        if at is not None and _lead(first, second, at, now) is not None:
            changes.append(find_change(first, second, at, action, now))
    if not changes:
        place = "the same hours" if hours is None else f"{hours:g} h"
        raise RecipeError(f"study {study.name!r}: no two mixes have trials around {place}")
    return tuple(changes)


def build_curves(
    results: Sequence[TrialResult], times: AnnotationTimes, action: str
) -> tuple[Curve, ...]:
    """Return a curve for each mix, in their order, with a point for each budget with a defined PQ.

    Args:
        results: trials; seeds of one budget are averaged.
        times: of all actions.
        action: the one with the open time.

    Raises:
        RecipeError: when a trial does not say what was paid for.
        TimesError: for an action that the times lack.
    """
    points: dict[str, dict[float, list[tuple[float, float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for result in results:
        if result.pq is None:
            continue
        fixed = slope = 0.0
        # A price is linear in the open time: what it is multiplied with, and the rest.
        for name, done in paid_for(result, times).items():
            if name == action:
                slope += done / 3600
            else:
                fixed += done * times.actions[name].seconds / 3600
        points[result.mix][result.budget_hours].append((fixed, slope, result.pq))
    curves = []
    # Seeds of a budget bought different images, so that hours are averaged as PQ is.
    for mix, by_budget in points.items():
        means = [[fmean(column) for column in zip(*seeds, strict=True)]
                 for seeds in by_budget.values()]  # fmt: skip
        fixed_hours, slopes, pq = np.array(means).T
        curves.append(Curve(mix=mix, fixed_hours=fixed_hours, slope=slopes, pq=pq))
    return tuple(curves)


def quality_at(curve: Curve, hours: float, seconds: float) -> float | None:
    """Return the PQ that a mix reaches within some hours, for a value of the open time.

    Points that fall with the hours are replaced by their mean, until none does (isotonic
    regression): more labels of a kind do no harm, and without that a dearer mix could look
    better. Between points it is linear in the logarithm of hours. It is None outside of them, and
    where a point costs nothing.
    """
    at = curve.fixed_hours + seconds * curve.slope
    order = np.argsort(at, kind="stable")
    at, pq = at[order], isotonic_regression(curve.pq[order]).x
    # A trial's own hours must not be outside of its curve for a rounding error.
    margin = 1 + 1e-9
    if at[0] <= 0 or not at[0] / margin <= hours <= at[-1] * margin:
        return None
    return float(np.interp(log(hours), np.log(at), pq))


def common_middle(first: Curve, second: Curve, seconds: float) -> float | None:
    """Return the middle, on a logarithmic axis, of the hours that both curves cover, or None."""
    hours = [curve.fixed_hours + seconds * curve.slope for curve in (first, second)]
    low, high = max(h.min() for h in hours), min(h.max() for h in hours)
    return sqrt(low * high) if 0 < low <= high else None


def find_change(first: Curve, second: Curve, hours: float, action: str, now: float) -> ChoiceChange:
    """Return the nearest times at which the other of two mixes becomes the better.

    Both curves must cover the hours at the present time. The search goes outwards in steps and
    stops where a curve no longer covers the hours: what happens beyond is not known.

    Raises:
        RecipeError: when a curve does not cover the hours.
    """
    lead = partial(_lead, first, second, hours)
    lead_now = lead(now)
    if lead_now is None:
        raise RecipeError(f"no trials of {first.mix!r} and {second.mix!r} around {hours:g} h")
    below, above = nearest_changes(lead, now)
    return ChoiceChange(
        first=first.mix,
        second=second.mix,
        hours=hours,
        action=action,
        now=now,
        better=None if lead_now == 0 else (first if lead_now > 0 else second).mix,
        below=below,
        above=above,
    )


def _lead(first: Curve, second: Curve, hours: float, seconds: float) -> float | None:
    """Return by how much the PQ of the first mix is the higher; None where one is not known."""
    one, other = (quality_at(curve, hours, seconds) for curve in (first, second))
    return None if one is None or other is None else one - other
