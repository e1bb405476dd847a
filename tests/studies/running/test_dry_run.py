from dataclasses import replace
from pathlib import Path

import pytest
import torch

from annotools.errors import DatasetError, RecipeError
from studies.failures import write_failure
from studies.folder import start_study
from studies.results import write_result
from studies.running.dry_run import as_json, estimate, plan
from studies.running.timing import Timing, time_parts
from studies.study import Study
from studies.trials import Trial
from tests.studies.study_builders import make_failure, make_result, make_study

TIMING = Timing(
    label_seconds={"full": 1.0, "boxes+tags": 10.0},
    step_seconds={"semantic": 100.0, "detector": 1000.0, "instance": 10000.0},
    predict_seconds=0.5,
    label_bytes=10.0,
    network_bytes=1000.0,
    feature_bytes=7.0,
)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two full labels or four of boxes and tags, one step a stage, one round; two photos."""
    return make_study(tmp_path, seeds=[0, 1])


def finish(trial: Trial, seconds: float, **changes: str) -> None:
    named = dict(zip(("digest", "weights"), trial.made_with, strict=True)) | changes
    row = make_result(trial.mix, trial.budget_hours, trial.seed, 0.5, seconds=seconds, **named)
    write_result(row, trial.result_path)


def test_a_plan_says_what_is_bought_and_how_it_stands(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    trials, planned = plan(study, folder)
    assert not folder.exists()
    assert [trial.state for trial in planned] == ["left"] * 4
    start_study(study, folder)
    finish(trials[0], 1.0)
    digest, weights = trials[1].made_with
    failure = replace(make_failure("full", 3, 1, "x"), digest=digest, weights=weights)
    write_failure(failure, trials[1].failure_path)
    # One that failed with other settings is left.
    write_failure(make_failure("boxes+tags", 3, 0, "x"), trials[2].failure_path)
    before = sorted(folder.rglob("*"))
    _, planned = plan(study, folder)
    assert [(t.name, t.state, dict(t.images), round(t.spent_hours, 2)) for t in planned] == [
        ("full_3h_seed0", "finished", {"full": 2}, 3.0),
        ("full_3h_seed1", "failed", {"full": 2}, 3.0),
        ("boxes+tags_3h_seed0", "left", {"boxes+tags": 4}, 0.04),
        ("boxes+tags_3h_seed1", "left", {"boxes+tags": 4}, 0.04),
    ]
    assert sorted(folder.rglob("*")) == before
    content = as_json(planned, None)
    assert content["trials"][0]["images"] == {"full": 2}
    finish(trials[0], 1.0, digest="other")
    with pytest.raises(RecipeError, match="made with other settings"):
        plan(study, folder)
    with pytest.raises(DatasetError, match="different name: repeat it as it was"):
        plan(replace(study, name="another"), folder)


def test_hours_are_those_of_parts_where_nothing_is_finished(study: Study, tmp_path: Path) -> None:
    trials, _ = plan(study, tmp_path / "run")
    # Labels; the stages and one round's network; two images of the round and two photos.
    assert TIMING.seconds(trials[0]) == 2 * 1 + (11100 + 100) + (2 + 2) * 0.5
    # One step of the classifier more.
    assert TIMING.seconds(trials[2]) == 4 * 10 + (11100 + 200) + (4 + 2) * 0.5
    found = estimate(trials, TIMING, workers=1)
    assert not found.from_rows
    assert found.seconds == 2 * (11204.0 + 11343.0)
    # The largest trial: 1000 of networks and ten labels of 10 (two rounds of four, two photos);
    # four labels from boxes that all share; four images seen by the backbone.
    assert found.disk_bytes == 1100 + 40 + 4 * 7
    assert estimate(trials, TIMING, workers=2).disk_bytes == 2200 + 40 + 28
    kept = tuple(replace(t, study=replace(study, keep_links=True)) for t in trials)
    assert estimate(kept, TIMING, workers=1).disk_bytes == 2 * 1100 + 2 * 1060 + 40 + 28


def test_views_that_come_again_end_stages_in_hours_too(study: Study, tmp_path: Path) -> None:
    trials, _ = plan(study, tmp_path / "run")
    recipe = study.recipe
    detector = replace(recipe.detector, steps=5000)
    views = replace(recipe.views, per_photo=4)
    kept = replace(study, recipe=replace(recipe, views=views, detector=detector))
    # Eight views are worth a thousand steps of the detector; the other stages have one each.
    training = 100 + 1000 * 1000 + 10000 + 100
    assert TIMING.seconds(replace(trials[0], study=kept)) == 2 * 1 + training + (2 + 2) * 0.5


def test_hours_are_those_of_finished_trials_that_are_like(study: Study, tmp_path: Path) -> None:
    longer = replace(study, budgets_hours=(3.0, 6.0))
    trials, _ = plan(longer, tmp_path / "run")
    by_name = {trial.name: trial for trial in trials}
    finish(by_name["full_3h_seed0"], 10.0)
    finish(by_name["full_3h_seed1"], 20.0)
    finish(by_name["full_6h_seed0"], 100.0)
    found = estimate(trials, TIMING, workers=1)
    assert found.from_rows
    # One of full at 6 h; of boxes and tags nothing is known, so that all at the same budget count.
    # Those of 6 h buy the four images of 3 h again, and are not trained.
    assert found.seconds == 100 + 2 * 15
    kept = [replace(trial, study=replace(longer, keep_links=True)) for trial in trials]
    assert estimate(kept, TIMING, workers=1).seconds == 100 + 2 * 15 + 2 * 100
    for trial in trials:
        finish(trial, 1.0)
    assert estimate(trials, TIMING, workers=1).seconds == 0


def test_parts_are_measured(study: Study, tmp_path: Path) -> None:
    trials, _ = plan(study, tmp_path / "run")
    threads = torch.get_num_threads()
    timing = time_parts(trials, at_once=2)
    assert torch.get_num_threads() == threads
    assert set(timing.label_seconds) == {"full", "boxes+tags"}
    assert list(timing.step_seconds) == ["semantic", "detector", "instance"]
    measured = [*timing.label_seconds.values(), *timing.step_seconds.values()]
    assert all(0 < seconds < 60 for seconds in [*measured, timing.predict_seconds])
    assert timing.label_bytes > 100
    assert timing.network_bytes > 1e5
    assert timing.feature_bytes == 0  # Its backbone learns.
    assert not (tmp_path / "run").exists()
