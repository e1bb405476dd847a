"""A price has an interval because annotators differ; some times matter to it more than others.

The times of a table are what somebody's annotators took; yours may be slower or faster. A draw is
one possible set of annotators: one time for each action, the same on every image, independent
between actions. How images differ is not drawn: their content is counted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.prices.times import AnnotationTimes, fix_time
from annotools.prices.workloads import Workload
from annotools.random_streams import stream

NUM_DRAWS = 20_000
"""Draws of an interval. For the paper's saving its ends then vary by 1 % (standard deviation over
seeds)."""

_Z_95 = 1.6448536269514722
"""Quantile of the standard normal distribution below which 95 % lie."""

Draws = NDArray[np.float64]
"""(D,) one value for each draw."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The 5 %, 50 % and 95 % quantiles of a distribution."""

    low: float
    median: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Price:
    """The price of a workload, and how much dearer full labels are.

    `seconds_per_image`, `hours` and `ratio_to_full` (its price over that of full labels) follow
    from the times as they are; the intervals from draws. `full_is_times` is the inverse ratio.
    The ratio is None where full labels have no price or cost nothing. Its inverse is None there
    too, and where the workload costs nothing.
    """

    name: str
    seconds_per_image: float
    hours: float
    hours_interval: Interval
    ratio_to_full: float | None
    ratio_interval: Interval | None
    full_is_times: float | None
    full_is_times_interval: Interval | None


@dataclass(frozen=True, kw_only=True)
class Swing:
    """The change that one action's time makes to the saving over full labels.

    `at_low` and `at_high` are how many times dearer full labels are when this time alone is at
    the end of its range. `variance_share` is this action's part, in [0, 1], of the variance of
    the ratio's logarithm when each action varies alone; 0 for all where none varies.
    """

    action: str
    at_low: float
    at_high: float
    variance_share: float


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """The seconds of one action at which two workloads cost the same, other times as they are.

    None where no time does that. `now` is the seconds in the table.
    """

    first: str
    second: str
    action: str
    now: float
    seconds: float | None


def draw_seconds(times: AnnotationTimes, seed: int, num_draws: int = NUM_DRAWS) -> dict[str, Draws]:
    """Draw times for every action, (D,) each, from split log-normal distributions.

    The median is `seconds`; 5 % are below `low` and 5 % above `high`. Below and above the median
    the logarithm is normal with a spread of its own, so that a range may reach further upwards
    than downwards. An end of the range that is the value itself leaves no spread on its side.
    """
    draws = {}
    for name, time in times.actions.items():
        # A time of 0 has 0 as both ends of its range, and 0 has no logarithm.
        if time.seconds == 0:
            draws[name] = np.zeros(num_draws)
            continue
        # With a stream of its own, a time is drawn alike whatever other actions the table has.
        normal = stream(seed, "times", name).standard_normal(num_draws)
        spread_below = np.log(time.seconds / time.low) / _Z_95
        spread_above = np.log(time.high / time.seconds) / _Z_95
        draws[name] = time.seconds * np.exp(
            np.where(normal < 0, spread_below * normal, spread_above * normal)
        )
    return draws


def total_hours(actions: Mapping[str, float], seconds: Mapping[str, Draws]) -> Draws:
    """Return the hours that so many actions take in each draw, (D,)."""
    # Summing starts from an array, so that a label without actions is zero in every draw.
    num_draws = len(next(iter(seconds.values())))
    return sum((n * seconds[a] for a, n in actions.items()), np.zeros(num_draws)) / 3600


def quantiles(values: Draws) -> Interval:
    """Return the 5 %, 50 % and 95 % quantiles of draws."""
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
    return Interval(low=float(low), median=float(median), high=float(high))


