import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from annotools.errors import RecipeError, TimesError
from annotools.prices.times import read_times
from studies.break_even import (
    Curve,
    build_curves,
    common_middle,
    find_change,
    find_changes_of_study,
    quality_at,
)
from studies.cli import app
from studies.folder import STUDY_FILE, start_study
from studies.results import TrialResult, write_result
from tests.studies.study_builders import make_result, make_study

PAPER = read_times("li2018")


def make_curve(mix: str, fixed: list[float], slope: list[float], pq: list[float]) -> Curve:
    return Curve(mix=mix, fixed_hours=np.array(fixed), slope=np.array(slope), pq=np.array(pq))


# At 10 s the cheap mix is at 10, 100 and 1000 h, in the middle better than the other.
CHEAP = make_curve("cheap", [0, 0, 0], [1, 10, 100], [0.2, 0.4, 0.6])
DEAR = make_curve("dear", [10, 1000], [0, 0], [0.3, 0.3])


def test_points_move_along_the_hours_with_the_time() -> None:
    assert quality_at(CHEAP, 100, 10) == pytest.approx(0.4)
    assert quality_at(CHEAP, 100, 100) == pytest.approx(0.2)
    # Half-way between 10 h and 100 h on a logarithmic axis.
    assert quality_at(CHEAP, 10**1.5, 10) == pytest.approx(0.3)
    assert quality_at(CHEAP, 5, 10) is None
    assert quality_at(CHEAP, 2000, 10) is None
    assert quality_at(CHEAP, 10, 0) is None


def test_points_that_fall_are_averaged() -> None:
    curve = make_curve("noisy", [1, 2, 3], [0, 0, 0], [0.4, 0.2, 0.5])
    assert [quality_at(curve, hours, 0) for hours in (1, 2, 3)] == pytest.approx([0.3, 0.3, 0.5])


def test_the_choice_changes_where_both_qualities_meet() -> None:
    change = find_change(CHEAP, DEAR, 100, "box", 10)
    # Ten times the square root: the cheap mix has 0.3 at 100 h when its points lie half a
    # decade further to the right.
    assert change.better == "cheap"
    assert change.below is None
    assert change.above == pytest.approx(10 * 10**0.5)
    back = find_change(DEAR, CHEAP, 100, "box", 50)
    assert back.better == "dear"
    assert back.below == pytest.approx(10 * 10**0.5)
    assert back.above is None
    better = make_curve("better", [10, 1000], [0, 0], [0.5, 0.5])
    change = find_change(better, DEAR, 100, "box", 10)
    assert (change.better, change.below, change.above) == ("better", None, None)


def test_nothing_is_said_where_the_trials_do_not_reach() -> None:
    short = make_curve("dear", [90, 110], [0, 0], [0.1, 0.1])
    change = find_change(CHEAP, short, 100, "box", 10)
    assert (change.better, change.below, change.above) == ("cheap", None, None)
    with pytest.raises(RecipeError, match="no trials of 'cheap' and 'dear' around 80 h"):
        find_change(CHEAP, short, 80, "box", 10)


def test_equal_mixes_and_free_actions_have_no_change() -> None:
    change = find_change(DEAR, DEAR, 100, "box", 10)
    assert (change.better, change.below, change.above) == (None, None, None)
    free = make_curve("free", [10, 1000], [1, 1], [0.5, 0.5])
    change = find_change(free, DEAR, 100, "box", 0)
    assert (change.better, change.below, change.above) == ("free", None, None)


def test_common_middle_of_hours() -> None:
    assert common_middle(CHEAP, DEAR, 10) == pytest.approx(100)
    assert common_middle(CHEAP, DEAR, 0) is None
    assert common_middle(CHEAP, make_curve("late", [2000], [0], [0.5]), 10) is None


def test_curves_are_means_over_seeds_of_purchases_priced_anew() -> None:
    results = [
        make_result("weak", 1, 0, 0.2, actions={"box": 1200, "tag": 3600}),
        make_result("weak", 1, 1, 0.4, actions={"box": 2400, "tag": 7200}),
        make_result("weak", 2, 0, 0.5, actions={"box": 3600, "tag": 10800, "full_image": 2}),
        make_result("weak", 3, 0, None, actions={"full_image": 2}),
        make_result("full", 3, 0, 0.6, actions={"full_image": 2}),
    ]
    weak, full = build_curves(results, PAPER, "box")
    assert (weak.mix, full.mix) == ("weak", "full")
    assert weak.slope == pytest.approx([0.5, 1.0])
    assert weak.fixed_hours == pytest.approx([1.5, 3 + 3])
    assert weak.pq == pytest.approx([0.3, 0.5])
    assert (full.slope.tolist(), full.fixed_hours.tolist()) == ([0], [3])
    with pytest.raises(TimesError, match="lack the action 'vertex'"):
        build_curves([make_result("weak", 1, 0, 0.2, actions={"vertex": 1})], PAPER, "box")
    with pytest.raises(RecipeError, match="does not say what its annotators did"):
        build_curves([make_result("weak", 1, 0, 0.2)], PAPER, "box")


