"""Draw power laws that fit the cells of several mixes, all at once.

The mean score of mix m at h hours is A_m - b_m h^(-c_m). Given the exponent c_m and the noise this
is linear: both go over a grid, and the rest is a normal distribution. A_m is cut off below the best
score seen and above 1, and b_m, given A_m, below 0. How likely a negative b_m would have been does
not weigh A_m: a simplification, that counts where a mix's scores fall.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtri_exp

from studies.advice.cells import Cells, Floats, MixCells

TYPICAL_EXPONENT = 0.4
EXPONENT_SPREAD = 0.6
"""Standard deviation of log c over mixes of all studies; half of the variance is the study's."""

DROP_SPREAD = 1.0
"""Standard deviation of b before anything is seen, the smallest budget being the unit of hours."""

LEAST_NOISE = 5e-4
"""Scores are not believed to be more exact than that, however alike a few seeds are."""

MISFIT_SPREAD = 0.004
"""How far the mean scores of budgets are from a power law, before anything is seen."""

_EXPONENTS, _CENTRES = 25, 9
"""Sizes of the grids over a mix's exponent and the study's typical exponent."""

_NOISES = np.geomspace(0.6, 1.8, 6)
"""The grid over the noise, in units of its estimate."""

_MISFITS = MISFIT_SPREAD * np.array([0, 0.25, 0.5, 1, 1.5, 2.25, 3.5, 5, 8])
"""The grid over the misfit."""


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """Draws (D,) of one mix: `asymptote - drop * (hours / unit_hours) ** -exponent`."""

    unit_hours: float
    asymptote: Floats
    drop: Floats
    exponent: Floats

    def at(self, hours: Floats) -> Floats:
        """Return scores (D, G) at hours (G,)."""
        ratio = np.log(hours / self.unit_hours)
        return np.asarray(
            self.asymptote[:, None]
            - self.drop[:, None] * np.exp(-self.exponent[:, None] * ratio[None])
        )


def draw_power_laws(
    cells: Cells, fitted: Sequence[str], num_draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats, dict[str, PowerLaw]]:
    """Draw noise, misfit and curves from their distribution given the cells.

    A draw is one state of the world: its noise, its misfit (how far the mean scores are from power
    laws) and its typical exponent are the same for all mixes. Repeated trials tell noise from
    misfit.

    Args:
        cells: with at least one degree of freedom.
        fitted: the mixes that get a curve; each has at least three budgets.
        num_draws: D.
        rng: where chance comes from.

    Returns:
        The standard deviations (D,) of one score's noise and of the misfit, and the curve of each
        mix.
    """
    assert cells.noise is not None
    start = max(cells.noise, LEAST_NOISE)
    noise, misfit = (g.ravel() for g in np.meshgrid(start * _NOISES, _MISFITS))  # (K,)
    # The grid is not even: each point stands for the misfits around it.
    prior = np.log(np.gradient(_MISFITS)).repeat(len(_NOISES))
    prior -= np.log1p((misfit / MISFIT_SPREAD) ** 2)
    within = (
        prior
        - cells.degrees * np.log(noise)
        - max(cells.residual_squares, LEAST_NOISE**2) / (2 * noise**2)
    )
    # Half of the spread of log c is of the study, half of the mix.
    half = EXPONENT_SPREAD / np.sqrt(2)
    centre = np.log(TYPICAL_EXPONENT) + half * np.linspace(-2.5, 2.5, _CENTRES)
    log_c = np.log(TYPICAL_EXPONENT) + EXPONENT_SPREAD * np.linspace(-2.5, 2.5, _EXPONENTS)
    log_prior = _normalise(-((log_c - centre[:, None]) ** 2) / (2 * half**2))  # (U, C)
    of_centre = _normalise(-((centre - np.log(TYPICAL_EXPONENT)) ** 2) / (2 * half**2))  # (U,)
    given = {name: _Given.of(cells.mixes[name], noise, misfit, np.exp(log_c)) for name in fitted}
    joint = within[:, None] + of_centre  # (K, U)
    tables = {}
    for name, linear in given.items():
        table = linear.log_evidence[:, None] + log_prior  # (K, U, C)
        joint = joint + logsumexp(table, axis=-1)
        tables[name] = table
    flat = _draw_places(np.tile(joint.reshape(1, -1), (num_draws, 1)), rng)
    at_noise, at_centre = np.divmod(flat, _CENTRES)
    laws = {}
    for name, linear in given.items():
        at_exponent = _draw_places(tables[name][at_noise, at_centre], rng)
        asymptote, drop = linear.draw(at_noise, at_exponent, rng)
        laws[name] = PowerLaw(
            unit_hours=float(cells.mixes[name].hours[0]),
            asymptote=asymptote,
            drop=drop,
            exponent=np.exp(log_c)[at_exponent],
        )
    return noise[at_noise], misfit[at_noise], laws


