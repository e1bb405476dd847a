"""What to buy with some hours, by a study's rows: a verdict, its grounds, and what would help."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from annotools.errors import RecipeError
from annotools.prices.times import AnnotationTimes
from studies.advice.cells import (
    HIGH,
    LOW,
    Floats,
    read_scores,
    rows_of_main_student,
    summarise,
)
from studies.advice.combinations import (
    Table,
    best_combination,
    drawn_hours,
    score_together,
    tabulate,
)
from studies.advice.crossings import Crossing, HoursNeeded, find_crossings, hours_for_target
from studies.advice.curves import (
    Curves,
    draws,
    fit_curves,
    gain_of_next_hour,
    has_all_images,
    why_not,
)
from studies.advice.doubts import (
    contenders,
    different_weights,
    disagreement,
    doubts,
    uneven_scatter,
)
from studies.advice.flips import Flip, find_flips
from studies.advice.next_run import NextRun, choose_next_run, run_where_nothing_is_known
from studies.advice.reasons import (
    crossings_of_the_best,
    describe_exact,
    describe_unlearnt,
    describe_unrepeated,
    list_reasons,
    rows_not_counted,
)
from studies.advice.records import UNKNOWN, Advice, MixAdvice
from studies.advice.repricing import draw_prices, reprice, shares_of, times_of, why_no_times
from studies.advice.verdict import (
    CANNOT_TELL,
    SURE,
    SURE_IN_DOUBT,
    chances_of_best,
    decide,
    regret_draws,
)
from studies.answers import other_truth
from studies.results import TrialResult
from studies.summary import has_learnt_nothing, never_learnt, summary_table

LEAST_DIFFERENCE = 0.01
"""A point: nobody buys other labels for less."""


@dataclass(frozen=True, kw_only=True)
class _Basis:
    """What advice rests on, whatever the hours.

    `results` are all rows and `rows` those of the main student, priced by `times`; `as_run` has the
    latter as the study priced them. `prices` are draws (D,) of what an hour of a mix takes. `times`
    are None where rows do not tell, and `uncounted` says why, and which rows are not counted.
    `unlearnt` are mixes that have learnt nothing, which have no curve; `apart` says why no mixes
    can be compared: networks started from different weights, or rows were scored on other labels.
    """

    results: Sequence[TrialResult]
    rows: Sequence[TrialResult]
    metric: str
    have: Mapping[str, float]
    times: AnnotationTimes | None
    curves: Curves
    tables: Mapping[str, Table]
    prices: Mapping[str, Floats]
    crossings: tuple[Crossing, ...]
    unlearnt: tuple[str, ...]
    apart: tuple[str, ...]
    weak: tuple[str, ...]
    uncounted: tuple[str, ...]
    as_run: Sequence[TrialResult]


def advise(
    results: Sequence[TrialResult],
    hours: float,
    metric: str = "pq",
    have: Mapping[str, float] | None = None,
    times: str | None = None,
) -> Advice:
    """Return what a study's rows say about spending some hours.

    Where rows are of several students the one with most rows is taken, and the others are asked
    whether they agree. Where rows tell what annotators did, hours are as uncertain as the ranges
    of the times, and it is said at which times another mix would lead.

    Args:
        results: rows; no other file of the study is needed.
        hours: of annotation, more than 0.
        metric: one of `SCORES`.
        have: hours by mix that have been spent before.
        times: a preset or file that prices the rows anew; None for the times that priced them.

    Raises:
        RecipeError: for another metric, or one that no row has; for a mix of `have` that no row
            has; for `times` where a row does not tell what annotators did.
        TimesError: when the times cannot be read, or lack an action.
    """
    return advise_each(results, [hours], metric, have, times)[0]


def advise_each(
    results: Sequence[TrialResult],
    hours: Sequence[float],
    metric: str = "pq",
    have: Mapping[str, float] | None = None,
    times: str | None = None,
    *,
    is_whole: bool = True,
) -> tuple[Advice, ...]:
    """Return what `advise` says of each number of hours; curves are fitted once for all.

    Flips and combinations take most of the time; without `is_whole` none is looked for.
    """
    as_run = rows_of_main_student(results, metric)
    _check_have(have or {}, as_run)
    # Whether models learn has nothing to do with prices, and is told with the study's own budgets.
    summary = summary_table(as_run)
    weak, nothing_learnt = doubts(as_run), has_learnt_nothing(summary)
    left_out = rows_not_counted(results, as_run)
    table = times_of(results, times)
    priced = _price(results, table)
    rows = rows_of_main_student(priced, metric)
    unlearnt = tuple(never_learnt(summary))
    scores = read_scores(rows, metric, unlearnt)
    curves = None if nothing_learnt else fit_curves(scores)
    if curves is None:
        refuse = partial(_refuse, rows, metric=metric, have=have or {}, weak=(*weak, *left_out))
        return tuple(refuse(own, has_learnt=not nothing_learnt, unlearnt=unlearnt) for own in hours)
    basis = _Basis(
        results=priced,
        rows=rows,
        metric=metric,
        have=have or {},
        times=table,
        curves=curves,
        tables=tabulate(curves),
        prices={} if table is None else draw_prices(rows, table),
        crossings=find_crossings(curves),
        unlearnt=unlearnt,
        apart=(*different_weights(as_run), *filter(None, [other_truth(as_run)])),
        weak=(*weak, *uneven_scatter(summarise(scores))),
        uncounted=left_out
        if table is not None
        else (*left_out, f"how long annotators may take is not counted: {why_no_times(results)}"),
        as_run=as_run,
    )
    return tuple(_advise_at(basis, own, is_whole) for own in hours)


def hours_to_reach(
    results: Sequence[TrialResult], target: float, metric: str = "pq", times: str | None = None
) -> dict[str, HoursNeeded | None]:
    """Return for each mix the hours at which its mean score reaches a target.

    Args:
        results: as `advise` takes them.
        target: in [0, 1].
        metric: one of `SCORES`.
        times: as `advise` takes them; their ranges are not counted.

    Returns:
        The hours by mix; None where the study cannot say.

    Raises:
        RecipeError: for another metric, or one that no row has.
    """
    unlearnt = never_learnt(summary_table(rows_of_main_student(results, metric)))
    rows = rows_of_main_student(_price(results, times_of(results, times)), metric)
    curves = fit_curves(read_scores(rows, metric, unlearnt))
    known = {} if curves is None else curves.mixes
    return {
        mix: hours_for_target(curves, mix, target) if curves and mix in known else None
        for mix in sorted({row.mix for row in rows})
    }


def _price(results: Sequence[TrialResult], times: AnnotationTimes | None) -> Sequence[TrialResult]:
    return results if times is None else reprice(results, times)


def _advise_at(basis: _Basis, hours: float, is_whole: bool) -> Advice:
    """Return the verdict at some hours; what may overturn it weakens it to "cannot tell"."""
    curves, rows = basis.curves, basis.rows
    delta = max(LEAST_DIFFERENCE, curves.seed_deviation)
    sure = SURE_IN_DOUBT if basis.weak else SURE
    predicted = _predict(basis, hours, basis.prices)
    priced = verdict, mix = decide(predicted, delta, sure)
    # The same without the ranges of the times tells whether it hangs on them.
    exact = decide(_predict(basis, hours, {}), delta, sure) if basis.prices else priced
    # What a mix has had counts wherever its curve is asked.
    hours_of = {name: hours + basis.have.get(name, 0.0) for name in curves.mixes}
    # Of what is sold out nobody can buy more, by whatever student.
    on_sale = {
        name: own
        for name, own in hours_of.items()
        if not has_all_images(curves, name, basis.have.get(name, 0.0))
    }
    open_mixes = [name for name in contenders(curves, predicted, hours_of) if name in on_sale]
    dissent = disagreement(basis.results, rows[0].student, predicted, on_sale, basis.metric, delta)
    # Doubts about times spread what is predicted, and must make no answer surer than it is.
    if exact != priced or open_mixes or dissent or basis.apart:
        verdict, mix = CANNOT_TELL, None
    next_run = None
    # One more trial would not help where mixes cannot be compared.
    if verdict == CANNOT_TELL and not basis.apart and (open_mixes or len(predicted) > 1):
        next_run = (
            run_where_nothing_is_known(open_mixes[0], curves, rows, hours_of[open_mixes[0]])
            if open_mixes
            else choose_next_run(curves, predicted, rows, hours_of)
        )
    if next_run is not None:
        next_run = next_run.priced_as(rows, basis.as_run)
    reasons = list_reasons(
        curves,
        hours_of,
        basis.have,
        basis.tables,
        crossings_of_the_best(basis.crossings, predicted),
        open_mixes,
    )
    if not open_mixes and exact != priced and exact[0] != CANNOT_TELL:
        reasons.append(describe_exact(*exact))
    return Advice(
        verdict=verdict,
        mix=mix,
        sure=sure,
        hours=hours,
        metric=basis.metric,
        delta=delta,
        mixes=_describe(curves, predicted, hours_of, open_mixes)
        | dict.fromkeys(basis.unlearnt, UNKNOWN),
        crossings=basis.crossings,
        next_run=next_run,
        # What keeps mixes apart is a caveat of the study as well.
        reasons=tuple(
            dict.fromkeys(
                (
                    *basis.apart,
                    *(describe_unlearnt(mix, basis.have) for mix in basis.unlearnt),
                    *reasons,
                    *filter(None, [dissent]),
                    *basis.weak,
                    *basis.uncounted,
                )
            )
        ),
        have=basis.have,
        flips=_find_flips(basis, predicted, hours) if is_whole and not basis.apart else (),
        combination=best_combination(
            basis.tables, predicted, hours, basis.have, basis.prices, delta
        )
        if is_whole and not basis.apart
        else None,
    )


def _find_flips(basis: _Basis, compared: Iterable[str], hours: float) -> tuple[Flip, ...]:
    if basis.times is None:
        return ()
    shares = {mix: of for mix, of in shares_of(basis.rows, basis.times).items() if mix in compared}
    return find_flips(basis.tables, shares, basis.times, hours, basis.have)


def _predict(basis: _Basis, hours: float, prices: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return draws (D,) of the score once the hours are spent on a mix, of those that are known."""
    found = {}
    for mix in basis.curves.mixes:
        own = hours + basis.have.get(mix, 0.0)
        # Whoever has all images of a mix has nothing to buy of it.
        is_sold_out = has_all_images(basis.curves, mix, basis.have.get(mix, 0.0))
        if is_sold_out or why_not(basis.curves, mix, own) is not None:
            continue
        table = basis.tables.get(mix)
        # Of some mixes the table begins where all their images are bought.
        is_in_table = table is not None and own >= table.hours[0] * (1 - 1e-9)
        if is_in_table and (basis.have or mix in prices):
            parts = drawn_hours({mix: hours}, basis.have, prices, basis.tables)
            found[mix] = score_together(basis.tables, parts)
        elif (alone := draws(basis.curves, mix, own)) is not None:
            found[mix] = alone
    return found


