import math
import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsps.recipe import SCHEDULES
from wsps.training.loop import CHECK_STEPS
from wsps.training.schedules import (
    FALL_SHARE,
    FLAT_WINDOW_STEPS,
    WARM_UP_STEPS,
    _is_level,
    converges_at,
    count_steps,
    is_flat,
    rate,
)

LEAST = WARM_UP_STEPS + 3 * FLAT_WINDOW_STEPS
"""No loss is flat before so many steps."""


def rates(schedule: str, steps: int, converged_at: int | None) -> list[float]:
    made = count_steps(schedule, steps, converged_at)
    return [rate(schedule, step, steps, converged_at) for step in range(made)]


def flat_from(losses: list[float], steps: int = 10**6) -> int | None:
    """The count of losses at which the loop, which looks now and then, has the rate fall."""
    counts = range(0, len(losses) + 1, CHECK_STEPS)
    found = (converges_at("flat", steps, losses[:count]) for count in counts)
    return next((count for count in found if count is not None), None)


def noisy(means: list[float], share: float, seed: int) -> list[float]:
    """Losses that scatter around their means, by a share of these."""
    rng = random.Random(seed)
    return [mean * (1 + share * rng.gauss(0, 1)) for mean in means]


def test_flat_rises_stays_and_falls_over_a_fifth_of_the_steps():
    found = rates("flat", 1000, 400)
    assert len(found) == 500
    assert found[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert set(found[20:400]) == {1.0}
    assert found[400:] == pytest.approx([(100 - step) / 101 for step in range(100)])


def test_flat_falls_so_that_it_ends_with_its_steps_where_the_loss_still_gains():
    found = rates("flat", 1000, None)
    assert len(found) == 1000
    assert set(found[20:800]) == {1.0}
    assert found[800:] == pytest.approx([(200 - step) / 201 for step in range(200)])
    # Flat at the last moment is the same.
    assert rates("flat", 1000, 800) == found
    assert converges_at("flat", 1000, [1.0] * 800) == 800
    assert converges_at("flat", 1000, [1.0] * 801) is None


def test_few_steps_of_flat_rise_in_a_tenth_of_them():
    assert rates("flat", 10, None) == pytest.approx([1.0] * 8 + [2 / 3, 1 / 3])
    assert rates("flat", 1, None) == [1.0]
    assert rates("flat", 0, None) == []


@given(
    schedule=st.sampled_from(SCHEDULES),
    steps=st.integers(1, 3000),
    converged_share=st.none() | st.floats(0, 1 - FALL_SHARE),
)
def test_rates_are_shares_and_only_the_last_are_near_nothing(
    schedule: str, steps: int, converged_share: float | None
):
    converged_at = None if converged_share is None else max(1, int(steps * converged_share))
    found = rates(schedule, steps, converged_at)
    assert all(0 < share <= 1 for share in found)
    assert len(found) <= steps
    if schedule == "flat" and steps >= LEAST and (converged_at is None or converged_at >= LEAST):
        assert max(found) == 1.0
        peak = found.index(1.0)
        assert peak < WARM_UP_STEPS
        assert found[: peak + 1] == sorted(found[: peak + 1])
        assert found[peak:] == sorted(found[peak:], reverse=True)
        assert found[-1] <= 1 / (FALL_SHARE * len(found))


def test_a_plateau_is_flat_at_the_first_moment_and_a_falling_line_never():
    assert flat_from([3.0] * 700) == LEAST
    # A window of 100 gains 100 of some 900, and later ones more: all above 2 %.
    assert flat_from([1000.0 - step for step in range(1000)]) is None


def test_a_loss_that_falls_and_then_stays_is_flat_when_a_window_hardly_has_the_fall():
    losses = [2.0] * 400 + [1.0] * 664
    # Of 1063 losses a window is 266. That long ago there were 797, whose windows have 200: the one
    # before began with 3 losses of 2, a gain of 0.015, and the blocks' means are 1.15 and nine
    # times 1: its error is sqrt(0.00225 / 10) = 0.015 too. 0.03 is more than 2 % of 1.015. Of 798
    # losses, a window before 1064, there are 2: 0.01 + 0.01 is less than 0.0202.
    assert not is_flat(losses[:1063])
    assert is_flat(losses[:1064])


def test_a_loss_of_nothing_is_flat_and_one_that_rises_is_not():
    assert flat_from([0.0] * 700) == LEAST
    assert flat_from([1.0 + step / 100 for step in range(700)]) is None
    assert flat_from([0.5 * 1.01**step for step in range(900)]) is None
    # Half a percent from window to window is nothing.
    assert flat_from([1.0 + step / 40_000 for step in range(700)]) == LEAST


@given(
    losses=st.lists(st.floats(0, 1e6), max_size=LEAST - 1),
    steps=st.integers(0, 10**6),
)
def test_no_loss_is_flat_before_the_least_number_of_steps(losses: list[float], steps: int):
    assert converges_at("flat", steps, losses) is None


@given(fall=st.floats(0, 0.5), noise=st.floats(0, 0.3), seed=st.integers(0, 2**32 - 1))
@example(fall=0.0, noise=0.05, seed=0)  # Flat.
@example(fall=0.3, noise=0.05, seed=0)  # Not flat.
def test_flatness_does_not_hang_on_the_unit_of_the_loss(fall: float, noise: float, seed: int):
    losses = noisy([(step + 10) ** -fall for step in range(LEAST + 50)], noise, seed)
    assert is_flat(losses) == is_flat([4 * loss for loss in losses])


@pytest.mark.parametrize("seed", range(5))
def test_noise_around_a_constant_is_soon_flat(seed: int):
    found = flat_from(noisy([1.0] * 2000, 0.3, seed))
    assert found is not None
    assert found <= 3 * LEAST


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_fall_in_noise_is_not_flat(seed: int):
    assert flat_from(noisy([(step + 10) ** -0.3 for step in range(1500)], 0.2, seed)) is None


def test_chance_makes_a_falling_loss_seem_level_once_but_not_flat():
    # It falls by 5 % a window, and scatters as that of a detector.
    means = [(step + 50) ** -0.15 for step in range(3000)]
    of_seeds = [noisy(means, 0.35, seed) for seed in range(10)]
    counts = range(LEAST, 3000, CHECK_STEPS)
    seem_level = [any(_is_level(losses[:count]) for count in counts) for losses in of_seeds]
    assert sum(seem_level) >= 2
    assert [flat_from(losses) for losses in of_seeds] == [None] * 10


@pytest.mark.parametrize("seed", range(3))
def test_a_fall_to_a_floor_in_noise_is_flat_when_it_is_there(seed: int):
    means = [0.1 + 0.3 * math.exp(-step / 200) for step in range(4000)]
    found = flat_from(noisy(means, 0.3, seed))
    assert found is not None
    # The loss is then hardly above its floor.
    assert means[found] < 0.101


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_fixed_length_asks_for_no_flat_loss(schedule: str):
    assert converges_at(schedule, 100, [1.0] * 100) is None
    assert count_steps(schedule, 100, None) == 100


def test_the_old_schedule_judges_by_tenths_of_its_steps():
    assert converges_at("converged", 100, [1.0] * 19) is None
    assert converges_at("converged", 100, [1.0] * 20) == 20
    assert count_steps("converged", 100, 20) == 100
    assert rate("converged", 20, 100, 20) == 0.1
    assert rate("converged", 19, 100, 20) == 1.0
    assert math.isclose(rate("cosine", 99, 100, None), 0.0, abs_tol=1e-3)
