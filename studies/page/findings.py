"""All that the page of a study shows, computed once from its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from annotools.prices.times import read_times
from studies.advice.advise import advise_each
from studies.advice.cells import (
    HIGH,
    LOW,
    Floats,
    Scores,
    read_scores,
    rows_of_main_student,
    summarise,
)
from studies.advice.crossings import Crossing
from studies.advice.curves import REACH, Curves, draws_over, fit_curves
from studies.advice.doubts import doubts, uneven_scatter
from studies.advice.pareto import FrontPoint, pareto_front
from studies.advice.purchases import images_for
from studies.advice.records import Advice
from studies.advice.repricing import draw_prices
from studies.advice.wording import ranked
from studies.results import TrialResult
from studies.summary import deciding_budget, has_learnt_nothing, never_learnt, summary_table

METRIC = "pq"

NUM_STEPS = 40
"""How many hours the slider can be set to."""

_LINE_POINTS = 72

_SURE_FLIP = 0.8
"""A crossing that is less probable is nothing for a headline."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """The curve of a mix at hours (G,): mean, and 90 % interval, in [0, 1]; `last` was measured."""

    hours: Floats
    mean: Floats
    low: Floats
    high: Floats
    last: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """A place of the slider: what is advised there, and what each mix buys by label kind."""

    advice: Advice
    images: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Rows of one student, and what follows from them.

    `doubts` are of all scores, `unlearnt` the mixes that have no curve because they learnt nothing
    where others did. `hours` is the largest budget that can be compared, None where
    nothing has a PQ. `lines` has the mixes that are more than points. `steps` is empty where
    nothing can be predicted, and `start` is the place of `hours` among them. `is_priced` tells
    whether advice counts how long annotators may take; lines are at the times of the study.
    """

    rows: tuple[TrialResult, ...]
    table: pd.DataFrame
    mixes: tuple[str, ...]
    hours: float | None
    learnt_nothing: bool
    unlearnt: tuple[str, ...]
    doubts: tuple[str, ...]
    advice: Advice | None
    scores: Scores | None
    curves: Curves | None
    lines: Mapping[str, Line]
    steps: tuple[Step, ...]
    start: int
    is_priced: bool
    front: tuple[FrontPoint, ...]

    @property
    def reach(self) -> float:
        """The hours up to which the slider goes."""
        return self.steps[-1].advice.hours if self.steps else max(self.budgets)

    @property
    def budgets(self) -> tuple[float, ...]:
        """All budgets in hours, rising."""
        return tuple(sorted({row.budget_hours for row in self.rows}))

    @property
    def flips(self) -> tuple[Crossing, ...]:
        """The crossings of the two mixes that lead there, as far as they are told as a fact."""
        found = []
        for crossing in self.advice.crossings if self.advice is not None else ():
            distances = [abs(np.log(step.advice.hours / crossing.hours)) for step in self.steps]
            nearest = self.steps[int(np.argmin(distances))] if distances else None
            leaders = ranked(nearest.advice)[:2] if nearest is not None else []
            both = {crossing.before, crossing.after}
            # Between budgets that no curve joins nobody knows where.
            is_known = crossing.probability >= _SURE_FLIP and both <= self.lines.keys()
            if is_known and set(leaders) == both:
                found.append(crossing)
        return tuple(found)


def find(results: Sequence[TrialResult], times: str) -> Findings:
    """Compute what the page shows.

    Args:
        results: rows, at least one, the mixes in the order in which they are shown.
        times: that the study is priced with; those of a row may be a file of another machine.
    """
    is_scored = any(row.pq is not None for row in results)
    rows = rows_of_main_student(results, METRIC) if is_scored else list(results)
    table = summary_table(rows)
    hours = deciding_budget(table)
    unlearnt = tuple(never_learnt(table))
    scores = read_scores(rows, METRIC, unlearnt) if is_scored else None
    curves = None if scores is None else fit_curves(scores)
    mixes = tuple(dict.fromkeys(row.mix for row in rows))
    learnt_nothing = has_learnt_nothing(table)
    # Nothing is bought by what models predict that have learnt nothing.
    places = [] if learnt_nothing else _slider_hours(curves, [row.budget_hours for row in rows])
    # Rows of older versions do not tell what annotators did.
    own = times if all(row.actions for row in results) else None
    # Those of all students, which are asked whether they agree.
    advise_for = partial(advise_each, results, metric=METRIC, times=own)
    advices = advise_for(places, is_whole=False) if places else ()
    steps = tuple(
        Step(advice=advice, images={m: images_for(rows, m, advice.hours) for m in mixes})
        for advice in advices
    )
    return Findings(
        rows=tuple(rows),
        table=table,
        mixes=mixes,
        hours=hours,
        learnt_nothing=learnt_nothing,
        unlearnt=unlearnt,
        doubts=(*doubts(rows), *(() if scores is None else uneven_scatter(summarise(scores)))),
        advice=advise_for([hours])[0] if hours is not None else None,
        scores=scores,
        curves=curves,
        lines=_draw_lines(curves, is_extrapolated=not learnt_nothing),
        steps=steps,
        start=places.index(hours) if hours in places else 0,
        is_priced=own is not None and bool(draw_prices(results, read_times(own))),
        front=() if learnt_nothing else pareto_front(rows),
    )


def _slider_hours(curves: Curves | None, budgets: Sequence[float]) -> list[float]:
    """Return the hours of the slider, rising; each budget takes the place of the nearest.

    Where nothing is said between budgets or beyond them, they are the budgets alone; none where
    nothing can be predicted.
    """
    studied = sorted(set(budgets))
    if curves is None:
        return []
    if not any(mix.is_joined or mix.law is not None for mix in curves.mixes.values()):
        return studied
    ends = studied[0], REACH * studied[-1]
    # Two digits are read at a glance; three are few enough where two make steps alike.
    inner = np.geomspace(*ends, NUM_STEPS)[1:-1]
    rounded = [[float(f"{hours:.{digits}g}") for hours in inner] for digits in (2, 3)]
    chosen = rounded[0] if len({*rounded[0], *ends}) == NUM_STEPS else rounded[1]
    places = np.unique([ends[0], *(h for h in chosen if ends[0] < h < ends[1]), ends[1]])
    for budget in studied:
        places[np.abs(np.log(places / budget)).argmin()] = budget
    return [float(hours) for hours in places]


def _draw_lines(curves: Curves | None, *, is_extrapolated: bool) -> dict[str, Line]:
    found = {}
    for mix, curve in curves.mixes.items() if curves is not None else ():
        assert curves is not None
        if not curve.is_joined:
            continue
        first, last = float(curve.hours[0]), float(curve.hours[-1])
        end = curve.end_hours if is_extrapolated else last
        # A budget comes twice where it is on the grid too.
        hours = np.unique([*np.geomspace(first, end, _LINE_POINTS), *curve.hours])
        known = draws_over(curves, mix, hours)
        hours, known = hours[~np.isnan(known[0])], known[:, ~np.isnan(known[0])]
        low, high = np.quantile(known, [LOW, HIGH], axis=0)
        found[mix] = Line(hours=hours, mean=known.mean(axis=0), low=low, high=high, last=last)
    return found
