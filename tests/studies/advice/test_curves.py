from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.worlds import BOXES, BUDGETS_HOURS, FULL, WORLDS, draw_rows
from studies.advice.cells import Scores, read_scores, summarise
from studies.advice.checks import bootstrap_seeds, describe_checks, hold_out_largest
from studies.advice.crossings import find_crossings, hours_for_target
from studies.advice.curves import draws, draws_over, fit_curves, gain_of_next_hour, why_not
from studies.results import TrialResult
from tests.studies.study_builders import make_result

Truth = Mapping[str, Callable[[float], float]]


def make_scores(entries: list[tuple[str, float, int, float]]) -> Scores:
    mix, hours, seed, score = zip(*entries, strict=True)
    return Scores(
        mix=np.array(mix),
        hours=np.array(hours, dtype=float),
        seed=np.array(seed),
        score=np.array(score, dtype=float),
    )


def study(truth: Truth, seeds: int = 3, noise: float = 0.005, budgets=BUDGETS_HOURS) -> Scores:
    rng = np.random.default_rng(7)
    return make_scores(
        [
            (mix, hours, seed, curve(hours) + noise * rng.standard_normal())
            for mix, curve in truth.items()
            for hours in budgets
            for seed in range(seeds)
        ]
    )


def rising(hours: float) -> float:
    return 0.7 - 0.3 * hours**-0.5


def test_scores_are_split_into_cells_seeds_and_noise() -> None:
    # Means 0.5 and 0.7; the second seed is 0.02 above the first; noise is 0.01 up and down.
    cells = summarise(
        make_scores([("a", 1, 0, 0.5), ("a", 1, 1, 0.5), ("b", 1, 0, 0.68), ("b", 1, 1, 0.72)])
    )
    assert cells.mixes["a"].mean == pytest.approx([0.5])
    assert cells.mixes["b"].mean == pytest.approx([0.7])
    assert cells.seed_effects == pytest.approx([-0.01, 0.01])
    assert cells.residual_squares == pytest.approx(4 * 0.01**2)
    assert cells.degrees == 1
    assert cells.noise == pytest.approx(0.02)
    # (0 + 0 + 0.02^2 + 0.02^2) over one degree of freedom a cell.
    assert cells.seed_deviation == pytest.approx(0.02)


def test_a_missing_trial_does_not_shift_its_cell() -> None:
    entries = [
        (mix, hours, seed, 0.4 + 0.1 * hours + 0.05 * seed)
        for mix in "ab"
        for hours in (1, 2)
        for seed in (0, 1)
    ]
    whole, lacking = summarise(make_scores(entries)), summarise(make_scores(entries[:-1]))
    assert lacking.mixes["b"].mean == pytest.approx(whole.mixes["b"].mean)
    assert lacking.mixes["b"].count.tolist() == [2, 1]


def test_mixes_without_a_common_seed_keep_their_means() -> None:
    cells = summarise(
        make_scores([("a", 1, 0, 0.1), ("a", 1, 1, 0.3), ("b", 1, 2, 0.6), ("b", 1, 3, 0.8)])
    )
    assert cells.mixes["a"].mean == pytest.approx([0.2])
    assert cells.mixes["b"].mean == pytest.approx([0.7])


def test_rows_without_the_metric_are_left_out() -> None:
    scores = read_scores([make_result("a", 1, 0, None), make_result("a", 2, 1, 0.5)], "pq")
    assert (scores.hours.tolist(), scores.seed.tolist(), scores.score.tolist()) == ([2], [1], [0.5])


def test_intervals_hold_the_truth_where_the_model_is_true() -> None:
    rng = np.random.default_rng(11)
    hits, differences = [], []
    for _ in range(40):
        truth = WORLDS["power laws"](rng)
        curves = fit_curves(read_scores(draw_rows(truth, rng), "pq"), num_draws=1000)
        assert curves is not None
        for hours in (3.0, 16.0, 32.0, 64.0):
            found = {mix: draws(curves, mix, hours) for mix in truth}
            for mix, scores in found.items():
                low, high = np.quantile(scores, [0.05, 0.95])
                hits.append(low <= truth[mix](hours) <= high)
            low, high = np.quantile(found[BOXES] - found[FULL], [0.05, 0.95])
            differences.append(low <= truth[BOXES](hours) - truth[FULL](hours) <= high)
    assert np.mean(hits) >= 0.85
    assert np.mean(differences) >= 0.85