@dataclass(frozen=True, kw_only=True)
class _Given:
    """What is known of A and b of a mix, given each of K noises with misfits and C exponents.

    A is normal, cut off outside of [`best`, 1]; b given A is normal, cut off below 0. Scores are
    counted from `best`, which keeps the sums of squares small.
    """

    best: float
    mean: Floats  # (K, C), of A
    deviation: Floats  # (K, C), of A
    drop_at_best: Floats  # (K, C), mean of b where A is the best score seen
    drop_slope: Floats  # (K, C), how it rises with A
    drop_deviation: Floats  # (K, C)
    log_evidence: Floats  # (K, C)

    @classmethod
    def of(cls, mix: MixCells, noise: Floats, misfit: Floats, exponent: Floats) -> "_Given":
        best = min(float(mix.mean.max()), 1 - 1e-3)
        y = mix.mean - best
        x = (mix.hours / mix.hours[0]) ** -exponent[:, None]  # (C, J)
        weight = 1 / (noise[:, None] ** 2 / mix.count + misfit[:, None] ** 2)  # (K, J)
        ones, crossed = weight.sum(axis=1)[:, None], weight @ x.T
        squares = weight @ (x**2).T + DROP_SPREAD**-2  # (K, C)
        moment, crossed_moment = (weight @ y)[:, None], (weight * y) @ x.T
        precision = ones - crossed**2 / squares
        mean = (moment - crossed * crossed_moment / squares) / precision
        deviation = precision**-0.5
        low, high = (0 - mean) / deviation, (1 - best - mean) / deviation
        squared_error = (weight @ y**2)[:, None] - crossed_moment**2 / squares - precision * mean**2
        return cls(
            best=best,
            mean=mean,
            deviation=deviation,
            drop_at_best=-crossed_moment / squares,
            drop_slope=crossed / squares,
            drop_deviation=squares**-0.5,
            log_evidence=(
                np.log(weight).sum(axis=1)[:, None] / 2
                - squared_error / 2
                - np.log(squares * precision) / 2
                + _log_mass(low, high)
            ),
        )

    def draw(
        self, k: NDArray[np.int64], c: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Return a draw (D,) of A and of b for places (D,) in the grids of noise and exponents."""
        mean, deviation = self.mean[k, c], self.deviation[k, c]
        above = mean + deviation * _draw_cut_off(
            -mean / deviation, (1 - self.best - mean) / deviation, rng
        )
        drop, spread = self.drop_at_best[k, c] + self.drop_slope[k, c] * above, self.drop_deviation
        spread = spread[k, c]
        drop = drop + spread * _draw_cut_off(-drop / spread, np.full_like(drop, np.inf), rng)
        return self.best + above, drop


def _normalise(log_weights: Floats) -> Floats:
    return np.asarray(log_weights - logsumexp(log_weights, axis=-1, keepdims=True))


def _draw_places(log_weights: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a place (D,) for each row of (D, P) weights, which need not sum to one."""
    total = np.exp(log_weights - log_weights.max(axis=1, keepdims=True)).cumsum(axis=1)
    chance = rng.random((len(total), 1)) * total[:, -1:]
    return np.asarray((total < chance).sum(axis=1), dtype=np.int64)


def _log_mass(low: Floats, high: Floats) -> Floats:
    """Return the logarithm of a standard normal's probability of [low, high]."""
    low, high, _ = _to_the_left(low, high)
    upper, lower = log_ndtr(high), log_ndtr(low)
    return np.asarray(upper + np.log1p(-np.exp(lower - upper)))


def _draw_cut_off(low: Floats, high: Floats, rng: np.random.Generator) -> Floats:
    """Draw from a standard normal that is cut off outside of [low, high], (D,) each."""
    low, high, flipped = _to_the_left(low, high)
    mass = _log_mass(low, high)
    # Not 0, whose logarithm is not finite.
    chance = 1 - rng.random(len(low))
    found = ndtri_exp(np.minimum(np.logaddexp(log_ndtr(low), np.log(chance) + mass), 0.0))
    return np.asarray(np.where(flipped, -1, 1) * np.clip(found, low, high))


def _to_the_left(low: Floats, high: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Mirror intervals in the right tail, where probabilities cannot be told from one."""
    flipped = low > 0
    return np.where(flipped, -high, low), np.where(flipped, -low, high), flipped