def price_workload(
    workload: Workload, full: Workload, times: AnnotationTimes, seconds: Mapping[str, Draws]
) -> Price | None:
    """Return the price of a workload compared with that of full labels; None where it has none.

    Both are paid at the same times in every draw.
    """
    if workload.actions is None:
        return None
    hours = _hours(workload.actions, times)
    drawn = total_hours(workload.actions, seconds)
    full_hours = 0.0 if full.actions is None else _hours(full.actions, times)
    ratio = times_dearer = ratio_interval = dearer_interval = None
    if full.actions is not None and full_hours > 0:
        # The ratio is taken draw by draw, because in each draw the same annotators make both.
        full_drawn = total_hours(full.actions, seconds)
        ratio, ratio_interval = hours / full_hours, quantiles(drawn / full_drawn)
        if hours > 0:
            times_dearer, dearer_interval = full_hours / hours, quantiles(full_drawn / drawn)
    return Price(
        name=workload.name,
        seconds_per_image=hours * 3600 / workload.num_images,
        hours=hours,
        hours_interval=quantiles(drawn),
        ratio_to_full=ratio,
        ratio_interval=ratio_interval,
        full_is_times=times_dearer,
        full_is_times_interval=dearer_interval,
    )


def sensitivity(
    workload: Workload, full: Workload, times: AnnotationTimes, seconds: Mapping[str, Draws]
) -> tuple[Swing, ...]:
    """Return how much each time changes the ratio of full labels to a workload, largest first.

    Args:
        workload: one with a price above zero.
        full: full labels, with a price.
        times: the table.
        seconds: draws from it.
    """
    weak_actions, full_actions = workload.actions or {}, full.actions or {}
    fixed = {a: np.full_like(d, times.actions[a].seconds) for a, d in seconds.items()}
    variances, ends = {}, {}
    for action in dict.fromkeys((*weak_actions, *full_actions)):
        alone = {**fixed, action: seconds[action]}
        ratio = total_hours(full_actions, alone) / total_hours(weak_actions, alone)
        time = times.actions[action]
        # Rounding leaves a variance to what does not vary.
        variances[action] = float(np.log(ratio).var()) if time.low < time.high else 0.0
        ends[action] = [
            _hours(full_actions, changed) / _hours(weak_actions, changed)
            for changed in (fix_time(times, action, s) for s in (time.low, time.high))
        ]
    total = sum(variances.values())
    rows = [
        Swing(
            action=action,
            at_low=ends[action][0],
            at_high=ends[action][1],
            variance_share=variance / total if total > 0 else 0.0,
        )
        for action, variance in variances.items()
    ]
    return tuple(sorted(rows, key=lambda row: -row.variance_share))


def break_even_seconds(
    first: Mapping[str, float], second: Mapping[str, float], times: AnnotationTimes, action: str
) -> float | None:
    """Return the seconds of an action at which two lists of actions cost the same.

    Prices are linear in a time: with n and m actions in the two lists and the rest of their
    prices a and b, it is (b - a) / (n - m). None where n = m, or the result is negative.
    """
    difference = first.get(action, 0) - second.get(action, 0)
    if difference == 0:
        return None
    free = fix_time(times, action, 0.0)
    seconds = 3600 * (_hours(second, free) - _hours(first, free)) / difference
    return seconds if seconds >= 0 else None


def list_break_evens(
    workloads: Iterable[Workload], times: AnnotationTimes
) -> tuple[BreakEven, ...]:
    """Return the break-even of every action in each pair of workloads that have a price.

    Actions that both take equally often decide nothing and are left out.
    """
    priced = [(p.name, p.actions) for p in workloads if p.actions is not None]
    return tuple(
        BreakEven(
            first=first_name,
            second=second_name,
            action=action,
            now=times.actions[action].seconds,
            seconds=break_even_seconds(first, second, times, action),
        )
        for i, (first_name, first) in enumerate(priced)
        for second_name, second in priced[i + 1 :]
        for action in dict.fromkeys((*first, *second))
        if first.get(action, 0) != second.get(action, 0)
    )


def _hours(actions: Mapping[str, float], times: AnnotationTimes) -> float:
    return sum(n * times.actions[action].seconds for action, n in actions.items()) / 3600
