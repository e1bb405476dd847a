"""Worlds with a known answer, from which rows of studies are drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies.results import TrialResult

BUDGETS_HOURS = (1.0, 2.0, 4.0, 8.0, 16.0)
NUM_SEEDS = 3

NOISE, SEED_SPREAD = 0.01, 0.01
"""Standard deviations of a score, of its own and of what mixes with one seed share."""

Curve = Callable[[float], float]
"""The mean score in [0, 1] at some hours."""

Truth = dict[str, Curve]
"""The curve of each mix."""

BOXES, HALF, FULL = "boxes", "half", "full"


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """A score of `limit - drop * hours ** -exponent`."""

    limit: float
    drop: float
    exponent: float

    def __call__(self, hours: float) -> float:
        """Return the score."""
        return float(self.limit - self.drop * hours**-self.exponent)


def draw_rows(truth: Truth, rng: np.random.Generator) -> list[TrialResult]:
    """Draw a study: each mix at each budget with each seed, in PQ."""
    effects = SEED_SPREAD * rng.standard_normal(NUM_SEEDS)
    return [
        make_row(mix, hours, seed, curve(hours) + effects[seed] + NOISE * rng.standard_normal())
        for mix, curve in truth.items()
        for hours in BUDGETS_HOURS
        for seed in range(NUM_SEEDS)
    ]


def make_row(mix: str, hours: float, seed: int, pq: float) -> TrialResult:
    """Return a finished trial's row with a PQ and nothing else of interest."""
    undefined: dict[str, Any] = dict.fromkeys(
        (
            "sq", "dq", "pq_things", "sq_things", "dq_things", "pq_stuff", "sq_stuff",
            "dq_stuff", "ap_vol", "miou", "miou_semantic",
        )
    )  # fmt: skip
    return TrialResult(
        study="world",
        mix=mix,
        budget_hours=hours,
        spent_hours=hours,
        images={mix: 1},
        seed=seed,
        pq=float(np.clip(pq, 0, 1)),
        seconds=60 * hours,
        digest="world",
        code_version="world",
        **undefined,
    )


def draw_power_law(rng: np.random.Generator, limit: float | None = None) -> PowerLaw:
    """Draw a curve as the model expects them, that ends within some points of a limit."""
    limit = rng.uniform(0.5, 0.8) if limit is None else limit + rng.uniform(-0.05, 0.05)
    exponent = 0.4 * np.exp(0.6 * rng.standard_normal())
    return PowerLaw(limit=limit, drop=limit * rng.uniform(0.2, 0.7), exponent=exponent)


def power_laws(rng: np.random.Generator) -> Truth:
    """Where the model is true."""
    limit = rng.uniform(0.5, 0.8)
    return {mix: draw_power_law(rng, limit) for mix in (BOXES, HALF, FULL)}


def logarithmic(rng: np.random.Generator) -> Truth:
    """Scores that rise by as much with every doubling."""

    def draw() -> Curve:
        start, rise = rng.uniform(0.35, 0.45), rng.uniform(0.01, 0.04)
        return lambda hours: start + rise * np.log2(hours)

    return {mix: draw() for mix in (BOXES, HALF, FULL)}


def exponential(rng: np.random.Generator) -> Truth:
    """Scores that settle faster than any power law."""

    def draw() -> Curve:
        top, drop, scale = rng.uniform(0.6, 0.7), rng.uniform(0.1, 0.3), rng.uniform(2, 8)
        return lambda hours: top - drop * np.exp(-hours / scale)

    return {mix: draw() for mix in (BOXES, HALF, FULL)}


def plateau(rng: np.random.Generator) -> Truth:
    """Scores that rise as a power law and then not at all."""
    limit = rng.uniform(0.5, 0.8)

    def draw() -> Curve:
        law, end = draw_power_law(rng, limit), rng.uniform(3, 12)
        return lambda hours: law(min(hours, end))

    return {mix: draw() for mix in (BOXES, HALF, FULL)}


def dip(rng: np.random.Generator) -> Truth:
    """Boxes fall by 5 to 10 points after their peak; the others follow power laws."""
    truth, fall = power_laws(rng), rng.uniform(0.05, 0.1)
    law = truth[BOXES]
    return truth | {BOXES: lambda h: law(min(h, 4)) - fall * min(max(np.log2(h / 4), 0) / 2, 1)}


def double_descent(rng: np.random.Generator) -> Truth:
    """Boxes lose 5 to 10 points around 4 hours and win them back."""
    truth, fall = power_laws(rng), rng.uniform(0.05, 0.1)
    law = truth[BOXES]
    return truth | {BOXES: lambda h: law(h) - fall * np.exp(-(np.log2(h / 4) ** 2))}


def null(rng: np.random.Generator) -> Truth:
    """All mixes are alike."""
    return dict.fromkeys((BOXES, HALF, FULL), draw_power_law(rng))


def boxes_win(rng: np.random.Generator) -> Truth:
    """Boxes are better at all hours, by 2 to 6 points with many."""
    limit, lead = rng.uniform(0.6, 0.7), rng.uniform(0.02, 0.06)
    return {
        BOXES: PowerLaw(limit=limit, drop=0.2, exponent=0.5),
        HALF: PowerLaw(limit=limit - lead / 2, drop=0.22, exponent=0.5),
        FULL: PowerLaw(limit=limit - lead, drop=0.25, exponent=0.5),
    }


def masks_win(rng: np.random.Generator) -> Truth:
    """Masks are better at all hours, by 2 to 6 points with many."""
    truth = boxes_win(rng)
    return {BOXES: truth[FULL], HALF: truth[HALF], FULL: truth[BOXES]}


def crossing(rng: np.random.Generator) -> Truth:
    """Boxes lead up to some hours between the budgets, and masks beyond."""
    at = rng.uniform(3, 12)
    limit = rng.uniform(0.65, 0.75)
    boxes = PowerLaw(limit=limit - 0.1, drop=0.1, exponent=0.5)
    # Both have the same score at the crossing.
    full = PowerLaw(limit=limit, drop=(0.1 + 0.1 * at**-0.5) * at**0.4, exponent=0.4)
    half = PowerLaw(limit=limit - 0.06, drop=0.25, exponent=0.45)
    return {BOXES: boxes, HALF: half, FULL: full}


def same_price(rng: np.random.Generator) -> Truth:
    """A mask costs what a box costs: as many images, and better labels."""
    full = draw_power_law(rng)
    worth = rng.uniform(0.85, 0.92)
    return {
        FULL: full,
        HALF: lambda h: (1 + worth) / 2 * full(h),
        BOXES: lambda h: worth * full(h),
    }


WORLDS: dict[str, Callable[[np.random.Generator], Truth]] = {
    "power laws": power_laws,
    "logarithmic": logarithmic,
    "exponential": exponential,
    "plateau": plateau,
    "dip": dip,
    "double descent": double_descent,
    "all alike": null,
    "boxes win": boxes_win,
    "masks win": masks_win,
    "crossing": crossing,
    "same price": same_price,
}
