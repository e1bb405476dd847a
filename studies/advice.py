"""What to buy with some hours, by a study's rows: a verdict, its grounds, and what would help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotools.errors import RecipeError
from studies.cells import HIGH, LOW, Floats, read_scores
from studies.crossings import Crossing, HoursNeeded, find_crossings, hours_for_target
from studies.curves import Curves, draws, fit_curves, gain_of_next_hour, why_not
from studies.doubts import contenders, disagreement, doubts
from studies.next_run import NextRun, choose_next_run, run_where_nothing_is_known
from studies.results import TrialResult
from studies.summary import SCORES, has_learnt_nothing, summary_table
from studies.verdict import CANNOT_TELL, SURE, SURE_IN_DOUBT, decide, regret_draws

LEAST_DIFFERENCE = 0.01
"""A point: nobody buys other labels for less."""


@dataclass(frozen=True, kw_only=True)
class MixAdvice:
    """A mix at the hours asked for; scores in [0, 1], None where the study cannot say.

    `score` is the mean with its 90 % interval, `p_best` the probability that no other mix is
    better, `regret` how much less it is expected to score than the best, `gain_per_hour` what the
    next hour is expected to add.
    """

    score: float | None
    low: float | None
    high: float | None
    p_best: float | None
    regret: float | None
    gain_per_hour: float | None


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The verdict and its grounds; field names are the keys of the JSON file.

    `mix` is the one to buy, None with another verdict. Differences below `delta` do not matter.
    """

    verdict: str
    mix: str | None
    hours: float
    metric: str
    delta: float
    mixes: Mapping[str, MixAdvice]
    crossings: tuple[Crossing, ...]
    next_run: NextRun | None
    reasons: tuple[str, ...]


def advise(results: Sequence[TrialResult], hours: float, metric: str = "pq") -> Advice:
    """Return what a study's rows say about spending some hours.

    Where rows are of several students the one with most rows is taken, and the others are asked
    whether they agree.

    Args:
        results: rows; no other file of the study is needed.
        hours: of annotation, more than 0.
        metric: one of `SCORES`.

    Raises:
        RecipeError: for another metric, or one that no row has.
    """
    return advise_each(results, [hours], metric)[0]


def advise_each(
    results: Sequence[TrialResult], hours: Sequence[float], metric: str = "pq"
) -> tuple[Advice, ...]:
    """Return what `advise` says of each number of hours; curves are fitted once for all."""
    rows = rows_of_main_student(results, metric)
    curves, weak = fit_curves(read_scores(rows, metric)), doubts(rows)
    if curves is None:
        return tuple(_advise_without_curves(rows, own, metric, weak) for own in hours)
    nothing_learnt = has_learnt_nothing(summary_table(rows))
    crossings = find_crossings(curves)

    def advise_at(own: float) -> Advice:
        assert curves is not None
        return _advise_at(results, rows, curves, crossings, weak, nothing_learnt, own, metric)

    return tuple(map(advise_at, hours))


def hours_to_reach(
    results: Sequence[TrialResult], target: float, metric: str = "pq"
) -> dict[str, HoursNeeded | None]:
    """Return for each mix the hours at which its mean score reaches a target.

    Args:
        results: as `advise` takes them.
        target: in [0, 1].
        metric: one of `SCORES`.

    Returns:
        The hours by mix; None where the study cannot say.

    Raises:
        RecipeError: for another metric, or one that no row has.
    """
    rows = rows_of_main_student(results, metric)
    curves = fit_curves(read_scores(rows, metric))
    mixes = sorted({row.mix for row in rows})
    return {m: None if curves is None else hours_for_target(curves, m, target) for m in mixes}


def rows_of_main_student(results: Sequence[TrialResult], metric: str) -> list[TrialResult]:
    """Return the rows that have a metric, of the student that has most of them.

    Raises:
        RecipeError: for a metric that is unknown, or that no row has.
    """
    if metric not in SCORES:
        raise RecipeError(f"unknown metric {metric!r}; known are {', '.join(SCORES)}")
    rows = [row for row in results if getattr(row, metric) is not None]
    if not rows:
        raise RecipeError(f"no row has a {metric}: ask for another of {', '.join(SCORES)}")
    students = [row.student for row in rows]
    # Stable: of students with equally many rows the first by name.
    main = max(sorted(set(students)), key=students.count)
    return [row for row in rows if row.student == main]


