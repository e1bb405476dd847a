import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.prices.image_content import read_statistics
from annotools.prices.intervals import (
    BreakEven,
    Interval,
    break_even_seconds,
    draw_seconds,
    list_break_evens,
    price_workload,
    quantiles,
    sensitivity,
    total_hours,
)
from annotools.prices.times import AnnotationTimes, fix_time, read_times
from annotools.prices.workloads import Workload, list_workloads

PAPER = read_times("li2018")
STREET = read_statistics("cityscapes-train").content


def buy(kind: str, actions: dict[str, float] | None, num_images: int = 2) -> Workload:
    return Workload(kind=kind, all_questions=False, num_images=num_images, actions=actions)


def without_spread(times: AnnotationTimes) -> AnnotationTimes:
    for action, time in times.actions.items():
        times = fix_time(times, action, time.seconds)
    return times


def test_draws_have_the_quantiles_of_the_range():
    seconds = draw_seconds(PAPER, seed=3)

    for name, time in PAPER.actions.items():
        found = np.quantile(seconds[name], [0.05, 0.5, 0.95])
        assert found == pytest.approx([time.low, time.seconds, time.high], rel=0.03), name
    assert seconds["coarse_image"].max() == PAPER.actions["coarse_image"].high


def test_draws_depend_on_seed_and_action_alone():
    first, again, other = (draw_seconds(PAPER, seed, 5)["box"] for seed in (0, 0, 1))
    alone = draw_seconds(replace(PAPER, actions={"box": PAPER.actions["box"]}), 0, 5)["box"]

    assert np.array_equal(first, again)
    assert np.array_equal(first, alone)
    assert not np.array_equal(first, other)


def test_a_time_without_spread_is_constant():
    times = fix_time(fix_time(PAPER, "box", 12.0), "tag", 0.0)
    seconds = draw_seconds(times, 0, 4)

    assert seconds["box"].tolist() == [12.0] * 4
    assert seconds["tag"].tolist() == [0.0] * 4


def test_hours_are_sums_over_actions():
    seconds = {"box": np.array([3600.0, 7200.0]), "tag": np.array([0.0, 360.0])}

    assert total_hours({"box": 2, "tag": 5}, seconds) == pytest.approx([2, 4.5])
    assert total_hours({}, seconds).tolist() == [0, 0]


def test_interval_is_quantiles():
    assert quantiles(np.arange(101.0)) == Interval(low=5, median=50, high=95)


def test_price_of_certain_times_has_no_spread():
    times = without_spread(PAPER)
    full, boxes = buy("full", {"full_image": 2}), buy("boxes", {"box": 360})
    row = price_workload(boxes, full, times, draw_seconds(times, 0, 10))

    assert row is not None
    assert (row.name, row.seconds_per_image, row.hours) == ("boxes", 1260, 0.7)
    assert vars(row.hours_interval) == pytest.approx({"low": 0.7, "median": 0.7, "high": 0.7})
    assert row.ratio_to_full == pytest.approx(0.7 / 3)
    assert row.full_is_times == pytest.approx(3 / 0.7)
    assert row.ratio_interval is not None
    assert row.full_is_times_interval is not None
    assert row.ratio_interval.median == pytest.approx(0.7 / 3)
    assert row.full_is_times_interval.high == pytest.approx(3 / 0.7)


def test_the_same_times_are_paid_on_both_sides():
    full = buy("full", {"tag_question": 18.5, "mask": 2.0})
    seconds = draw_seconds(PAPER, 0, 50)
    row = price_workload(buy("twice", {"tag_question": 37.0, "mask": 4.0}), full, PAPER, seconds)

    assert row is not None
    assert row.ratio_interval is not None
    assert vars(row.ratio_interval) == pytest.approx({"low": 2, "median": 2, "high": 2})
    assert row.hours_interval.high > 1.1 * row.hours_interval.low


def test_undefined_ratios_are_none():
    seconds = draw_seconds(PAPER, 0, 10)
    boxes, free = buy("boxes", {"box": 1}), buy("tags", {})

    assert price_workload(buy("x", None), boxes, PAPER, seconds) is None
    for full in (buy("full", None), buy("full", {})):
        row = price_workload(boxes, full, PAPER, seconds)
        assert row is not None
        assert (row.ratio_to_full, row.full_is_times) == (None, None)
    row = price_workload(free, boxes, PAPER, seconds)
    assert row is not None
    assert (row.hours, row.ratio_to_full, row.full_is_times) == (0, 0, None)


def test_sensitivity_of_the_paper():
    full, weak = list_workloads(STREET, 1, ("full", "boxes+tags"), PAPER)[:2]
    swings = sensitivity(weak, full, PAPER, draw_seconds(PAPER, 0))

    assert [swing.action for swing in swings] == ["box", "full_image", "tag"]
    assert sum(swing.variance_share for swing in swings) == pytest.approx(1)
    box, image, tag = swings
    assert (box.at_low, box.at_high) == pytest.approx((5400 / 164.4, 5400 / 683.5))
    assert (image.at_low, image.at_high) == pytest.approx((3600 / 182.3, 7200 / 182.3))
    assert (tag.at_low, tag.at_high) == pytest.approx((5400 / 159.5, 5400 / 262.1))


def test_sensitivity_to_certain_times_is_zero():
    times = without_spread(PAPER)
    full, boxes = buy("full", {"full_image": 2}), buy("boxes", {"box": 36})
    swings = sensitivity(boxes, full, times, draw_seconds(times, 0, 10))

    assert [swing.variance_share for swing in swings] == [0, 0]


def test_break_even_of_the_paper():
    full, weak = list_workloads(STREET, 1, ("full", "boxes+tags"), PAPER)[:2]
    found = {row.action: row.seconds for row in list_break_evens((full, weak), PAPER)}

    # 17.9 boxes and 57 s of tags cost 90 min.
    assert found == {
        "full_image": pytest.approx(182.3),
        "box": pytest.approx((5400 - 57) / 17.9),
        "tag": pytest.approx((5400 - 125.3) / 57),
    }


def test_break_even_lists_pairs_with_a_price_and_actions_that_decide():
    workloads = [buy("a", {"box": 2, "tag": 1}), buy("b", None), buy("c", {"box": 3, "tag": 1})]

    # The one box more must be free.
    assert list_break_evens(workloads, PAPER) == (
        BreakEven(first="a", second="c", action="box", now=7, seconds=0),
    )


def test_no_break_even_where_no_time_helps():
    assert break_even_seconds({"box": 1}, {"box": 1, "tag": 1}, PAPER, "box") is None
    assert break_even_seconds({"box": 1}, {"box": 2, "tag": 1}, PAPER, "box") is None


@given(
    st.lists(st.integers(0, 50), min_size=6, max_size=6),
    st.sampled_from(["box", "tag", "mask"]),
)
def test_both_cost_the_same_at_the_break_even(counts, action):
    names = ("box", "tag", "mask")
    first, second = (
        dict(zip(names, counts[:3], strict=True)),
        dict(zip(names, counts[3:], strict=True)),
    )
    seconds = break_even_seconds(first, second, PAPER, action)

    if seconds is not None:
        times = {name: PAPER.actions[name].seconds for name in names} | {action: seconds}
        prices = [sum(n * times[name] for name, n in side.items()) for side in (first, second)]
        assert math.isclose(*prices, abs_tol=1e-6)
    else:
        others = [name for name in names if name != action]
        rest = sum((second[n] - first[n]) * PAPER.actions[n].seconds for n in others)
        assert first[action] == second[action] or rest / (first[action] - second[action]) < 0