def small_results() -> list[TrialResult]:
    rows = [
        ("boxes+tags", 20, {"box": 8000, "tag": 16000}, 0.2),
        ("boxes+tags", 200, {"box": 80000, "tag": 160000}, 0.4),
        ("full", 3, {"full_image": 2}, 0.1),
        ("full", 300, {"full_image": 200}, 0.3),
    ]
    return [make_result(mix, hours, 0, pq, actions=actions) for mix, hours, actions, pq in rows]


def test_a_study_is_priced_by_its_rows(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    (change,) = find_changes_of_study(study, small_results(), "box", None)
    assert (change.first, change.second, change.now) == ("boxes+tags", "full", 7)
    (other,) = find_changes_of_study(study, small_results(), "full_image", change.hours)
    assert (other.better, other.now) == (change.better, 5400)
    with pytest.raises(RecipeError, match="no two mixes have trials around 1e\\+06 h"):
        find_changes_of_study(study, small_results(), "box", 1e6)
    with pytest.raises(RecipeError, match="around the same hours"):
        find_changes_of_study(study, small_results()[:1], "box", None)
    with pytest.raises(TimesError, match="lack the action 'scribble'"):
        find_changes_of_study(study, small_results(), "scribble", None)


@pytest.mark.parametrize(
    "command", ["recommend --hours 2", "break-even --action full_image", "report"]
)
def test_commands_say_how_many_trials_are_missing(tmp_path: Path, command: str) -> None:
    folder, rows = tmp_path / "run", small_results()
    study = make_study(tmp_path, budgets_hours=[r.budget_hours for r in rows], seeds=[0, 1])
    start_study(study, folder)
    for number, result in enumerate(rows):
        write_result(result, folder / "trials" / f"{number}.json")
    asked = ["study", *command.split()]
    told = CliRunner().invoke(app, [*asked[:2], str(folder), *asked[2:]]).stderr
    total = len(study.points)
    assert f"note: Only {len(rows)} of {total} trials are finished" in told
    assert f"0 failed, {total - len(rows)} are left." in told


@pytest.mark.parametrize("damaged", ["trials/full_3h_seed1/failure.json", "study.json"])
def test_rows_alone_are_enough_to_recommend(tmp_path: Path, damaged: str) -> None:
    folder, rows = tmp_path / "run", small_results()
    start_study(make_study(tmp_path, budgets_hours=[3, 20, 200, 300], seeds=[0, 1]), folder)
    for number, result in enumerate(rows):
        write_result(result, folder / "trials" / f"{number}.json")
    (folder / damaged).parent.mkdir(exist_ok=True)
    (folder / damaged).write_text("{}")
    done = CliRunner().invoke(app, ["study", "recommend", str(folder), "--hours", "20"])
    assert done.exit_code == 0, done.output
    assert "trials are finished" not in done.stderr


def test_seconds_of_models_that_learnt_nothing_come_with_that(tmp_path: Path) -> None:
    trivial = {"trivial_pq": 1.0, "trivial_miou": 1.0}
    rows = [replace(row, **trivial) for row in small_results()]
    study = make_study(tmp_path, budgets_hours=[r.budget_hours for r in rows])
    start_study(study, tmp_path / "run")
    for number, result in enumerate(rows):
        write_result(result, tmp_path / "run/trials" / f"{number}.json")
    asked = ["study", "break-even", str(tmp_path / "run"), "--action", "full_image"]
    assert "note: These models have learnt nothing" in CliRunner().invoke(app, asked).stderr


@pytest.mark.parametrize("hours", ["-1", "0", "nan"])
def test_hours_that_are_none_are_refused(tmp_path: Path, hours: str) -> None:
    asked = ["study", "break-even", str(tmp_path), "--action", "box", "--hours", hours]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 2
    assert "must be a number above 0" in done.stderr


def test_command_prints_and_writes_the_changes(tmp_path: Path) -> None:
    folder, out = tmp_path / "run", tmp_path / "changes.json"
    study = make_study(tmp_path, budgets_hours=[r.budget_hours for r in small_results()])
    start_study(study, folder)
    assert (folder / STUDY_FILE).is_file()
    for number, result in enumerate(small_results()):
        write_result(result, folder / "trials" / f"{number}.json")
    arguments = ["study", "break-even", str(folder), "--action", "full_image"]
    done = CliRunner().invoke(app, [*arguments, "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert "full or boxes+tags" in done.stdout
    assert CliRunner().invoke(app, arguments).stdout == done.stdout
    (row,) = json.loads(out.read_text())
    assert row["action"] == "full_image"
    assert row["better"] in ("boxes+tags", "full")