def _advise_at(
    results: Sequence[TrialResult],
    rows: Sequence[TrialResult],
    curves: Curves,
    crossings: tuple[Crossing, ...],
    weak: Sequence[str],
    nothing_learnt: bool,
    hours: float,
    metric: str,
) -> Advice:
    delta = max(LEAST_DIFFERENCE, curves.seed_deviation)
    predicted = {m: found for m in curves.mixes if (found := draws(curves, m, hours)) is not None}
    verdict, mix = decide(predicted, delta, SURE_IN_DOUBT if weak else SURE)
    open_mixes = contenders(curves, predicted, hours)
    dissent = disagreement(results, rows[0].student, predicted, hours, metric, delta)
    if open_mixes or dissent or nothing_learnt:
        verdict, mix = CANNOT_TELL, None
    next_run = None
    # More trials of models that learn nothing would not help.
    if verdict == CANNOT_TELL and not nothing_learnt:
        next_run = (
            run_where_nothing_is_known(open_mixes[0], curves, rows, hours)
            if open_mixes
            else choose_next_run(curves, predicted, rows, hours)
        )
    return Advice(
        verdict=verdict,
        mix=mix,
        hours=hours,
        metric=metric,
        delta=delta,
        mixes=_describe(curves, predicted, hours),
        crossings=crossings,
        next_run=next_run,
        reasons=(
            *_reasons(curves, hours, _of_the_best(crossings, predicted), open_mixes),
            *filter(None, [dissent]),
            *weak,
        ),
    )


def _of_the_best(crossings: Sequence[Crossing], predicted: Mapping[str, Floats]) -> list[Crossing]:
    """Return the crossings that change the answer: those of the mix that leads."""
    leader = max(predicted, key=lambda mix: float(predicted[mix].mean()), default=None)
    return [c for c in crossings if leader in (c.before, c.after)]


def _reasons(
    curves: Curves, hours: float, crossings: Sequence[Crossing], open_mixes: Sequence[str]
) -> list[str]:
    """Return in clauses what the curves cannot say, and what changes near the hours."""
    unknown = {mix: why_not(curves, mix, hours) for mix in curves.mixes}
    reasons = [
        f'"{mix}" is not predicted at {hours:g} h: {why}' for mix, why in unknown.items() if why
    ]
    if len(curves.mixes) == 1:
        reasons.append("there is one mix, so that nothing can be compared")
    elif None in unknown.values():
        reasons += [f'"{mix}" may be better all the same' for mix in open_mixes]
    return reasons + [
        f'near these hours the better mix changes: "{c.before}" below, "{c.after}" above '
        f"{c.hours:.3g} h (90 %: {c.low:.3g} to {c.high:.3g} h)"
        for c in crossings
        if c.low <= hours <= c.high
    ]


def _describe(
    curves: Curves, predicted: Mapping[str, Floats], hours: float
) -> dict[str, MixAdvice]:
    regrets = regret_draws(predicted)
    found = {}
    for mix in curves.mixes:
        if mix not in predicted:
            found[mix] = _unknown()
            continue
        low, high = np.quantile(predicted[mix], [LOW, HIGH])
        found[mix] = MixAdvice(
            score=float(predicted[mix].mean()),
            low=float(low),
            high=float(high),
            p_best=float(np.mean(regrets[mix] == 0)),
            regret=float(regrets[mix].mean()),
            gain_per_hour=gain_of_next_hour(curves, mix, hours),
        )
    return found


def _unknown() -> MixAdvice:
    return MixAdvice(score=None, low=None, high=None, p_best=None, regret=None, gain_per_hour=None)


def _advise_without_curves(
    rows: Sequence[TrialResult], hours: float, metric: str, weak: Sequence[str]
) -> Advice:
    reason = "no mix has two seeds at one budget, so that chance cannot be told from truth"
    return Advice(
        verdict=CANNOT_TELL,
        mix=None,
        hours=hours,
        metric=metric,
        delta=LEAST_DIFFERENCE,
        mixes={mix: _unknown() for mix in sorted({row.mix for row in rows})},
        crossings=(),
        next_run=NextRun.of(rows[-1].mix, rows[-1].budget_hours, rows, is_new_seed=True),
        reasons=(reason, *weak),
    )
