"""What to buy with some hours, by a study's rows: a verdict, its grounds, and what would help."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from annotools.errors import RecipeError
from studies.answers import answer, caveats
from studies.cells import Floats, read_scores
from studies.convergence import unconverged
from studies.crossings import Crossing, HoursNeeded, find_crossings, hours_for_target
from studies.curves import Curves, draws, fit_curves, gain_of_next_hour, why_not
from studies.next_run import NextRun, choose_next_run, run_where_nothing_is_known
from studies.results import TrialResult
from studies.summary import SCORES, has_learnt_nothing, summary_table

SURE = 0.9
"""The probability with which a verdict must hold."""

SURE_IN_DOUBT = 0.95
"""The same where trainings had not converged or a score is no better than one class everywhere."""

LEAST_DIFFERENCE = 0.01
"""A point: nobody buys other labels for less."""

BUY, TIE, CANNOT_TELL = "buy", "tie", "cannot tell"


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
    rows = rows_of_main_student(results, metric)
    student = rows[0].student
    scores = read_scores(rows, metric)
    curves = fit_curves(scores)
    if curves is None:
        return _advise_without_curves(rows, hours, metric)
    delta = max(LEAST_DIFFERENCE, curves.seed_deviation)
    unknown = {m: why_not(curves, m, hours) for m in curves.mixes}
    predicted = {m: found for m in curves.mixes if (found := draws(curves, m, hours)) is not None}
    reasons = [f'"{m}" is not predicted at {hours:g} h: {why}' for m, why in unknown.items() if why]
    doubts = _doubts(rows)
    disagreement = _disagreement(results, student, predicted, hours, metric, delta)
    verdict, mix = decide(predicted, delta, SURE_IN_DOUBT if doubts else SURE)
    contenders = _contenders(curves, predicted, unknown)
    table = summary_table(rows)
    if contenders or disagreement or has_learnt_nothing(table):
        verdict, mix = CANNOT_TELL, None
    if predicted and contenders:
        reasons.append(f"{_quote(contenders)} may be better all the same")
    crossings = find_crossings(curves)
    reasons += [
        f'near these hours the better mix changes: "{c.before}" below, "{c.after}" above '
        f"{c.hours:.3g} h (90 %: {c.low:.3g} to {c.high:.3g} h)"
        for c in crossings
        if c.low <= hours <= c.high
    ]
    next_run = None
    if verdict == CANNOT_TELL and contenders:
        next_run = run_where_nothing_is_known(contenders[0], curves, rows, hours)
    elif verdict == CANNOT_TELL:
        next_run = choose_next_run(curves, predicted, rows, hours)
    return Advice(
        verdict=verdict,
        mix=mix,
        hours=hours,
        metric=metric,
        delta=delta,
        mixes=_describe(curves, predicted, hours),
        crossings=crossings,
        next_run=next_run,
        reasons=tuple(filter(None, [*reasons, disagreement, *doubts])),
    )


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


def decide(predicted: Mapping[str, Floats], delta: float, sure: float) -> tuple[str, str | None]:
    """Return the verdict on draws (D,) of each mix, and the mix to buy.

    A tie is asked for first: where the two best are alike either could be bought without regret,
    and to name one would claim a difference. For the same reason the mix to buy must be the best
    with that certainty, which is more than to be less than `delta` behind the best: where all mixes
    are alike and measured well, that is true of each, and half of all studies would name one.
    """
    if len(predicted) < 2:
        return CANNOT_TELL, None
    regrets = regret_draws(predicted)
    first, second = sorted(regrets, key=lambda mix: float(regrets[mix].mean()))[:2]
    if np.mean(np.abs(predicted[first] - predicted[second]) < delta) >= sure:
        return TIE, None
    if np.mean(regrets[first] == 0) >= sure:
        return BUY, first
    return CANNOT_TELL, None


def regret_draws(predicted: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return draws (D,) of how far each mix is below the best, from draws of their scores.

    There is at least one mix.
    """
    best: Floats = np.max(np.stack(list(predicted.values())), axis=0)
    return {mix: np.asarray(best - found) for mix, found in predicted.items()}


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


def _describe(
    curves: Curves, predicted: Mapping[str, Floats], hours: float
) -> dict[str, MixAdvice]:
    regrets = regret_draws(predicted) if predicted else {}
    found = {}
    for mix in curves.mixes:
        if mix not in predicted:
            found[mix] = _unknown()
            continue
        low, high = np.quantile(predicted[mix], [0.05, 0.95])
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


def _advise_without_curves(rows: Sequence[TrialResult], hours: float, metric: str) -> Advice:
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
        reasons=(reason, *_doubts(rows)),
    )


def _doubts(rows: Sequence[TrialResult]) -> list[str]:
    """Return in sentences what makes all scores doubtful."""
    if has_learnt_nothing(summary_table(rows)):
        return list(filter(None, [answer(rows), unconverged(rows)]))
    return list(caveats(rows))


def _contenders(
    curves: Curves, predicted: Mapping[str, Floats], unknown: Mapping[str, str | None]
) -> list[str]:
    """Return the mixes of which nothing is known at the hours and that could still be the best.

    A mix whose best measured score is below what the leading mix is sure to reach is none. The one
    with the best measured score comes first.
    """
    sure = max((float(np.quantile(found, 0.05)) for found in predicted.values()), default=0.0)
    best = {m: float(curves.mixes[m].measured.max()) for m, why in unknown.items() if why}
    return sorted((m for m in best if best[m] >= sure), key=lambda m: -best[m])


def _disagreement(
    results: Sequence[TrialResult],
    student: str,
    predicted: Mapping[str, Floats],
    hours: float,
    metric: str,
    delta: float,
) -> str:
    """Return in a sentence which students would buy something else; empty if none.

    A student disagrees where the mix that leads here is more likely than not worse by `delta`.
    """
    if not predicted:
        return ""
    leader = max(predicted, key=lambda mix: float(predicted[mix].mean()))
    others = []
    for other in sorted({row.student for row in results} - {student}):
        own = read_scores([row for row in results if row.student == other], metric)
        curves = fit_curves(own) if len(own.score) else None
        if curves is None or leader not in curves.mixes:
            continue
        found = {m: d for m in curves.mixes if (d := draws(curves, m, hours)) is not None}
        if leader in found and np.mean(regret_draws(found)[leader] < delta) < 0.5:
            others.append(f"{other} prefers {_quote([max(found, key=lambda m: found[m].mean())])}")
    return (
        f"Students disagree: {student} prefers {_quote([leader])}, " + ", ".join(others) + "."
        if (others)
        else ""
    )


def _quote(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