def test_intervals_widen_beyond_the_last_budget_and_curves_are_continuous() -> None:
    curves = fit_curves(study({"a": rising, "b": rising}))
    assert curves is not None
    at = np.array([16, 16.0001, 32, 64])
    found = draws_over(curves, "a", at)
    low, high = np.quantile(found, [0.05, 0.95], axis=0)
    assert np.all(np.diff(high - low)[1:] > 0)
    assert found[:, 0] == pytest.approx(found[:, 1], abs=1e-5)
    # Without much noise the prediction is near the truth.
    assert found.mean(axis=0)[2:] == pytest.approx([rising(32), rising(64)], abs=0.01)
    assert draws_over(curves, "a", np.array([15.9999])).mean() == pytest.approx(
        found[:, 0].mean(), abs=1e-5
    )


def test_a_score_is_never_above_one() -> None:
    curves = fit_curves(study({"a": lambda h: 1 - 0.02 / h, "b": rising}, noise=0.02))
    assert curves is not None
    assert draws_over(curves, "a", np.geomspace(1, 64, 20)).max() <= 1


@pytest.mark.parametrize(
    ("hours", "reason"),
    [
        (0.5, "its smallest budget is 1 h"),
        (65, "beyond what this study can say: its largest budget is 16 h"),
        (64, None),
        (16, None),
        (1, None),
    ],
)
def test_nothing_is_said_too_far_from_the_budgets(hours: float, reason: str | None) -> None:
    curves = fit_curves(study({"a": rising}))
    assert curves is not None
    assert why_not(curves, "a", hours) == reason
    assert (draws(curves, "a", hours) is None) == (reason is not None)
    assert np.isnan(draws_over(curves, "a", np.array([hours]))).all() == (reason is not None)


def test_a_mix_that_falls_is_not_extrapolated() -> None:
    falls = dict(zip(BUDGETS_HOURS, (0.4, 0.5, 0.6, 0.55, 0.5), strict=True))
    curves = fit_curves(study({"dips": falls.__getitem__, "rises": rising}))
    assert curves is not None
    assert draws(curves, "dips", 32) is None
    reason = why_not(curves, "dips", 32)
    assert reason is not None
    assert reason.startswith("its score falls by 0.")
    assert reason.endswith("up to 16 h")
    # What was measured stands.
    inside = draws(curves, "dips", 6)
    assert inside is not None
    assert 0.55 < inside.mean() < 0.6
    assert draws(curves, "rises", 32) is not None
    assert gain_of_next_hour(curves, "dips", 8) is None


def test_few_budgets_or_seeds_give_measured_points_alone() -> None:
    many = study({"many": rising})
    two = study({"two": rising}, budgets=(1.0, 4.0))
    one = study({"one": rising}, seeds=1)
    both = [
        Scores(**{name: np.concatenate([getattr(s, name) for s in (many, other)])
                  for name in ("mix", "hours", "seed", "score")})
        for other in (two, one)
    ]  # fmt: skip
    for scores, mix, reason in (
        (both[0], "two", "it has fewer than 3 budgets that bought different images"),
        (both[1], "one", "it has fewer than 2 seeds"),
    ):
        curves = fit_curves(scores)
        assert curves is not None
        assert [why_not(curves, mix, hours) for hours in (1, 2.5)] == [None, reason]
        assert draws(curves, mix, 1) is not None
        assert draws(curves, mix, 2.5) is None


def test_nothing_is_repeated() -> None:
    assert fit_curves(study({"a": rising}, seeds=1)) is None


