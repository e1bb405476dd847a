import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import studies.cli
from annotools.errors import RecipeError
from benchmarks.worlds import BOXES, FULL, WORLDS, draw_rows
from studies.advice.advise import advise, hours_to_reach
from studies.advice.next_run import NextRun, regret_saved
from studies.advice.records import Advice
from studies.advice.verdict import BUY, CANNOT_TELL, SURE, TIE, decide, regret_draws
from studies.results import TrialResult, write_result
from tests.studies.study_builders import make_result


def rows_of(world: str, seed: int = 1) -> list[TrialResult]:
    rng = np.random.default_rng(seed)
    return draw_rows(WORLDS[world](rng), rng)


def advice_of(world: str, hours: float, studies: int) -> list[Advice]:
    return [advise(rows_of(world, seed), hours) for seed in range(studies)]


def test_verdicts_by_hand() -> None:
    low, high = np.full(10, 0.5), np.full(10, 0.6)
    # Ten draws: a share of 0.9 is sure enough, 0.8 is not.
    nine = np.where(np.arange(10) < 9, 0.7, 0.5)
    eight = np.where(np.arange(10) < 8, 0.7, 0.5)
    assert decide({"a": low, "b": high}, 0.05, 0.9) == (BUY, "b")
    assert decide({"a": low, "b": high}, 0.2, 0.9) == (TIE, None)
    assert decide({"a": nine, "b": high}, 0.05, 0.9) == (BUY, "a")
    assert decide({"a": nine, "b": high}, 0.05, 0.95) == (CANNOT_TELL, None)
    assert decide({"a": eight, "b": high}, 0.05, 0.9) == (CANNOT_TELL, None)
    assert decide({"a": low}, 0.05, 0.9) == (CANNOT_TELL, None)
    assert regret_draws({"a": low, "b": high})["a"] == pytest.approx(np.full(10, 0.1))


def test_regret_saved_by_hand() -> None:
    # Both are alike on average; a trial that shows which state is true saves half a difference.
    scores = np.array([[0.4, 0.5], [0.6, 0.5]])
    assert regret_saved(scores, scores[:, 0]) == pytest.approx(0.05)
    assert regret_saved(scores, np.array([0.5, 0.5])) == 0


def test_the_next_run_takes_a_seed_that_the_point_lacks() -> None:
    rows = [make_result("a", 1, seed, 0.5, seconds=10) for seed in (0, 1)]
    rows += [make_result("a", 8, 0, 0.5, seconds=80)]
    assert NextRun.of("a", 8, rows) == NextRun(
        mix="a", budget_hours=8, seed=1, seconds=80, regret_saved=None
    )
    assert NextRun.of("a", 1, rows).seed == 2
    assert NextRun.of("a", 8, rows, is_new_seed=True).seed == 2


def test_alike_mixes_are_rarely_bought() -> None:
    found = advice_of("all alike", 32, 20)
    assert sum(advice.verdict == BUY for advice in found) <= 2


@pytest.mark.parametrize(
    ("world", "hours", "best"),
    [("boxes win", 16, BOXES), ("masks win", 16, FULL), ("same price", 32, FULL)],
)
def test_the_better_mix_is_bought(world: str, hours: float, best: str) -> None:
    found = [advice.mix for advice in advice_of(world, hours, 10)]
    assert {mix for mix in found if mix is not None} == {best}
    assert found.count(best) >= 6


def test_the_answer_changes_with_the_hours() -> None:
    few, many = (advise(rows_of("crossing"), hours) for hours in (1, 32))
    assert (few.mix, many.mix) == (BOXES, FULL)
    assert (BOXES, FULL) in {(c.before, c.after) for c in many.crossings}


def test_near_a_crossing_both_are_named() -> None:
    rows = rows_of("crossing")
    (crossing,) = [c for c in advise(rows, 32).crossings if (c.before, c.after) == (BOXES, FULL)]
    reasons = advise(rows, crossing.hours).reasons
    assert any(f'"{BOXES}" below, "{FULL}" above' in reason for reason in reasons)


