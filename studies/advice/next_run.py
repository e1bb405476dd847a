"""Which further trial would help most to decide, and what it costs in computing.

The value of a trial is how much less regret is expected after it. Draws of the curves tell what it
may measure; a straight line through draws tells what one would then believe of every mix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import fmean

import numpy as np

from annotools.random_streams import stream
from studies.advice.cells import Floats
from studies.advice.curves import Curves, draws, has_all_images
from studies.results import TrialResult


@dataclass(frozen=True, kw_only=True)
class NextRun:
    """A trial that was not run: its point, the seconds it may take, and the regret it saves.

    `seconds` are those of the mix's trials at the nearest budget; `regret_saved` is in scores, None
    where it cannot be said.
    """

    mix: str
    budget_hours: float
    seed: int
    seconds: float
    regret_saved: float | None

    @classmethod
    def of(
        cls,
        mix: str,
        budget_hours: float,
        rows: Sequence[TrialResult],
        *,
        is_new_seed: bool = False,
        regret_saved: float | None = None,
    ) -> "NextRun":
        """Return a trial with a seed that its point lacks: a new one, or one that others have."""
        seeds = sorted({row.seed for row in rows})
        own = [row for row in rows if row.mix == mix]
        taken = {row.seed for row in own if row.budget_hours == budget_hours}
        free = [] if is_new_seed else [seed for seed in seeds if seed not in taken]
        distance = {row.budget_hours: abs(log(row.budget_hours / budget_hours)) for row in own}
        nearest = min(distance, key=lambda hours: distance[hours])
        return cls(
            mix=mix,
            budget_hours=budget_hours,
            seed=free[0] if free else seeds[-1] + 1,
            seconds=fmean(row.seconds for row in own if row.budget_hours == nearest),
            regret_saved=regret_saved,
        )

    def priced_as(self, rows: Sequence[TrialResult], as_run: Sequence[TrialResult]) -> "NextRun":
        """Return the trial with the hours at which the study itself would run it.

        Args:
            rows: priced by the times that were asked for.
            as_run: the same rows, as the study priced them.
        """
        own = [(row, old) for row, old in zip(rows, as_run, strict=True) if row.mix == self.mix]
        row, old = min(own, key=lambda pair: abs(log(pair[0].budget_hours / self.budget_hours)))
        factor = old.budget_hours / row.budget_hours
        return replace(self, budget_hours=self.budget_hours * factor)


def choose_next_run(
    curves: Curves,
    predicted: Mapping[str, Floats],
    rows: Sequence[TrialResult],
    hours_of: Mapping[str, float],
) -> NextRun | None:
    """Return the trial of one mix, at a studied budget or the hours asked for, that helps most.

    Args:
        curves: of the study.
        predicted: draws (D,) of the mixes that are compared.
        rows: of the study.
        hours_of: those that each mix will have had.

    Returns:
        The trial; None where fewer than two mixes are compared.
    """
    if len(predicted) < 2:
        return None
    scores = np.stack(list(predicted.values()), axis=1)  # (D, M)
    rng = stream(0, "next run")
    scatter = curves.noise * rng.standard_normal(len(curves.noise))
    best = (-1.0, "", 0.0)
    for mix in predicted:
        curve = curves.mixes[mix]
        asked = float(curve.used(np.array(hours_of[mix])))
        for budget in sorted({*map(float, curve.hours), asked}):
            found = draws(curves, mix, budget)
            if found is not None:
                # Seeds shift all mixes alike, so that they do not count in a comparison.
                value = regret_saved(scores, found - curves.shift + scatter)
                best = max(best, (value, mix, budget))
    value, mix, budget = best
    if has_all_images(curves, mix, budget):
        # All images are bought with the next budget that was studied.
        of_mix = sorted({row.budget_hours for row in rows if row.mix == mix})
        budget = next((hours for hours in of_mix if hours >= budget), budget)
    return NextRun.of(mix, budget, rows, regret_saved=value)


def regret_saved(scores: Floats, measured: Floats) -> float:
    """Return how much less regret is expected once a trial has been measured.

    Args:
        scores: (D, M), draws of what is compared.
        measured: (D,), what the trial would measure in each draw.

    Paper: Strong, Oakley, Brennan, Breeze 2015, with a straight line for the regression.
    """
    centred = measured - measured.mean()
    variance = float(centred @ centred)
    if variance == 0:
        return 0.0
    slope = centred @ scores / variance  # (M,)
    believed = scores.mean(axis=0) + centred[:, None] * slope  # (D, M)
    return float(believed.max(axis=1).mean() - scores.mean(axis=0).max())


def run_where_nothing_is_known(
    mix: str, curves: Curves, rows: Sequence[TrialResult], hours: float
) -> NextRun:
    """Return the trial of a mix that is not predicted: at the hours, or as near as its curve ends.

    More than twice its largest budget tells little about what lies between.
    """
    last = float(curves.mixes[mix].hours[-1])
    return NextRun.of(mix, min(hours, 2 * last), rows)
