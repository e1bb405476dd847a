"""What labels of several mixes score together, by the curves of each alone.

No trial has bought them together. Labels that score alike are taken to stand for each other: the
part that scores highest alone is the base, and every other part counts as the hours of the base
that would score as much.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from studies.advice.cells import HIGH, LOW, Floats
from studies.advice.curves import Curves, draws_over

_HOURS = 120
"""Hours at which a curve is tabulated, evenly spaced on a logarithmic axis."""

_SHARES = (0.25, 0.5, 0.75)
"""How the hours are split between two mixes."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Draws (D, G) of a mix's score at hours (G,) rising, all of which the study can speak of.

    A mix that `is_exhausted` has bought all its images at the last of them, or before.
    """

    hours: Floats
    scores: Floats
    is_exhausted: bool = False


@dataclass(frozen=True, kw_only=True)
class Combination:
    """Hours of two mixes that are bought together; nobody has trained on them.

    `score` is the mean with its 90 % interval, in [0, 1]; `gain` how much more than the best mix
    alone, and `p_better` the probability that it is more by a difference that matters.
    """

    hours: Mapping[str, float]
    score: float
    low: float
    high: float
    gain: float
    p_better: float


def tabulate(curves: Curves) -> dict[str, Table]:
    """Return the table of each mix of which something is said between its budgets.

    Of a mix that has bought all its images it is known from there on that nothing changes.
    """
    tables = {}
    for name, curve in curves.mixes.items():
        if curve.is_joined or curve.is_exhausted:
            first = curve.hours[0] if curve.is_joined else curve.hours[-1]
            hours = np.geomspace(first, curve.end_hours, _HOURS)
            scores = draws_over(curves, name, hours)
            tables[name] = Table(hours=hours, scores=scores, is_exhausted=curve.is_exhausted)
    return tables


def score_at(table: Table, hours: Floats) -> Floats:
    """Return the score of each draw at its own hours, both (D,); outside the table its end's."""
    place = np.interp(np.log(hours), np.log(table.hours), np.arange(len(table.hours)))
    before = np.minimum(place.astype(int), len(table.hours) - 2)
    rows, share = np.arange(len(hours)), place - before
    now, then = table.scores[rows, before], table.scores[rows, before + 1]
    return np.asarray(now + share * (then - now))


def hours_at(table: Table, scores: Floats) -> Floats:
    """Return the hours (D,) at which each draw reaches a score (D,) for the first time.

    They are 0 where the smallest budget scores more, since less has not been measured, and the
    table's last where no hours reach it.
    """
    highest = np.maximum.accumulate(table.scores, axis=1)
    after = (highest < scores[:, None]).sum(axis=1)
    last = len(table.hours) - 1
    rows, then = np.arange(len(scores)), np.clip(after, 1, last)
    rise = highest[rows, then] - highest[rows, then - 1]
    missing = scores - highest[rows, then - 1]
    # Where the score is never reached the end may be flat.
    share = np.where(after > last, 1.0, missing / np.where(rise > 0, rise, 1.0))
    logs = np.log(table.hours)
    found = np.exp(logs[then - 1] + share * (logs[then] - logs[then - 1]))
    return np.where(after == 0, 0.0, found)


def score_together(tables: Mapping[str, Table], parts: Mapping[str, Floats]) -> Floats:
    """Return draws (D,) of the score of hours (D,) of several mixes.

    A mix that has bought all its images is no base where there is another: what the others add to
    it would be lost.

    Args:
        tables: of each mix that has a part.
        parts: hours in each draw. Those below a mix's smallest budget count as nothing, unless no
            part has more.
    """
    names = list(parts)
    counts = np.stack([parts[n] >= tables[n].hours[0] * (1 - 1e-9) for n in names])
    alone = np.stack([score_at(tables[name], parts[name]) for name in names])  # (P, D)
    alone = np.where(counts | ~counts.any(axis=0), alone, -np.inf)
    is_exhausted = np.array([[tables[name].is_exhausted] for name in names])
    growing = np.where(is_exhausted, -np.inf, alone)
    base = np.where(np.isfinite(growing).any(axis=0), growing, alone).argmax(axis=0)
    found = np.empty(alone.shape[1])
    for number, name in enumerate(names):
        hours = parts[name] + sum(
            np.where(np.isfinite(alone[k]), hours_at(tables[name], alone[k]), 0)
            for k in range(len(names))
            if k != number
        )
        found = np.where(base == number, score_at(tables[name], hours), found)
    return np.asarray(np.maximum(found, np.where(is_exhausted, alone, -np.inf).max(axis=0)))


def best_combination(
    tables: Mapping[str, Table],
    predicted: Mapping[str, Floats],
    hours: float,
    have: Mapping[str, float],
    prices: Mapping[str, Floats],
    delta: float,
) -> Combination | None:
    """Return the split of some hours between two mixes with the highest mean score.

    Args:
        tables: of the mixes.
        predicted: draws (D,) of each mix alone; only these are combined.
        hours: to spend.
        have: hours by mix that are bought already.
        prices: what an hour of a mix costs in each draw, 1 where a mix is missing.
        delta: a difference that matters.

    Returns:
        The split; None where fewer than two mixes can be combined.
    """
    names = [name for name in predicted if name in tables]
    best: tuple[float, Floats, dict[str, float]] | None = None
    for first, second in combinations(names, 2):
        for share in _SHARES:
            split = {first: share * hours, second: (1 - share) * hours}
            found = score_together(tables, drawn_hours(split, have, prices, tables))
            if best is None or found.mean() > best[0]:
                best = float(found.mean()), found, split
    if best is None:
        return None
    mean, found, split = best
    alone = max(predicted.values(), key=lambda scores: float(scores.mean()))
    low, high = np.quantile(found, [LOW, HIGH])
    return Combination(
        hours=split,
        score=mean,
        low=float(low),
        high=float(high),
        gain=mean - float(alone.mean()),
        p_better=float(np.mean(found - alone >= delta)),
    )


def drawn_hours(
    bought: Mapping[str, float],
    have: Mapping[str, float],
    prices: Mapping[str, Floats],
    tables: Mapping[str, Table],
) -> dict[str, Floats]:
    """Return the hours (D,) of each mix, at the study's prices, that are bought or there already.

    What is there already is known: only hours that are still to be spent have uncertain prices.
    """
    found = {}
    for name in [*bought, *(mix for mix in have if mix not in bought)]:
        if name not in tables:
            continue
        num_draws = len(tables[name].scores)
        price = prices.get(name, np.ones(num_draws))
        found[name] = bought.get(name, 0.0) / price + have.get(name, 0.0)
    return found
