"""Where the better of two mixes becomes the other one, as hours grow."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from studies.advice.cells import HIGH, LOW, Floats
from studies.advice.combinations import Table, hours_at
from studies.advice.curves import Curves, draws_over

_HOURS = 60
"""Hours looked at, evenly spaced on a logarithmic axis."""

LIKELY = 0.5
"""A crossing is reported where it is at least that probable."""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """`before` leads with fewer hours and `after` with more; 90 % interval of where they cross."""

    before: str
    after: str
    hours: float
    low: float
    high: float
    probability: float


@dataclass(frozen=True, kw_only=True)
class HoursNeeded:
    """The hours that reach a score, with their 90 % interval.

    Where one of them is the smallest budget, fewer may do.
    """

    hours: float
    low: float
    high: float


def find_crossings(curves: Curves) -> tuple[Crossing, ...]:
    """Return the crossings that are likelier than not, over the hours that two mixes share."""
    found = []
    for first, second in combinations(curves.mixes, 2):
        hours = _shared_hours(curves, first, second)
        if hours is None:
            continue
        lead = draws_over(curves, first, hours) - draws_over(curves, second, hours)
        known = ~np.isnan(lead[0])
        for before, after, ahead in ((first, second, lead), (second, first, -lead)):
            crossing = _find_crossing(before, after, ahead[:, known], hours[known])
            found += [crossing] if crossing is not None else []
    return tuple(found)


def hours_for_target(curves: Curves, mix: str, target: float) -> HoursNeeded | None:
    """Return the hours at which a mix's mean score reaches a target.

    None where more than one draw in twenty does not reach it within the hours that can be said.
    """
    curve = curves.mixes[mix]
    # Between budgets that no curve joins nothing is known.
    grid = np.geomspace(curve.hours[0], curve.end_hours, _HOURS) if curve.is_joined else curve.hours
    scores = draws_over(curves, mix, grid)
    reached = (scores >= target).any(axis=1)
    if curve.is_joined:
        found = hours_at(Table(hours=grid, scores=scores), np.full(len(scores), target))
        at = np.maximum(found, grid[0])
    else:
        at = grid[(scores >= target).argmax(axis=1)]
    # A draw that never reaches the target takes longer than any.
    needed = np.where(reached, at, np.inf)
    low, middle, high = np.quantile(needed, [LOW, 0.5, HIGH], method="higher")
    if not np.isfinite(high):
        return None
    return HoursNeeded(hours=float(middle), low=float(low), high=float(high))


def _shared_hours(curves: Curves, first: str, second: str) -> Floats | None:
    both = [curves.mixes[mix] for mix in (first, second)]
    low = max(curve.hours[0] for curve in both)
    high = min(curve.end_hours for curve in both)
    return np.geomspace(low, high, _HOURS) if low < high else None


def _find_crossing(before: str, after: str, ahead: Floats, hours: Floats) -> Crossing | None:
    """Return where a lead (D, G) turns negative for good, None where that is not likely."""
    crosses = (ahead[:, 0] > 0) & (ahead[:, -1] < 0) if len(hours) else np.zeros(1, dtype=bool)
    if crosses.mean() < LIKELY:
        return None
    lead = ahead[crosses]
    # The last place where the first mix still leads: what comes after is behind.
    last = lead.shape[1] - 1 - (lead > 0)[:, ::-1].argmax(axis=1)
    rows = np.arange(len(lead))
    now, then = lead[rows, last], lead[rows, last + 1]
    logs = np.log(hours)
    share = now / (now - then)
    at = np.exp(logs[last] + share * (logs[last + 1] - logs[last]))
    low, middle, high = np.quantile(at, [LOW, 0.5, HIGH])
    return Crossing(
        before=before,
        after=after,
        hours=float(middle),
        low=float(low),
        high=float(high),
        probability=float(crosses.mean()),
    )
