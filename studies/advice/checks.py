"""Checks of a study's curves against its own rows: a budget left out, and seeds drawn again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from annotools.commands.tables import percent
from annotools.random_streams import stream
from studies.advice.cells import HIGH, LOW, Floats, Scores, summarise
from studies.advice.curves import LEAST_BUDGETS, LEAST_SEEDS, REACH, Curves, draws, fit_curves

_AHEAD = 2.0
"""Seeds are drawn again for a prediction at so many times the largest budget."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A mix's largest budget as predicted from the smaller ones: 90 % interval, and the truth."""

    mix: str
    hours: float
    low: float
    high: float
    measured: float


def hold_out_largest(scores: Scores) -> tuple[HeldOut, ...]:
    """Predict the largest budget of each mix from the smaller ones; one case, not a proof.

    Mixes are left out whose smaller budgets do not reach that far.
    """
    largest = {str(mix): scores.hours[scores.mix == mix].max() for mix in np.unique(scores.mix)}
    is_last = scores.hours == np.array([largest[str(mix)] for mix in scores.mix])
    if is_last.all():
        return ()
    curves, cells = fit_curves(scores.take(~is_last)), summarise(scores)
    found = []
    for mix, hours in largest.items() if curves is not None else ():
        assert curves is not None
        if mix not in curves.mixes:
            continue
        predicted = draws(curves, mix, float(hours))
        if predicted is None:
            continue
        # The trials held out have the seeds of the others, and noise of their own.
        scatter = stream(0, "hold out").standard_normal(len(predicted))
        scatter *= curves.noise / np.sqrt(cells.mixes[mix].count[-1])
        low, high = np.quantile(predicted - curves.shift + scatter, [LOW, HIGH])
        measured = float(cells.mixes[mix].mean[-1])
        found.append(
            HeldOut(
                mix=mix, hours=float(hours), low=float(low), high=float(high), measured=measured
            )
        )
    return tuple(found)


def bootstrap_seeds(
    scores: Scores, hours: Mapping[str, float], num_resamples: int = 50, seed: int = 0
) -> dict[str, Floats]:
    """Return for each mix the mean prediction (R,) for resamples of whole seeds.

    A seed is a curve: its trials come and go together. Resamples that say nothing are left out.

    Args:
        scores: of a study.
        hours: at which each mix is predicted.
        num_resamples: how often seeds are drawn.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    seeds = np.unique(scores.seed)
    found: dict[str, list[float]] = {mix: [] for mix in hours}
    for _ in range(num_resamples):
        chosen = rng.choice(seeds, len(seeds))
        places = [np.flatnonzero(scores.seed == s) for s in chosen]
        resample = scores.take(np.concatenate(places))
        # A seed that was drawn twice counts as two.
        numbers = np.repeat(np.arange(len(seeds)), [len(p) for p in places])
        curves = fit_curves(
            replace(resample, seed=numbers, exhausted=scores.exhausted),
            num_draws=200,
        )
        for mix in hours.keys() & (curves.mixes.keys() if curves is not None else set()):
            assert curves is not None
            predicted = draws(curves, mix, hours[mix])
            if predicted is not None:
                found[mix].append(float(predicted.mean()))
    return {mix: np.array(means) for mix, means in found.items()}


def describe_checks(scores: Scores, curves: Curves) -> tuple[str, ...]:
    """Return in sentences how the curves did on their own rows, or why that cannot be told.

    Args:
        scores: of a study.
        curves: fitted to them.
    """
    held_out = hold_out_largest(scores)
    told = [
        f'"{case.mix}" at {case.hours:g} h: from the smaller budgets {percent(case.low)} to '
        f"{percent(case.high)} % were predicted, {percent(case.measured)} % were measured, "
        + ("inside." if case.low <= case.measured <= case.high else "outside.")
        for case in held_out
    ]
    without = sorted(curves.mixes.keys() - {case.mix for case in held_out})
    if without:
        names = ", ".join(f'"{mix}"' for mix in without)
        told.append(
            f"The largest budget of {names} was not predicted: that "
            f"takes {LEAST_BUDGETS} smaller ones with {LEAST_SEEDS} seeds, of which none falls, "
            f"and the last is at least 1/{REACH:g} of it."
        )
    ahead = {mix: _AHEAD * float(curve.hours[-1]) for mix, curve in curves.mixes.items()}
    for mix, means in bootstrap_seeds(scores, ahead).items():
        predicted = draws(curves, mix, ahead[mix])
        if predicted is None or len(means) < 2:
            continue
        ends = [percent(end) for of in (predicted, means) for end in np.quantile(of, [LOW, HIGH])]
        told.append(
            f'"{mix}" at {ahead[mix]:g} h: {ends[0]} to {ends[1]} % are predicted; with whole '
            f"seeds drawn again the prediction itself lies between {ends[2]} and {ends[3]} %."
        )
    return tuple(told)
