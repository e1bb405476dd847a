"""Learning curves over annotation hours, with all that is uncertain about them as draws.

A score is the mix's curve, plus an effect of the seed that all mixes share, plus noise. The curve
goes through the measured means of the budgets. From the last it goes on as a power law rises that
fits all of them (`studies.advice.power_law`), and not further than a study can say.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from studies.advice.cells import Cells, Floats, MixCells, Scores, summarise
from studies.advice.power_law import LEAST_NOISE, PowerLaw, draw_power_laws

NUM_DRAWS = 4000

REACH = 4.0
"""How many times as far as its largest budget a curve is extrapolated."""

DISCREPANCY = 0.004
"""Standard deviation of what a curve is off for each doubling of hours beyond the last budget; the
misfit of the budgets before comes on top."""

LEAST_BUDGETS, LEAST_SEEDS = 3, 2
"""With fewer a mix has measured points alone."""

LARGEST_FALL = 2.0
"""A mix that falls by more deviations of its noise does not follow a power law."""

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class MixCurve:
    """One mix: budgets (J,) in hours, measured means (J,), and D draws of the curve.

    `means` are draws (D, J) of the score at the budgets. `law` and `tilt` (D,), the discrepancy in
    a doubling, are None where no law is said to hold beyond them; `refusal` is why. `is_joined`
    tells whether something is said between budgets. A mix that `is_exhausted` has bought all its
    images with its last hours, and scores the same with more.
    """

    hours: Floats
    measured: Floats
    means: Floats
    is_joined: bool
    law: PowerLaw | None
    tilt: Floats | None
    refusal: str | None
    is_exhausted: bool

    @property
    def end_hours(self) -> float:
        """The most hours at which curves are looked at."""
        is_known = self.is_exhausted or self.law is not None
        return float(self.hours[-1]) * (REACH if is_known else 1)

    def used(self, hours: Floats) -> Floats:
        """Return how many of some hours the mix can use."""
        return np.minimum(hours, self.hours[-1]) if self.is_exhausted else hours


@dataclass(frozen=True, kw_only=True)
class Curves:
    """D draws of the curves of all mixes; a draw is the same state of the world for each.

    `noise` (D,) is the standard deviation of a score whose seed is known, `shift` (D,) the mean
    effect of all seeds there are less that of the seeds seen, which the curves contain.
    """

    mixes: Mapping[str, MixCurve]
    noise: Floats
    shift: Floats
    seed_deviation: float


def fit_curves(scores: Scores, seed: int = 0, num_draws: int = NUM_DRAWS) -> Curves | None:
    """Draw the curves of all mixes from their distribution given the scores.

    Args:
        scores: of one student, at least one.
        seed: of the draws.
        num_draws: D.

    Returns:
        The curves; None where nothing was repeated, so that nothing tells noise from truth.
    """
    cells = summarise(scores)
    if cells.noise is None or cells.seed_deviation is None:
        return None
    rng = np.random.default_rng(seed)
    refusals = {name: _refuse(mix, cells.noise) for name, mix in cells.mixes.items()}
    fitted = [name for name, refusal in refusals.items() if refusal is None]
    noise, misfit, laws = draw_power_laws(cells, fitted, num_draws, rng)
    shift = _draw_shift(cells, noise, rng)
    mixes = {}
    for name, mix in cells.mixes.items():
        scatter = rng.standard_normal((num_draws, len(mix.hours))) / np.sqrt(mix.count)
        mixes[name] = MixCurve(
            hours=mix.hours,
            measured=mix.mean,
            means=mix.mean + noise[:, None] * scatter + shift[:, None],
            is_joined=_has_enough(mix),
            law=laws.get(name),
            tilt=(DISCREPANCY + misfit) * rng.standard_normal(num_draws) if name in laws else None,
            refusal=refusals[name],
            is_exhausted=name in scores.exhausted,
        )
    return Curves(mixes=mixes, noise=noise, shift=shift, seed_deviation=cells.seed_deviation)


def draws(curves: Curves, mix: str, hours: float) -> Floats | None:
    """Return draws (D,) of a mix's mean score at some hours; None where `why_not` has a reason."""
    if why_not(curves, mix, hours) is not None:
        return None
    return draws_over(curves, mix, np.array([hours]))[:, 0]


