"""The learning rate of a step, as a share of its peak.

Paper: Li, Arnab, Torr 2018, sec. B.1, for `constant` and `converged`. The small networks start from
nothing, so the default is a warm-up and a cosine decay.
"""

import math
from collections.abc import Sequence
from statistics import fmean

WARM_UP_SHARE = 0.1
"""Share of a stage's steps in which the learning rate rises to its peak."""

CONVERGED_RATE = 0.1
"""Share of the rate after the loss has converged. Paper: 1e-4, then 1e-5."""

LEAST_GAIN = 0.01
"""Share by which the loss has to fall from one window of steps to the next; with less it has
converged."""


def rate(schedule: str, step: int, steps: int, converged_at: int | None) -> float:
    """Return the learning rate at a step, from 0, as a share of the stage's.

    Args:
        schedule: one of `SCHEDULES`.
        step: from 0.
        steps: of the stage.
        converged_at: the first step after the loss converged, None where it has not.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "converged":
        return 1.0 if converged_at is None or step < converged_at else CONVERGED_RATE
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    if step < warm_up:
        # From 1 on, because a step at the rate 0 would learn nothing.
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def has_converged(losses: Sequence[float], steps: int) -> bool:
    """Return whether the loss no longer falls from one tenth of the steps to the next.

    The paper does not say how it was judged; a tenth of the steps is our own window.

    Args:
        losses: of the steps so far.
        steps: of the stage.
    """
    window = max(1, steps // 10)
    if len(losses) < 2 * window:
        return False
    before, last = losses[-2 * window : -window], losses[-window:]
    return fmean(last) > (1 - LEAST_GAIN) * fmean(before)