def test_a_dip_is_refused() -> None:
    found = advice_of("dip", 32, 10)
    refused = [advice for advice in found if advice.mixes[BOXES].score is None]
    assert len(refused) >= 8
    for advice in refused:
        mix = advice.mixes[BOXES]
        assert (mix.low, mix.high, mix.p_best, mix.regret) == (None, None, None, None)
        assert any("its score falls by" in reason for reason in advice.reasons)


def test_beyond_all_budgets_nothing_is_told() -> None:
    advice = advise(rows_of("boxes win"), 100)
    assert advice.verdict == CANNOT_TELL
    assert all(mix.score is None for mix in advice.mixes.values())
    assert any("beyond what this study can say" in reason for reason in advice.reasons)
    assert advice.next_run is not None
    assert advice.next_run.budget_hours == 32


def test_one_seed_cannot_tell() -> None:
    advice = advise([row for row in rows_of("boxes win") if row.seed == 0], 16)
    assert advice.verdict == CANNOT_TELL
    assert "no mix has two seeds" in advice.reasons[0]
    assert advice.next_run is not None
    assert advice.next_run.seed == 1


def test_students_that_disagree_weaken_the_verdict() -> None:
    rows = rows_of("boxes win")
    assert advise(rows, 16).mix == BOXES
    others = [replace(row, student="other") for row in rows_of("masks win")]
    advice = advise([*rows, *others[:-1]], 16)
    assert advice.verdict == CANNOT_TELL
    assert f'students disagree: li2018 prefers "{BOXES}", other prefers "{FULL}"' in advice.reasons


def test_models_that_learnt_nothing_are_not_advised() -> None:
    rows = [replace(row, trivial_pq=row.pq) for row in rows_of("boxes win")]
    advice = advise(rows, 16)
    assert (advice.verdict, advice.next_run) == (CANNOT_TELL, None)
    assert any("learnt nothing" in reason for reason in advice.reasons)


def test_a_mix_that_never_learnt_is_nothing_to_compare_with() -> None:
    rows = rows_of("masks win")
    trivial = max(row.pq for row in rows if row.mix == BOXES and row.pq is not None)
    rows = [replace(row, trivial_pq=trivial) for row in rows]
    found = advise(rows, 16)
    # The others are compared.
    assert (found.verdict, found.mix) == (BUY, FULL)
    assert found.mixes[BOXES].score is None
    reason = f'"{BOXES}" is not predicted: it is no better than one class everywhere at any budget'
    assert found.reasons[0].startswith(reason)
    # Its scores say nothing of how far those of the others scatter.
    alone = advise([row for row in rows if row.mix != BOXES], 16)
    assert found.mixes[FULL] == alone.mixes[FULL]
    assert hours_to_reach(rows, 0.5)[BOXES] is None
    two = advise([row for row in rows if row.mix in (BOXES, FULL)], 16)
    assert (two.verdict, two.mix, two.next_run) == (CANNOT_TELL, None, None)
    assert f'"{FULL}" has no other mix to be compared with' in two.reasons
    # Where its larger budgets are missing it may learn yet.
    begun = [row for row in rows if row.mix != BOXES or row.budget_hours < 16]
    assert not any(
        "not predicted: it is no better" in reason for reason in advise(begun, 16).reasons
    )


def test_one_seed_of_what_has_learnt_cannot_tell() -> None:
    rows = [row for row in rows_of("masks win") if row.mix == BOXES or row.seed == 0]
    trivial = max(row.pq for row in rows if row.mix == BOXES and row.pq is not None)
    found = advise([replace(row, trivial_pq=trivial) for row in reversed(rows)], 16)
    assert found.reasons[0].startswith("no mix that has learnt something has two seeds")
    # Another trial of what learns nothing would not help.
    assert found.next_run is not None
    assert found.next_run.mix != BOXES


def test_a_student_that_learns_nothing_from_the_best_mix_disagrees() -> None:
    rows = rows_of("boxes win", 3)
    other = [
        replace(row, student="mask-rcnn", trivial_pq=0.5, pq=0.3 if row.mix == BOXES else row.pq)
        for row in rows
    ]
    assert advise(rows, 16).verdict == BUY
    found = advise([*rows, *other[:-1]], 16)
    assert found.verdict == CANNOT_TELL
    assert any("students disagree" in reason for reason in found.reasons)