def test_scores_without_any_noise_are_fitted() -> None:
    curves = fit_curves(study({"a": rising, "b": lambda h: 0.5}, noise=0))
    assert curves is not None
    for mix, truth in (("a", rising(32)), ("b", 0.5)):
        found = draws(curves, mix, 32)
        assert found is not None
        assert np.isfinite(found).all()
        assert found.mean() == pytest.approx(truth, abs=0.01)


def test_draws_repeat() -> None:
    scores = study({"a": rising})
    first, second = fit_curves(scores), fit_curves(scores)
    assert first is not None
    assert second is not None
    assert np.array_equal(draws(first, "a", 20), draws(second, "a", 20))


def test_the_next_hour_is_that_of_the_power_law() -> None:
    curves = fit_curves(study({"a": rising}, noise=0.001))
    assert curves is not None
    gain = gain_of_next_hour(curves, "a", 16)
    assert gain == pytest.approx(rising(17) - rising(16), abs=0.001)


def test_the_largest_budget_is_predicted_from_the_others() -> None:
    held_out = hold_out_largest(study({"a": rising, "b": lambda h: 0.5 - 0.1 / h}))
    assert [(case.mix, case.hours) for case in held_out] == [("a", 16.0), ("b", 16.0)]
    for case, truth in zip(held_out, (rising(16), 0.5 - 0.1 / 16), strict=True):
        assert case.measured == pytest.approx(truth, abs=0.01)
        assert case.low < case.measured < case.high


def test_nothing_is_held_out_of_a_single_budget() -> None:
    assert hold_out_largest(study({"a": rising}, budgets=(4.0,))) == ()


def test_whole_seeds_are_resampled() -> None:
    rng = np.random.default_rng(3)
    # Seeds differ by far more than the trials of one seed do, so that they decide the spread.
    effects = [-0.05, 0.0, 0.05]
    scores = make_scores(
        [
            ("a", hours, seed, rising(hours) + effects[seed] + 0.002 * rng.standard_normal())
            for hours in BUDGETS_HOURS
            for seed in range(3)
        ]
    )
    found = bootstrap_seeds(scores, {"a": 16}, num_resamples=30)["a"]
    assert 20 <= len(found) <= 30
    # The mean of three of these: sqrt((0.05^2 + 0 + 0.05^2) / 3 / 3) = 0.0236.
    assert found.std() == pytest.approx(0.0236, abs=0.008)


def test_checks_are_told_in_a_sentence_each() -> None:
    scores = study({"a": rising, "b": lambda h: 0.5 - 0.1 / h})
    curves = fit_curves(scores)
    assert curves is not None
    told = describe_checks(scores, curves)
    assert [text[:11] for text in told] == [
        '"a" at 16 h',
        '"b" at 16 h',
        '"a" at 32 h',
        '"b" at 32 h',
    ]
    assert all(text.endswith("inside.") for text in told[:2])
    # With one budget nothing can be left out, and nothing is predicted beyond it; that is told.
    points = study({"a": rising, "b": rising}, budgets=(4.0,))
    measured = fit_curves(points)
    assert measured is not None
    assert describe_checks(points, measured) == (
        'The largest budget of "a", "b" was not predicted: that takes 3 smaller ones with 2 seeds, '
        "of which none falls, and the last is at least 1/4 of it.",
    )


def test_a_crossing_is_found_with_its_interval() -> None:
    # 0.5 - 0.1 h^-0.5 = 0.7 - 0.5 h^-0.5 where h^0.5 = 2.
    curves = fit_curves(
        study({"boxes": lambda h: 0.5 - 0.1 * h**-0.5, "full": lambda h: 0.7 - 0.5 * h**-0.5})
    )
    assert curves is not None
    (crossing,) = find_crossings(curves)
    assert (crossing.before, crossing.after) == ("boxes", "full")
    assert crossing.low < 4 < crossing.high
    assert crossing.hours == pytest.approx(4, rel=0.1)
    assert crossing.probability > 0.99


def test_no_crossing_where_one_leads_everywhere() -> None:
    curves = fit_curves(study({"a": rising, "b": lambda h: rising(h) - 0.1}))
    assert curves is not None
    assert find_crossings(curves) == ()


