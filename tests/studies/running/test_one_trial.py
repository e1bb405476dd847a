import json
from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import DatasetError, RecipeError, UnfinishedError
from annotools.locks import hold
from annotools.seals import write_sealed_json
from studies.folder import FEATURES_FOLDER
from studies.running import one_trial, runner, trial_process
from studies.study import load_study
from studies.trials import Trial
from tests.studies.in_process import FULL, failing, key_of
from tests.studies.study_builders import make_study
from tests.wsps.pseudo_label_runs import counted


def test_one_trial_of_a_study_runs_in_its_folder(tmp_path: Path, ran: list[Trial]) -> None:
    study, folder = make_study(tmp_path, seeds=[0, 1]), tmp_path / "run"
    row = one_trial.run_one(study, folder, "boxes+tags_3h_seed1")
    assert key_of(row) == ("boxes+tags", 3.0, 1)
    assert one_trial.run_one(study, folder, "boxes+tags_3h_seed1") == row
    # A study that is stored stays, and the others find what is done.
    one_trial.run_one(replace(study, seeds=(5,)), folder, "full_3h_seed5")
    assert load_study(folder / "study.json") == study
    assert len(runner.run_study(study, folder, workers=1).results) == 4
    assert [key_of(trial) for trial in ran] == [
        *(("boxes+tags", 3.0, 1), ("full", 3.0, 5)),
        *(("full", 3.0, 0), ("full", 3.0, 1), ("boxes+tags", 3.0, 0)),
    ]


@pytest.mark.usefixtures("ran")
def test_features_go_with_the_last_trial(tmp_path: Path) -> None:
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[0, 1]), tmp_path / "run"
    features = folder / FEATURES_FOLDER
    features.mkdir(parents=True)
    one_trial.run_one(study, folder, "full_3h_seed0")
    assert features.is_dir()
    # A damaged row is none, and the study is the one that is stored, whatever is asked for now.
    row = folder / "trials/full_3h_seed0/result.json"
    whole = row.read_bytes()
    row.write_bytes(whole[:-9])
    one_trial.run_one(replace(study, seeds=(1,)), folder, "full_3h_seed1")
    assert features.is_dir()
    row.write_bytes(whole)
    one_trial.run_one(study, folder, "full_3h_seed1")
    assert not features.exists()


@pytest.mark.parametrize("name", ["full_3_seed0", "full", "x", "full_3h_seed1"])
def test_a_name_that_no_trial_has_gets_those_near(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    message = f"--trial '{name}': the study 'small' has no such trial; near it are .*full_3h_seed0"
    with pytest.raises(RecipeError, match=message + ".*--dry-run` lists all"):
        one_trial.run_one(make_study(tmp_path), folder, name)
    assert not folder.exists()


def test_one_trial_that_fails_or_is_being_run_is_told(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[1]), tmp_path / "run"
    succeed = trial_process.run_trial
    monkeypatch.setattr(trial_process, "run_trial", failing(DatasetError("bad"), succeed))
    with pytest.raises(UnfinishedError, match="full_3h_seed1 failed: bad"):
        one_trial.run_one(study, folder, "full_3h_seed1")
    monkeypatch.setattr(trial_process, "run_trial", succeed)
    with (
        hold(folder / ".state/running/full_3h_seed1"),
        pytest.raises(UnfinishedError, match=r"seed1: is being run by another process \(process"),
    ):
        one_trial.run_one(study, folder, "full_3h_seed1")
    # Whoever asks for one trial wants it, also where it failed.
    assert one_trial.run_one(study, folder, "full_3h_seed1").seed == 1


def test_a_stored_trial_needs_no_new_plan(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[0, 1]), tmp_path / "run"
    planned = runner.prepare(study, folder)
    assert [trial_process.read_trial(trial.stored_path) for trial in planned] == planned
    plans = counted(monkeypatch, one_trial, "plan_trials")
    one_trial.run_one(study, folder, "full_3h_seed0")
    assert plans == []
    dearer = replace(study, share_by="images")
    assert one_trial.run_one(dearer, folder, "full_3h_seed1").digest == dearer.digest("full")
    assert len(plans) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("mix", 5), ("mix", "none of the study"), ("budget_hours", "3"), ("seed", 0.5)),
        *(("seed", 10**400), ("spent_hours", []), ("actions", [1]), ("actions", {"box": "x"})),
        *(("kind_of", 5), ("kind_of", None), ("kind_of", [[1]]), ("kind_of", [[[], "full"]])),
        *(("kind_of", [[1, []]]), ("kind_of", [[1, "gold"]]), ("study", None), ("study", [])),
        *(("made_with", 7), ("made_with", [[]]), ("more", 1)),
    ],
)
def test_a_damaged_trial_is_one_line(tmp_path: Path, name: str, value: object) -> None:
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[0]), tmp_path / "run"
    (trial,) = runner.prepare(study, folder)
    table = json.loads(trial.stored_path.read_text())
    del table["sha256"]
    # One that somebody wrote with our seal.
    write_sealed_json(trial.stored_path, {**table, name: value})
    with pytest.raises(RecipeError, match=r"trial\.json: not a trial \(") as caught:
        trial_process.read_trial(trial.stored_path)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 400
    for text in (json.dumps({**table, name: value}), '{"a":' * 50_000, "[]"):
        trial.stored_path.write_text(text)
        with pytest.raises(RecipeError, match=r"trial\.json: missing, damaged or not a trial"):
            trial_process.read_trial(trial.stored_path)
