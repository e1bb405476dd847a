from dataclasses import replace

import numpy as np
import pytest

from benchmarks.worlds import BOXES, FULL, WORLDS, draw_rows
from studies.advice.advise import advise, advise_each
from studies.advice.combinations import Table, best_combination, hours_at, score_at, score_together

HOURS = np.array([1.0, 2.0, 4.0, 8.0])


def table(*scores: float) -> Table:
    return Table(hours=HOURS, scores=np.array([scores]))


SLOW, FAST = table(0.1, 0.2, 0.4, 0.4), table(0.2, 0.4, 0.5, 0.6)


@pytest.mark.parametrize(
    ("hours", "score"), [(2, 0.2), (2**0.5, 0.15), (0.1, 0.1), (8, 0.4), (99, 0.4)]
)
def test_scores_between_hours_are_even_in_their_logarithm(hours: float, score: float) -> None:
    assert score_at(SLOW, np.array([hours])) == pytest.approx([score])


@pytest.mark.parametrize(
    ("score", "hours"), [(0.15, 2**0.5), (0.4, 4), (0.05, 0), (0.1, 0), (0.9, 8)]
)
def test_hours_that_reach_a_score(score: float, hours: float) -> None:
    assert hours_at(SLOW, np.array([score])) == pytest.approx([hours])


def test_a_fall_is_no_second_place_for_a_score() -> None:
    assert hours_at(table(0.1, 0.3, 0.2, 0.5), np.array([0.25])) == pytest.approx([2**0.75])


def test_parts_count_as_the_hours_of_the_best_that_score_alike() -> None:
    tables = {"slow": SLOW, "fast": FAST}
    together = score_together(tables, {"slow": np.array([4.0]), "fast": np.array([4.0])})
    # 4 h of the slow mix score as 2 h of the fast one, so that it has 6 h: 0.5 + 0.1 * log2(1.5).
    assert together == pytest.approx([0.5 + 0.1 * np.log2(1.5)])
    # Less than the smallest budget was never measured, and counts as nothing.
    alone = score_together(tables, {"slow": np.array([0.9]), "fast": np.array([4.0])})
    assert alone == pytest.approx([0.5])


def test_the_same_labels_under_two_names_are_one_mix() -> None:
    tables = {"a": FAST, "b": FAST}
    parts = {"a": np.array([2.0]), "b": np.array([2.0])}
    assert score_together(tables, parts) == pytest.approx([0.5])
    found = best_combination(tables, {"a": np.array([0.6]), "b": np.array([0.6])}, 8, {}, {}, 0.01)
    assert found is not None
    # No split of them is better than the same hours of one.
    assert (found.gain, found.p_better) == (pytest.approx(0), 0)


def test_what_saturates_is_best_combined() -> None:
    early, late = table(0.4, 0.5, 0.5, 0.5), table(0.1, 0.3, 0.5, 0.7)
    predicted = {"early": np.array([0.5]), "late": np.array([0.7])}
    found = best_combination({"early": early, "late": late}, predicted, 8, {}, {}, 0.01)
    assert found is not None
    # 2 h of the early mix score 0.5 as 4 h of the late one, of which there are 6.
    assert dict(found.hours) == {"early": 2, "late": 6}
    assert found.score == pytest.approx(0.7)
    assert (
        best_combination({"early": early}, {"early": predicted["early"]}, 8, {}, {}, 0.01) is None
    )


def test_labels_that_are_there_already_count() -> None:
    rng = np.random.default_rng(1)
    rows = draw_rows(WORLDS["boxes win"](rng), rng)
    plain, more, same = (
        advise(rows, hours, have=have) for hours, have in ((8, {}), (8, {BOXES: 8.0}), (16, {}))
    )
    boxes = more.mixes[BOXES]
    assert boxes.score is not None
    # 8 h on top of 8 h are 16 h.
    assert boxes.score == pytest.approx(same.mixes[BOXES].score, abs=0.002)
    full, before = more.mixes[FULL].score, plain.mixes[FULL].score
    assert full is not None
    assert before is not None
    assert full > before
    assert more.have == {BOXES: 8.0}


def test_hours_spent_before_count_in_reasons_and_in_the_next_hour() -> None:
    rng = np.random.default_rng(1)
    rows = draw_rows(WORLDS["boxes win"](rng), rng)
    first = min(row.budget_hours for row in rows)
    mixes = {row.mix for row in rows}
    new = advise(rows, first / 2)
    assert sum("is not predicted" in reason for reason in new.reasons) == len(mixes)
    had = advise(rows, first / 2, have=dict.fromkeys(mixes, 8.0))
    assert not [reason for reason in had.reasons if "is not predicted" in reason]
    as_one = advise(rows, 8 + first / 2)
    for mix in mixes:
        assert had.mixes[mix].score is not None
        assert had.mixes[mix].gain_per_hour == as_one.mixes[mix].gain_per_hour is not None


def test_other_students_are_asked_at_the_hours_that_each_mix_will_have_had() -> None:
    rng = np.random.default_rng(1)
    rows = draw_rows(WORLDS["crossing"](rng), rng)
    first, last = (end(row.budget_hours for row in rows) for end in (min, max))
    # Another mix leads at the smallest budget, by both students, who have the same scores.
    others = [replace(row, student="other") for row in rows[:-1]]
    have = dict.fromkeys({row.mix for row in rows}, last - first)
    asked = advise([*rows, *others], first, have=have)
    assert advise(rows, first).mixes[BOXES].p_best != asked.mixes[BOXES].p_best
    assert not any("students disagree" in reason for reason in asked.reasons)


def test_labels_of_a_mix_out_of_reach_count_in_combinations_too() -> None:
    rng = np.random.default_rng(1)
    rows = draw_rows(WORLDS["crossing"](rng), rng)
    last = max(row.budget_hours for row in rows)
    # With a little more the mix itself is beyond four times its largest budget.
    near, far = (advise(rows, 4, have={BOXES: 4 * last - 4 + more}) for more in (-0.1, 0.1))
    assert near.mixes[BOXES].score is not None
    assert far.mixes[BOXES].score is None
    assert far.mixes[FULL].score == pytest.approx(near.mixes[FULL].score, abs=0.01)
    assert near.combination is not None
    assert far.combination is not None
    assert far.combination.score == pytest.approx(near.combination.score, abs=0.02)


def test_many_hours_are_told_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    rows = draw_rows(WORLDS["crossing"](rng), rng)
    assert advise_each(rows, [4, 8]) == (advise(rows, 4), advise(rows, 8))