def _check_have(have: Mapping[str, float], rows: Sequence[TrialResult]) -> None:
    mixes = sorted({row.mix for row in rows})
    for mix in have:
        if mix not in mixes:
            raise RecipeError(f"there is no mix {mix!r} in these rows: use {', '.join(mixes)}")


def _describe(
    curves: Curves,
    predicted: Mapping[str, Floats],
    hours_of: Mapping[str, float],
    open_mixes: Sequence[str],
) -> dict[str, MixAdvice]:
    regrets = regret_draws(predicted)
    chances = chances_of_best(regrets)
    # Nobody is the best of one, and nobody knows who is while another may be better.
    is_compared = len(predicted) > 1 and not open_mixes
    found = {}
    for mix in curves.mixes:
        if mix not in predicted:
            found[mix] = UNKNOWN
            continue
        low, high = np.quantile(predicted[mix], [LOW, HIGH])
        found[mix] = MixAdvice(
            score=float(predicted[mix].mean()),
            low=float(low),
            high=float(high),
            p_best=chances[mix] if is_compared else None,
            regret=float(regrets[mix].mean()) if is_compared else None,
            gain_per_hour=gain_of_next_hour(curves, mix, hours_of[mix]),
        )
    return found


def _refuse(
    rows: Sequence[TrialResult],
    hours: float,
    *,
    metric: str,
    have: Mapping[str, float],
    weak: Sequence[str],
    has_learnt: bool,
    unlearnt: Sequence[str],
) -> Advice:
    """Return advice that predicts nothing: chance cannot be told, or no model has learnt."""
    reasons, next_run = list(weak), None
    # More trials of models that learn nothing would not help.
    if has_learnt:
        learnt = [row for row in rows if row.mix not in unlearnt]
        left_out = [describe_unlearnt(mix, have) for mix in unlearnt]
        reasons = [describe_unrepeated(unlearnt), *left_out, *weak]
        last = learnt[-1]
        next_run = NextRun.of(last.mix, last.budget_hours, rows, is_new_seed=True)
    return Advice(
        verdict=CANNOT_TELL,
        mix=None,
        sure=SURE_IN_DOUBT if weak else SURE,
        hours=hours,
        metric=metric,
        delta=LEAST_DIFFERENCE,
        mixes=dict.fromkeys(sorted({row.mix for row in rows}), UNKNOWN),
        crossings=(),
        next_run=next_run,
        reasons=tuple(reasons),
        have=have,
        flips=(),
        combination=None,
    )
