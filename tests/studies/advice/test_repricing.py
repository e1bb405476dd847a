import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import studies.cli
from annotools.errors import RecipeError, TimesError
from annotools.prices.times import fix_time, read_times
from benchmarks.worlds import BOXES, FULL, WORLDS, draw_rows
from studies.advice.advise import advise, hours_to_reach
from studies.advice.combinations import Table
from studies.advice.flips import Flip, find_flips
from studies.advice.next_run import NextRun
from studies.advice.purchases import images_for
from studies.advice.repricing import draw_prices, reprice, shares_of, times_of, why_no_times
from studies.results import TrialResult, write_result
from tests.studies.study_builders import make_result

PAPER = read_times("li2018")


def weak(seed: int, boxes: int, tags: int) -> TrialResult:
    actions = {"box": boxes, "tag": tags}
    hours = (7 * boxes + 1 * tags) / 3600
    return make_result("weak", 4, seed, 0.4, actions=actions, spent_hours=hours, times="li2018")


def test_rows_move_along_the_hours_with_the_times() -> None:
    rows = [weak(0, 1800, 1800), weak(1, 1500, 3900)]
    assert [row.spent_hours for row in rows] == [4, 4]
    assert reprice(rows, PAPER) == rows
    # 18,000 s of 14,400 s more with 17 s for a box, and 15,000 s: 9 h and 8.17 h instead of 4 h.
    dear = reprice(rows, fix_time(PAPER, "box", 17))
    assert [row.budget_hours for row in dear] == pytest.approx([4 * (9 / 4 + 49 / 24) / 2] * 2)
    assert [row.pq for row in dear] == [0.4, 0.4]


def test_rows_that_cannot_be_priced_anew_say_so() -> None:
    with pytest.raises(RecipeError, match="'weak' at 4 h with seed 0 does not say what"):
        reprice([replace(weak(0, 1, 1), actions={})], PAPER)
    with pytest.raises(TimesError, match="lack the action 'vertex'"):
        reprice([replace(weak(0, 1, 1), actions={"vertex": 3})], PAPER)
    with pytest.raises(RecipeError, match="'weak' cost nothing"):
        reprice([weak(0, 1, 1)], fix_time(fix_time(PAPER, "box", 0), "tag", 0))


def test_images_with_nothing_to_label_cost_nothing_by_any_times() -> None:
    free, paid = weak(0, 0, 0), weak(1, 1800, 1800)
    dear = fix_time(PAPER, "box", 17)
    # The paid seed alone says how the budget moves: from 4 to 9 h.
    assert [row.budget_hours for row in reprice([free, paid], dear)] == pytest.approx([9, 9])
    assert reprice([free], dear) == [free]
    assert draw_prices([free], PAPER) == {}
    assert shares_of([free], PAPER) == {"weak": {}}
    assert images_for([free], "weak", 3) == {}


def test_times_are_those_given_or_those_of_all_rows() -> None:
    rows = [weak(0, 1, 1), weak(1, 1, 1)]
    assert times_of(rows, None) == PAPER
    assert times_of(rows, "bearman2016") == read_times("bearman2016")
    for others, why in (
        ([rows[0], replace(rows[1], times=None)], "do not say what annotators did"),
        ([replace(rows[0], actions={})], "do not say what annotators did"),
        ([rows[0], replace(rows[1], times="bearman2016")], "priced by different times"),
        # A row of another machine names a file that is not here.
        ([replace(row, times="/elsewhere/own.toml") for row in rows], "/elsewhere/own.toml"),
    ):
        assert times_of(others, None) is None
        assert why in why_no_times(others)
    assert why_no_times(rows) == ""
    with pytest.raises(TimesError):
        times_of(rows, "nobody")


def test_prices_vary_with_the_times_alone() -> None:
    exact = fix_time(fix_time(PAPER, "box", 7), "tag", 1)
    assert draw_prices([weak(0, 1800, 1800)], exact) == {}
    only_box = fix_time(PAPER, "tag", 1)
    ranged = only_box.actions["box"]
    prices = draw_prices([weak(0, 1800, 1800)], only_box)["weak"]
    # Seven eighths of the hours are boxes; a twentieth of the draws is above the range's end.
    assert np.median(prices) == pytest.approx(1, abs=0.02)
    assert np.quantile(prices, 0.95) == pytest.approx(1 + 7 / 8 * (ranged.high / 7 - 1), rel=0.05)


def test_shares_of_the_hours() -> None:
    assert shares_of([weak(0, 1800, 1800)], PAPER)["weak"] == pytest.approx(
        {"box": 7 / 8, "tag": 1 / 8}
    )


