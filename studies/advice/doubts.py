"""What weakens a study's verdict: poor models, students that disagree, mixes that may surprise."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import f as f_distribution

from annotools.commands.tables import percent
from studies.advice.cells import LOW, Cells, Floats, read_scores
from studies.advice.curves import Curves, draws, fit_curves
from studies.advice.power_law import LEAST_NOISE
from studies.advice.verdict import regret_draws
from studies.answers import answer, caveats
from studies.results import TrialResult
from studies.summary import has_learnt_nothing, summary_table

UNEVEN = 0.05
"""Probability with which a study whose scores scatter alike is said to have a mix that does not."""

_NO_DEGREE = 1e-6
"""Fewer degrees are none but for rounding."""


def doubts(rows: Sequence[TrialResult]) -> tuple[str, ...]:
    """Return in sentences what makes all scores doubtful; none where all is well."""
    if has_learnt_nothing(summary_table(rows)):
        return (answer(rows), *caveats(rows))
    return caveats(rows)


def different_weights(rows: Sequence[TrialResult]) -> tuple[str, ...]:
    """Say in a clause that networks started from different weights; nothing where they did not."""
    mixes_of: dict[str, list[str]] = {}
    for row in rows:
        mixes = mixes_of.setdefault(row.weights, [])
        if f'"{row.mix}"' not in mixes:
            mixes.append(f'"{row.mix}"')
    if len(mixes_of) < 2:
        return ()
    named = "; ".join(f"{', '.join(mixes)} from {name}" for name, mixes in mixes_of.items())
    return (f"networks started from different weights: {named}",)


def uneven_scatter(cells: Cells) -> tuple[str, ...]:
    """Say in clauses which mixes scatter more than the others, beyond chance; mostly of none.

    Curves take one scatter for all mixes, which is then too little for such a one. It is the F test
    of its residuals against the others', at `UNEVEN` over the number of mixes. Each mix pays for
    what it tells of seeds, so that one with seeds of its own may have nothing left to test.

    Args:
        cells: of a study.
    """
    told = []
    for name, mix in cells.mixes.items():
        own, rest = mix.degrees, cells.degrees - mix.degrees
        if min(own, rest) < _NO_DEGREE:
            continue
        variance = mix.residual_squares / own
        of_rest = max(LEAST_NOISE**2, (cells.residual_squares - mix.residual_squares) / rest)
        if f_distribution.sf(variance / of_rest, own, rest) < UNEVEN / len(cells.mixes):
            told.append(
                f'scores of "{name}" scatter more than those of the others (by '
                f"{percent(variance**0.5)} and {percent(of_rest**0.5)} points); intervals take one "
                "scatter for all, so that its own are too narrow, and those of the others too wide"
            )
    return tuple(told)


def contenders(
    curves: Curves, predicted: Mapping[str, Floats], hours_of: Mapping[str, float]
) -> list[str]:
    """Return the mixes that are not predicted and could still be best, the best measured first.

    A mix that has never scored what the leading mix is sure to reach is none; with fewer hours than
    its smallest budget it would score less than there.

    Args:
        curves: of the study.
        predicted: draws (D,) of the mixes that are compared.
        hours_of: those that each mix will have had.
    """
    sure = max((float(np.quantile(found, LOW)) for found in predicted.values()), default=0.0)
    best = {
        mix: float(curve.measured[0] if hours_of[mix] < curve.hours[0] else curve.measured.max())
        for mix, curve in curves.mixes.items()
        if mix not in predicted
    }
    return sorted((mix for mix in best if best[mix] >= sure), key=lambda mix: -best[mix])


def disagreement(
    results: Sequence[TrialResult],
    student: str,
    predicted: Mapping[str, Floats],
    hours_of: Mapping[str, float],
    metric: str,
    delta: float,
) -> str:
    """Return in a sentence which students would buy something else; empty if none.

    A student disagrees where the mix that leads is, more likely than not, `delta` or more behind.

    Args:
        results: rows of all students.
        student: the one that the advice is of.
        predicted: its draws (D,) of each mix.
        hours_of: those that each mix will have had.
        metric: of the scores.
        delta: a difference that matters.
    """
    if not predicted:
        return ""
    leader = max(predicted, key=lambda mix: float(predicted[mix].mean()))
    others = []
    for other in sorted({row.student for row in results} - {student}):
        own = read_scores([row for row in results if row.student == other], metric)
        curves = fit_curves(own) if len(own.score) else None
        both = [] if curves is None else [mix for mix in hours_of if mix in curves.mixes]
        found = {m: d for m in both if curves and (d := draws(curves, m, hours_of[m])) is not None}
        if leader in found and np.mean(regret_draws(found)[leader] < delta) < 0.5:
            best = max(found, key=lambda mix: float(found[mix].mean()))
            others.append(f'{other} prefers "{best}"')
    return f'students disagree: {student} prefers "{leader}", {", ".join(others)}' * bool(others)
