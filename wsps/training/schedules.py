"""The learning rate of a step, as a share of its peak, and when a stage has learnt what it can.

Papers: Li, Arnab, Torr 2018, sec. B.1, for `constant` and `converged`; Hu et al. 2024 (MiniCPM,
arXiv 2404.06395, sec. 4) and Haegele et al. 2024 (arXiv 2405.18392) for `flat`: warm-up, a constant
rate, and a short fall to 0, whose length need not be known before. The small networks start from
nothing, so the default is a warm-up and a cosine decay.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev

WARM_UP_SHARE = 0.1
"""Share of the steps of `cosine` in which the learning rate rises to its peak."""

WARM_UP_STEPS = 20
"""Steps of `flat` in which it does: a share of steps that are seldom all made would be too many."""

CONVERGED_RATE = 0.1
"""Share of the rate after the loss has converged. Paper: 1e-4, then 1e-5."""

LEAST_GAIN = 0.01
"""Share by which the loss has to fall from one window of steps to the next; with less it has
converged."""

FALL_SHARE = 0.2
"""Share of the steps of `flat` in which the rate falls to 0: a quarter of those before. Haegele et
al. 2024, sec. 4: a fifth does as well as a cosine over all steps."""

FLAT_WINDOW_SHARE = 0.25
"""Share of the steps so far whose mean loss is compared with that of as many before them. It grows
with them: a loss that falls ever more slowly is given ever more time to show it."""

FLAT_WINDOW_STEPS = 200
"""Least steps of such a window: a detector's loss may stay for two hundred before it falls."""

FLAT_BLOCK_STEPS = 20
"""Steps whose mean loss is one measurement of how far losses scatter."""

FLAT_GAIN = 0.02
"""Share of the loss that has to be gained from one window to the next; with less it is flat. It is
little, because the gains of many windows add up."""


MOST_VISITS = 10
"""How often a view that is kept comes at most, in the mean, in more than `LEAST_STEPS` steps."""

LEAST_STEPS = 1000
"""Steps to which no number of views shortens a stage."""


def most_steps(views: int, batch_size: int) -> int:
    """Return how many steps some views are worth that come again and again.

    They are learnt by heart: the loss falls on, and what is learnt of other photos does not grow.
    So the length of training goes by the number of photos.

    Args:
        views: that all photos have together.
        batch_size: views of a step.
    """
    return max(LEAST_STEPS, math.ceil(MOST_VISITS * views / batch_size))


def rate(schedule: str, step: int, steps: int, converged_at: int | None) -> float:
    """Return the learning rate at a step, from 0, as a share of the stage's.

    Args:
        schedule: one of `SCHEDULES`.
        step: from 0, below `count_steps`.
        steps: of the stage.
        converged_at: the first step after the loss converged, None where it has not.
    """
    if schedule == "constant":
        return 1.0
    if schedule == "converged":
        return 1.0 if converged_at is None or step < converged_at else CONVERGED_RATE
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    if schedule == "flat":
        warm_up = min(warm_up, WARM_UP_STEPS)
    if step < warm_up:
        # From 1 on, because a step at the rate 0 would learn nothing.
        return (step + 1) / warm_up
    if schedule == "flat":
        end = count_steps(schedule, steps, converged_at)
        falls_at = _last_constant(steps) if converged_at is None else converged_at
        return min(1.0, (end - step) / (end - falls_at + 1))
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def count_steps(schedule: str, steps: int, converged_at: int | None) -> int:
    """Return how many steps a stage makes: all of its own, or of `flat` what follows from its end.

    Args:
        schedule: one of `SCHEDULES`.
        steps: of the stage.
        converged_at: the first step after the loss converged, None where it has not.
    """
    if schedule != "flat" or converged_at is None:
        return steps
    return min(steps, round(converged_at / (1 - FALL_SHARE)))


def converges_at(schedule: str, steps: int, losses: Sequence[float]) -> int | None:
    """Return the number of the losses where they show that the rate has to fall, else None.

    Args:
        schedule: one of `SCHEDULES`.
        steps: of the stage.
        losses: of the steps so far.
    """
    count = len(losses)
    if schedule == "converged":
        return count if has_converged(losses, steps) else None
    # Too late to judge: the rate falls already, and with it the loss.
    if schedule != "flat" or count > _last_constant(steps):
        return None
    return count if is_flat(losses) else None


def is_flat(losses: Sequence[float]) -> bool:
    """Return whether the loss hardly changes any more, now and a window of steps ago.

    It is looked at again and again, so that chance alone makes many a loss seem level once that
    falls by 5 % a window and scatters as a detector's does. To seem so twice, of steps that are
    mostly others, is rare.

    Args:
        losses: of the steps so far.
    """
    return _is_level(losses) and _is_level(losses[: -_window(len(losses))])


def _is_level(losses: Sequence[float]) -> bool:
    """Return whether the loss hardly falls from the last window but one to the last.

    It is level where even one standard error more than the gain that was measured would be less
    than `FLAT_GAIN` of the loss: losses of a few random views scatter, and what is not known to be
    level is given more steps. A loss that rises by more than that, beyond chance, is not level. The
    steps of the warm-up are in neither window.
    """
    window = _window(len(losses))
    if len(losses) < WARM_UP_STEPS + 2 * window:
        return False
    before, last = losses[-2 * window : -window], losses[-window:]
    level = fmean(before)
    gain, error = level - fmean(last), math.hypot(_error(before), _error(last))
    most = FLAT_GAIN * abs(level)
    # A loss of 0 in both had nothing to learn from: it is flat, too.
    return gain + error <= most and -gain <= most + error


def _window(steps: int) -> int:
    """Return how many of so many steps are a window."""
    return max(FLAT_WINDOW_STEPS, round(FLAT_WINDOW_SHARE * steps))


def _error(losses: Sequence[float]) -> float:
    """Return the standard error of the mean of some losses, from the means of blocks of them.

    Losses of steps that follow each other hang together: the order goes through all images.
    """
    starts = range(0, len(losses) - FLAT_BLOCK_STEPS + 1, FLAT_BLOCK_STEPS)
    means = [fmean(losses[start : start + FLAT_BLOCK_STEPS]) for start in starts]
    return stdev(means) / math.sqrt(len(means))


def _last_constant(steps: int) -> int:
    """Return the step at which the rate of `flat` falls at the latest."""
    return steps - round(FALL_SHARE * steps)


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