def test_hours_for_a_target() -> None:
    curves = fit_curves(study({"a": rising}, noise=0.002))
    assert curves is not None
    # 0.7 - 0.3 h^-0.5 = 0.6 where h = 9.
    needed = hours_for_target(curves, "a", 0.6)
    assert needed is not None
    assert needed.low < needed.hours < needed.high
    assert needed.hours == pytest.approx(9, rel=0.05)
    assert hours_for_target(curves, "a", 0.69) is None


def exhausted_rows(spent: float = 3.0) -> list[TrialResult]:
    """Rows of a mix that has bought its six images with 4 h, of which it spends some."""
    rng = np.random.default_rng(3)
    rows = [
        make_result("a", hours, seed, 0.5 + 0.1 * np.log2(hours) + 0.01 * rng.standard_normal())
        for hours in (1.0, 2.0, 4.0)
        for seed in (0, 1)
    ]
    bought = {1.0: (2, 1.0), 2.0: (4, 2.0), 4.0: (6, spent)}
    rows = [
        replace(row, images={"full": count}, spent_hours=hours)
        for row in rows
        for count, hours in [bought[row.budget_hours]]
    ]
    copies = [replace(row, budget_hours=h) for row in rows[-2:] for h in (8.0, 16.0)]
    return [*rows, *copies]


def test_a_larger_budget_that_buys_nothing_more_is_no_new_trial() -> None:
    rows = exhausted_rows()
    scores = read_scores(rows, "pq")
    assert scores.exhausted == {"a"}
    # All six images take 3 h.
    assert sorted(set(scores.hours)) == [1, 2, 3]
    # Six trials at three budgets, and one effect of the two seeds.
    assert summarise(scores).degrees == summarise(read_scores(rows[:6], "pq")).degrees == 2
    # Other times move hours and leave rounding.
    moved = [
        replace(row, spent_hours=row.spent_hours * (1 + 1e-15 * i)) for i, row in enumerate(rows)
    ]
    assert read_scores(moved, "pq").exhausted == {"a"}


def test_a_mix_that_has_bought_all_its_images_gains_nothing_more() -> None:
    curves = fit_curves(read_scores(exhausted_rows(), "pq"))
    assert curves is not None
    at_last = draws(curves, "a", 4)
    assert at_last is not None
    for hours in (3, 3.5, 5, 16, 1000):
        assert why_not(curves, "a", hours) is None
        assert draws(curves, "a", hours) == pytest.approx(at_last)
        assert gain_of_next_hour(curves, "a", hours) == 0
    gains = [gain_of_next_hour(curves, "a", hours) for hours in (1.0, 2.0, 3.0)]
    assert gains[0] > gains[1] > gains[2] == 0
    assert hours_for_target(curves, "a", 0.9) is None


def test_a_budget_too_small_for_one_more_image_leaves_the_curve_open() -> None:
    rows = exhausted_rows(spent=4.0)
    near = [replace(row, budget_hours=4.2) for row in rows[4:6]]
    scores = read_scores([*rows[:6], *near], "pq")
    assert scores.exhausted == frozenset()
    assert sorted(set(scores.hours)) == [1, 2, 4]


def test_images_have_run_out_where_a_trial_is_missing_and_not_where_one_is_dear() -> None:
    rows = exhausted_rows()
    # The second seed failed at 4 and at 8 h: what it bought with 16 h is not known from before.
    lacking = [row for row in rows if row.seed == 0 or row.budget_hours not in (4.0, 8.0)]
    scores = read_scores(lacking, "pq")
    assert scores.exhausted == {"a"}
    assert sorted(set(scores.hours)) == [1, 2, 3]
    # Two images of half an hour each, and a third that takes more than is left.
    dear = [
        make_result("a", hours, seed, 0.5, spent_hours=1.0, images={"full": 2})
        for hours in (1.0, 1.3)
        for seed in (0, 1)
    ]
    assert read_scores(dear, "pq").exhausted == frozenset()
