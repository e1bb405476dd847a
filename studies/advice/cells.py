"""A study's scores as cells, one for each mix and budget, apart from what belongs to a seed."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import isclose

import numpy as np
from numpy.typing import NDArray

from annotools.errors import RecipeError
from annotools.records import NO_LABEL
from studies.results import TrialResult
from studies.splits import LEFT_SHARE
from studies.summary import SCORES

Floats = NDArray[np.float64]

LOW, HIGH = 0.05, 0.95
"""The quantiles between which 90 % intervals lie."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What was measured, an entry for each of N trials; scores are in [0, 1].

    `seed` says which trials bought the same images first. Mixes that are `exhausted` have bought
    all their images with their largest hours, which are those that these take.
    """

    mix: NDArray[np.str_]
    hours: Floats
    seed: NDArray[np.int64]
    score: Floats
    exhausted: frozenset[str] = frozenset()

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Scores":
        """Return some of the trials: (N,) true for those, or their places."""
        return Scores(
            mix=self.mix[chosen],
            hours=self.hours[chosen],
            seed=self.seed[chosen],
            score=self.score[chosen],
        )


@dataclass(frozen=True, kw_only=True)
class MixCells:
    """The budgets of one mix: hours (J,) rising, mean scores (J,) and the number of trials (J,).

    Means are free of the seeds' effects, so that a missing trial does not shift its cell.
    `residual_squares` is the sum of the squares of what neither cell nor seed explains, and
    `degrees` how many of these are free: those of all mixes add up to the study's.
    """

    hours: Floats
    mean: Floats
    count: Floats
    num_seeds: int
    residual_squares: float
    degrees: float


@dataclass(frozen=True, kw_only=True)
class Cells:
    """All cells of a study, and how far scores scatter.

    A score is that of its cell, plus the effect of its seed, which all mixes share because they
    buy the same images, plus noise.
    """

    mixes: dict[str, MixCells]
    seed_effects: Floats
    """(S,), with mean 0."""
    trials_per_seed: float
    residual_squares: float
    """Sum of the squares of what neither cell nor seed explains."""
    degrees: int
    """How many of these are free; 0 where nothing was repeated."""
    seed_deviation: float | None
    """Standard deviation of one cell's scores over seeds, pooled over the cells; None where no
    cell has two."""

    @property
    def noise(self) -> float | None:
        """Standard deviation of a score whose cell and seed are known; None where unknown."""
        return None if self.degrees == 0 else float(np.sqrt(self.residual_squares / self.degrees))


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


def read_scores(
    results: Sequence[TrialResult], metric: str, unlearnt: Sequence[str] = ()
) -> Scores:
    """Return the scores of rows; those that lack the metric are left out.

    Where a larger budget bought no more than a smaller one, with the same seed, the smaller one
    counts alone: both are one training, whose score scatters once. A trial that bought all images
    is at the hours that these take.

    Args:
        results: rows of one student.
        metric: the name of a field of rows, such as `pq`.
        unlearnt: mixes to leave out because they have learnt nothing, as `never_learnt` names them.
            Their scores hardly scatter, and would make the others seem sure.
    """
    rows = [row for row in results if row.mix not in unlearnt and getattr(row, metric) is not None]
    found = {mix: hours_of_all_images(rows, mix) for mix in {row.mix for row in rows}}
    all_hours = {mix: hours for mix, hours in found.items() if hours is not None}
    rows = _without_repeats(rows)

    def hours_of(row: TrialResult) -> float:
        most = all_hours.get(row.mix)
        return most if most is not None and isclose(row.spent_hours, most) else row.budget_hours

    return Scores(
        mix=np.array([row.mix for row in rows], dtype=np.str_),
        hours=np.array([hours_of(row) for row in rows], dtype=float),
        seed=np.array([row.seed for row in rows], dtype=np.int64),
        score=np.array([getattr(row, metric) for row in rows], dtype=float),
        exhausted=frozenset(all_hours),
    )


def _without_repeats(rows: Sequence[TrialResult]) -> list[TrialResult]:
    """Return the rows, in their order, without those that bought what a smaller budget bought."""
    least: dict[Hashable, float] = {}
    for row in rows:
        least[_purchase(row)] = min(row.budget_hours, least.get(_purchase(row), np.inf))
    return [row for row in rows if row.budget_hours == least[_purchase(row)]]


def _purchase(row: TrialResult) -> Hashable:
    """Return what tells apart what rows bought: a larger budget keeps what a smaller one has."""
    # Prices of other times move hours by a factor, which leaves rounding.
    return row.mix, row.seed, frozenset(row.images.items()), f"{row.spent_hours:.9g}"


def hours_of_all_images(rows: Sequence[TrialResult], mix: str) -> float | None:
    """Return the hours that all images of a mix take, None where they may not have run out.

    They have where the trials of its largest budget spent the same, one of them as much as with a
    smaller budget, and enough is left for other images.

    Args:
        rows: of one student, at least one of the mix.
        mix: its name.
    """
    own = [row for row in rows if row.mix == mix]
    last = max(row.budget_hours for row in own)
    at_last = [row for row in own if row.budget_hours == last]
    kept = _without_repeats(own)
    spent = at_last[0].spent_hours
    is_same = all(isclose(row.spent_hours, spent) for row in at_last)
    is_repeated = any(row not in kept for row in at_last)
    labelled = [n for kind, n in at_last[0].images.items() if kind != NO_LABEL]
    # A dear image may be what is missing; nobody knows how dear the next one is.
    least_left = max(LEFT_SHARE * last, 2 * spent / max(1, sum(labelled)))
    return spent if is_same and is_repeated and last - spent > least_left else None


def summarise(scores: Scores) -> Cells:
    """Split scores into cells, seeds and noise by least squares.

    Args:
        scores: at least one; a seed need not have been run everywhere.
    """
    _, mix_of = np.unique(scores.mix, return_inverse=True)
    keys = np.stack([mix_of, scores.hours], axis=1)
    cells, cell_of, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    cell_of = cell_of.reshape(-1)
    seeds, seed_of = np.unique(scores.seed, return_inverse=True)

    def average(values: Floats) -> Floats:
        return np.bincount(cell_of, values) / count

    within = scores.score - average(scores.score)[cell_of]
    is_seed = np.eye(len(seeds))[seed_of]  # (N, S)
    centred = is_seed - np.stack([average(column) for column in is_seed.T], axis=1)[cell_of]
    # The solution of least norm: where mixes share no seed, the effects of each have mean 0.
    effects, _, rank, _ = np.linalg.lstsq(centred, within, rcond=1e-9)
    mean = average(scores.score - effects[seed_of])
    residual = scores.score - mean[cell_of] - effects[seed_of]
    repeated = len(within) - len(cells)
    # What its cell and its seed leave of each trial: 1 less its leverage.
    free = 1 - 1 / count[cell_of]
    free = free - np.einsum("ns,sn->n", centred, np.linalg.pinv(centred, rcond=1e-9))
    return Cells(
        mixes={
            str(name): MixCells(
                hours=cells[own, 1],
                mean=mean[own],
                count=count[own].astype(float),
                num_seeds=len(set(scores.seed[scores.mix == name])),
                residual_squares=float((residual[scores.mix == name] ** 2).sum()),
                degrees=float(free[scores.mix == name].sum()),
            )
            for number, name in enumerate(np.unique(scores.mix))
            for own in [cells[:, 0] == number]
        },
        seed_effects=np.asarray(effects, dtype=float),
        trials_per_seed=len(within) / len(seeds),
        residual_squares=float(residual @ residual),
        degrees=repeated - int(rank),
        seed_deviation=float(np.sqrt(within @ within / repeated)) if repeated else None,
    )