def test_weights_that_differ_leave_no_verdict() -> None:
    rows = rows_of("boxes win")
    other = [replace(row, weights="other") if row.mix == BOXES else row for row in rows]
    assert advise(rows, 16).verdict == BUY
    found = advise(other, 16)
    assert found.verdict == CANNOT_TELL
    assert f'networks started from different weights: "{BOXES}" from other' in found.reasons[0]


def test_rows_that_were_scored_on_other_labels_leave_no_verdict() -> None:
    rows = [replace(row, trivial_pq=0.01, trivial_miou=0.02) for row in rows_of("boxes win")]
    assert advise(rows, 16).verdict == BUY
    found = advise([*rows[:-1], replace(rows[-1], trivial_miou=0.021)], 16)
    assert (found.verdict, found.next_run) == (CANNOT_TELL, None)
    assert found.reasons[0].startswith("Rows were scored on different images or labels")
    assert len(set(found.reasons)) == len(found.reasons)


def sold_out_rows(budgets: tuple[float, ...]) -> list[TrialResult]:
    """Boxes of all images take 1.5 h, full labels go on; the last budgets of boxes are copies."""
    rng = np.random.default_rng(5)
    rows = []
    for hours in budgets:
        spent = min(hours, 1.5)
        for seed in (0, 1, 2):
            off = np.random.default_rng([seed, int(10 * spent)]).normal(0, 0.004)
            boxes = {"spent_hours": spent, "images": {"boxes": round(100 * spent)}}
            rows.append(make_result(BOXES, hours, seed, 0.4 + 0.02 * np.log(spent) + off, **boxes))
            full = {"images": {"full": round(10 * hours)}}
            score = 0.6 - 0.3 * hours**-0.5 + rng.normal(0, 0.004)
            rows.append(make_result(FULL, hours, seed, score, **full))
    return rows


@pytest.mark.parametrize("budgets", [(1.0, 2.0, 4.0, 8.0), (0.3, 0.6, 1.2, 2.0, 4.0, 8.0)])
def test_nobody_buys_what_is_sold_out(budgets: tuple[float, ...]) -> None:
    """With two and with four different purchases of boxes, which are all of their images."""
    rows = sold_out_rows(budgets)
    fresh, owned = advise(rows, 3), advise(rows, 3, have={BOXES: 1.5})
    told = f'"{BOXES}" buys all its images with 1.5 h: more hours change nothing'
    assert told in fresh.reasons
    assert f'"{BOXES}" has all its images already: there is nothing left to buy' in owned.reasons
    assert owned.mixes[BOXES].score is None
    assert owned.mix != BOXES
    # What is there helps, and a mix that is compared with no other is the best of none.
    assert owned.mixes[FULL].score > max(fresh.mixes[FULL].score, fresh.mixes[BOXES].score)
    assert (owned.mixes[FULL].p_best, owned.mixes[FULL].regret) == (None, None)
    # Another student may prefer what is sold out: that is no disagreement.
    other = [
        replace(row, student="mask-rcnn", pq=(row.pq or 0) + 0.3 * (row.mix == BOXES))
        for row in rows[:-1]
    ]
    both = advise([*rows, *other], 3, have={BOXES: 1.5})
    assert not any("students disagree" in reason for reason in both.reasons)
    # Far beyond the budgets all images are as many as before.
    far = advise(rows, 4 * max(budgets))
    assert far.mixes[BOXES].score == pytest.approx(fresh.mixes[BOXES].score)


def test_doubts_about_times_make_no_answer_surer() -> None:
    """One trial of eighteen scores: the others are far below, and the rest is chance."""
    rows = [
        make_result(
            mix,
            hours,
            seed,
            0.2 if (mix, hours, seed) == ("full", 16, 0) else 0.02,
            spent_hours=0.98 * hours,
            actions={action: round(0.98 * hours * 3600 / seconds)},
            times="li2018",
            converged=False,
        )
        for mix, action, seconds in (("full", "mask", 79.2), ("boxes", "box", 7))
        for hours in (1, 4, 16)
        for seed in (0, 1, 2)
    ]
    assert advise(rows, 16).verdict == CANNOT_TELL


