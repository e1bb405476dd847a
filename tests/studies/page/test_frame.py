from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studies.page.findings import find
from studies.page.frame import hour_ticks, make_frames, nice_ticks, shorten, spread
from tests.studies.study_builders import make_result


def test_hours_are_logarithmic_and_scores_go_up() -> None:
    rows = [make_result("a", hours, seed, hours / 40) for hours in (2, 4, 8) for seed in (0, 1)]
    for frame in make_frames(find(rows, "li2018")):
        assert frame.x(4) - frame.x(2) == pytest.approx(frame.x(8) - frame.x(4))
        assert frame.y(0.1) > frame.y(0.2)
        assert frame.left < frame.x(2) < frame.x(32) < frame.width - frame.right


def test_a_single_budget_stands_in_the_middle() -> None:
    frame, _ = make_frames(find([make_result("a", 2, 0, 0.1)], "li2018"))
    assert frame.x(2) == pytest.approx((frame.left + frame.width - frame.right) / 2)


def test_ticks_are_round() -> None:
    assert nice_ticks(34, 66) == [40, 50, 60]
    assert nice_ticks(0, 100) == [0, 20, 40, 60, 80, 100]
    assert nice_ticks(60.2, 62.9) == [60.5, 61, 61.5, 62, 62.5]


@given(st.floats(0, 99), st.floats(0.1, 100))
def test_ticks_are_few_and_inside(low: float, length: float) -> None:
    ticks = nice_ticks(low, low + length)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-6 <= tick <= low + length + 1e-6 for tick in ticks)


def test_ticks_of_hours_have_room() -> None:
    budgets = [1, 1.05, 1.1, 2, 4, 4.2]
    rows = [make_result("a", hours, seed, 0.1) for hours in budgets for seed in (0, 1)]
    found = find(rows, "li2018")
    for frame in make_frames(found):
        ticks = hour_ticks(found, frame)
        assert {1, 4.2} <= set(ticks)
        xs = sorted(frame.x(hours) for hours in ticks)
        assert all(right - left > 30 for left, right in pairwise(xs))


def test_names_are_spread_by_hand() -> None:
    assert spread([10, 12, 50], 10, 0, 100) == [10, 20, 50]
    assert spread([98, 95], 10, 0, 100) == [100, 90]
    assert spread([-5], 10, 0, 100) == [0]
    assert spread([], 10, 0, 100) == []


@given(st.lists(st.floats(0, 200), max_size=8))
def test_spread_names_keep_order_and_distance(places: list[float]) -> None:
    moved = spread(places, 16, 0, 200)
    pairs = sorted(zip(places, moved, strict=True))
    assert sorted(moved) == [new for _, new in sorted(pairs, key=lambda pair: pair[1])]
    rising = sorted(moved)
    assert all(b - a >= 16 - 1e-6 for a, b in pairwise(rising))
    assert all(0 - 1e-6 <= place <= 200 for place in moved)
    for (old, new), (later, after) in pairwise(pairs):
        assert old == later or new < after


def test_long_names_are_cut() -> None:
    assert shorten("boxes", 74) == "boxes"
    assert shorten("half and half", 82) == "half and …"