def draws_over(curves: Curves, mix: str, hours: Floats) -> Floats:
    """Return draws (D, G) of a mix's mean score, in [0, 1], at hours (G,).

    They are not a number where `why_not` has a reason.
    """
    curve = curves.mixes[mix]
    hours = curve.used(hours)
    found = np.full((len(curves.noise), len(hours)), np.nan)
    for place, own in enumerate(curve.hours):
        found[:, np.abs(np.log(hours / own)) < _ROUNDING] = curve.means[:, [place]]
    unknown = np.isnan(found[0])
    first, last = curve.hours[0], curve.hours[-1]
    inside = unknown & (first < hours) & (hours < last)
    if curve.is_joined and inside.any():
        joined = PchipInterpolator(np.log(curve.hours), curve.means, axis=1)
        found[:, inside] = joined(np.log(hours[inside]))
    beyond = unknown & (hours > last) & (hours <= REACH * last * (1 + _ROUNDING))
    if curve.law is not None and curve.tilt is not None and beyond.any():
        doublings = np.log2(hours[beyond] / last)
        rise = curve.law.at(hours[beyond]) - curve.law.at(curve.hours[-1:])
        found[:, beyond] = curve.means[:, [-1]] + rise + curve.tilt[:, None] * doublings
    return np.asarray(np.clip(found, 0, 1))


def why_not(curves: Curves, mix: str, hours: float) -> str | None:
    """Return in a clause why nothing is said of a mix at some hours; None where something is."""
    curve = curves.mixes[mix]
    first, last = float(curve.hours[0]), float(curve.hours[-1])
    hours = float(curve.used(np.array(hours)))
    if np.any(np.abs(np.log(hours / curve.hours)) < _ROUNDING):
        return None
    if hours < first:
        return f"its smallest budget is {first:g} h"
    if hours < last:
        return None if curve.is_joined else curve.refusal
    if hours > REACH * last * (1 + _ROUNDING):
        return f"beyond what this study can say: its largest budget is {last:g} h"
    return curve.refusal


def has_all_images(curves: Curves, mix: str, hours: float) -> bool:
    """Return whether some hours buy all images of a mix, so that more would buy nothing."""
    curve = curves.mixes[mix]
    return curve.is_exhausted and bool(hours >= curve.hours[-1] * (1 - _ROUNDING))


def gain_of_next_hour(curves: Curves, mix: str, hours: float) -> float | None:
    """Return how much the mean score rises in the next hour, by the power law, or None."""
    curve = curves.mixes[mix]
    if has_all_images(curves, mix, hours):
        return 0.0
    if curve.law is None or why_not(curves, mix, hours) is not None:
        return None
    now, then = curve.law.at(curve.used(np.array([hours, hours + 1]))).mean(axis=0)
    return float(then - now)


def _has_enough(mix: MixCells) -> bool:
    return len(mix.hours) >= LEAST_BUDGETS and mix.num_seeds >= LEAST_SEEDS


def _refuse(mix: MixCells, noise: float) -> str | None:
    """Return in a clause why a mix is not extrapolated, None where it is."""
    if len(mix.hours) < LEAST_BUDGETS:
        return f"it has fewer than {LEAST_BUDGETS} budgets that bought different images"
    if mix.num_seeds < LEAST_SEEDS:
        return f"it has fewer than {LEAST_SEEDS} seeds"
    falls = np.maximum.accumulate(mix.mean) - mix.mean
    if falls.max() > LARGEST_FALL * max(noise, LEAST_NOISE):
        lowest = int(falls.argmax())
        return f"its score falls by {falls[lowest]:.3f} up to {mix.hours[lowest]:g} h"
    return None


def _draw_shift(cells: Cells, noise: Floats, rng: np.random.Generator) -> Floats:
    """Draw the mean effect of all seeds less that of the seeds seen, (D,)."""
    effects = cells.seed_effects
    # One imagined seed as far off as noise keeps two alike seeds from claiming that all are.
    squares = effects @ effects + noise**2
    variance = squares / rng.chisquare(len(effects), len(noise)) - noise**2 / cells.trials_per_seed
    return np.asarray(
        np.sqrt(np.maximum(variance, 0) / len(effects)) * rng.standard_normal(len(noise))
    )