def test_rows_of_other_students_are_not_left_out_in_silence() -> None:
    # Of the studies 1 and 2 one scatters unevenly by chance, and the other is a tie.
    rows = rows_of("boxes win", 3)
    both = [*rows, *(replace(row, student="mask-rcnn") for row in rows[:-1])]
    found = advise(both, 16)
    assert found.verdict == advise(rows, 16).verdict == BUY
    assert found.sure == SURE
    assert any("rows of mask-rcnn are asked only whether they agree" in r for r in found.reasons)


def test_trainings_that_had_not_converged_are_named() -> None:
    advice = advise([replace(row, converged=False) for row in rows_of("boxes win")], 16)
    assert any("loss that was not flat" in reason for reason in advice.reasons)


def test_metrics_that_rows_lack_are_named() -> None:
    with pytest.raises(RecipeError, match="unknown metric 'iou'; known are pq"):
        advise(rows_of("boxes win"), 16, "iou")
    with pytest.raises(RecipeError, match="no row has a miou"):
        advise(rows_of("boxes win"), 16, "miou")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(studies.cli.app, ["study", "recommend", *map(str, arguments)])


@pytest.mark.parametrize("layout", ["trials/{}/result.json", "trials/{}.json"])
def test_command_needs_the_rows_alone(tmp_path: Path, layout: str) -> None:
    for number, row in enumerate(rows_of("boxes win")):
        write_result(row, tmp_path / "rows" / layout.format(number))
    out = tmp_path / "advice.json"
    done = invoke(tmp_path / "rows", "--hours", 16, "--json", out)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f'With 16 h, buy "{BOXES}": PQ ')
    content = json.loads(out.read_text())
    assert list(content) == [
        "verdict", "mix", "sure", "hours", "metric", "delta", "mixes", "crossings", "next_run",
        "reasons", "have", "flips", "combination",
    ]  # fmt: skip
    assert (content["verdict"], content["mix"], content["metric"]) == ("buy", BOXES, "pq")
    for mix in content["mixes"].values():
        assert list(mix) == ["score", "low", "high", "p_best", "regret", "gain_per_hour"]
    assert content["next_run"] is None
    target = invoke(tmp_path / "rows", "--hours", 16, "--target", 0.5, "--json", out)
    assert "hours to target" in target.stdout
    with_target = json.loads(out.read_text())
    assert set(with_target) == {*content, "target"}
    needed = hours_to_reach(rows_of("boxes win"), 0.5)[BOXES]
    assert needed is not None
    assert with_target["target"][BOXES]["hours"] == needed.hours


def test_command_advises_by_another_metric(tmp_path: Path) -> None:
    for number, row in enumerate(rows_of("boxes win")):
        assert row.pq is not None
        write_result(replace(row, miou=1 - row.pq), tmp_path / f"rows/trials/{number}.json")
    out = tmp_path / "advice.json"
    by = ("--hours", 16, "--json", out, "--metric")
    assert invoke(tmp_path / "rows", *by, "miou").exit_code == 0
    content = json.loads(out.read_text())
    assert content["metric"] == "miou"
    ranked = sorted(content["mixes"], key=lambda mix: content["mixes"][mix]["score"])
    assert invoke(tmp_path / "rows", *by, "pq").exit_code == 0
    by_pq = json.loads(out.read_text())["mixes"]
    assert sorted(by_pq, key=lambda mix: by_pq[mix]["score"]) == ranked[::-1]
    assert invoke(tmp_path / "rows", *by, "iou").exit_code == 2


def test_command_says_what_is_wrong(tmp_path: Path) -> None:
    write_result(make_result("a", 1, 0, 0.5), tmp_path / "trials" / "a.json")
    for hours in (0, "nan", "inf"):
        assert invoke(tmp_path, "--hours", hours).exit_code == 2
    row = tmp_path / "trials" / "a.json"
    assert invoke(tmp_path, "--hours", 1, "--json", row).exit_code == 2
    empty = invoke(tmp_path / "none", "--hours", 1)
    assert isinstance(empty.exception, RecipeError)
    told = invoke(tmp_path, "--hours", 1)
    assert told.exit_code == 0
    assert "cannot tell" in told.stdout
    assert "Run next" in told.stdout