def test_the_answer_flips_where_scores_meet() -> None:
    hours = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    tables = {
        "boxes": Table(hours=hours, scores=np.array([[0.0, 0.2, 0.4, 0.6, 0.8]])),
        "full": Table(hours=hours, scores=np.full((1, 5), 0.3)),
    }
    shares = {"boxes": {"box": 1.0}, "full": {"full_image": 1.0}}
    (flip,) = find_flips(tables, shares, PAPER, 4, {})
    # 0.3 is half-way between 2 h and 4 h, so that boxes must be dearer by the root of two.
    assert flip == Flip(
        action="box",
        now=7,
        below=None,
        mix_below=None,
        above=pytest.approx(7 * 2**0.5),
        mix_above="full",
    )
    # 2 h that are there already leave 0.83 h to buy: boxes must be dearer by 2 / 0.83.
    (flip,) = find_flips(tables, shares, PAPER, 2, {"boxes": 2})
    assert flip.above == pytest.approx(7 * 2 / (2 * 2**0.5 - 2))
    assert find_flips({"boxes": tables["boxes"]}, shares, PAPER, 4, {}) == ()


def priced_rows() -> list[TrialResult]:
    """A world where boxes win, bought with the paper's times."""
    rng = np.random.default_rng(1)
    return [
        replace(
            row,
            times="li2018",
            actions={"box": row.budget_hours * 3600 / 7}
            if row.mix == BOXES
            else {"full_image": row.budget_hours * 3600 / 5400},
        )
        for row in draw_rows(WORLDS["boxes win"](rng), rng)
        if row.mix in (BOXES, FULL)
    ]


def test_ranges_of_times_widen_what_is_predicted() -> None:
    rows = priced_rows()
    plain = advise([replace(row, actions={}) for row in rows], 16)
    ranged = advise(rows, 16)
    for mix in (BOXES, FULL):
        one, other = plain.mixes[mix], ranged.mixes[mix]
        assert None not in (one.low, one.high, other.low, other.high)
        assert other.high - other.low > one.high - one.low  # type: ignore[operator]
    assert {flip.action for flip in ranged.flips} <= {"box", "full_image"}
    assert plain.flips == ()


def test_command_prices_anew_and_counts_what_is_there(tmp_path: Path) -> None:
    for number, row in enumerate(priced_rows()):
        write_result(row, tmp_path / "trials" / f"{number}.json")
    own = tmp_path / "own.toml"
    own.write_text('inherit = "li2018"\n[actions.box]\nseconds = 40\n')

    def run(*arguments: object) -> tuple[int, str]:
        done = CliRunner().invoke(
            studies.cli.app, ["study", "recommend", str(tmp_path), *map(str, arguments)]
        )
        return done.exit_code, done.output + str(done.exception or "")

    def answer(*arguments: object) -> dict[str, Any]:
        path = tmp_path.with_suffix(".json")
        assert run("--hours", 8, *arguments, "--json", path)[0] == 0
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    plain, had = answer(), answer("--have", f"{BOXES}=8")
    assert plain["mix"] == BOXES
    assert answer("--times", own)["mix"] == FULL
    assert had["mixes"][BOXES]["score"] > plain["mixes"][BOXES]["score"]
    code, text = run("--hours", 8, "--have", "dots=8")
    assert (code, "there is no mix 'dots' in these rows: use boxes, full" in text) == (1, True)
    for wrong in ("boxes", "boxes=x", "boxes=-1", "=3"):
        assert run("--hours", 8, "--have", wrong)[0] == 2
    code, text = run("--hours", 8, "--times", "nobody")
    assert code == 1


def test_the_next_run_has_the_hours_of_the_study() -> None:
    rows = [weak(seed, 1800, 1800) for seed in (0, 1)]
    dear = reprice(rows, fix_time(PAPER, "box", 14))
    run = NextRun.of("weak", dear[0].budget_hours, dear, is_new_seed=True)
    # 7.5 h at 15 s are 4 h at the study's own 8 s.
    assert run.budget_hours == pytest.approx(7.5)
    assert run.priced_as(dear, rows).budget_hours == pytest.approx(4)


def test_targets_are_reached_later_at_dearer_times(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('inherit = "li2018"\n[actions.box]\nseconds = 14\nlow = 14\nhigh = 14\n')
    rows = priced_rows()
    target = sorted(row.pq or 0 for row in rows if row.mix == BOXES)[len(rows) // 4]
    now, then = (hours_to_reach(rows, target, times=times)[BOXES] for times in (None, str(own)))
    assert now is not None
    assert then is not None
    assert then.hours == pytest.approx(2 * now.hours)


def test_what_has_learnt_does_not_hang_on_prices(tmp_path: Path) -> None:
    """Other prices move the budgets of mixes apart, of which the largest shared one decides."""
    own = tmp_path / "own.toml"
    own.write_text('inherit = "li2018"\n[actions.box]\nseconds = 10\n')
    trivial = max(row.pq or 0 for row in priced_rows() if row.mix == FULL)
    rows = [replace(row, trivial_pq=trivial) for row in priced_rows()]
    found = advise(rows, 16, have={FULL: 4}, times=str(own))
    assert (found.mix, found.mixes[FULL].score) == (None, None)
    assert found.reasons[0].endswith("the 4 h spent on it are not counted")
    assert (found.flips, found.combination) == ((), None)
    assert hours_to_reach(rows, 0.5, times=str(own))[FULL] is None
