import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from annotools.errors import DatasetError, RecipeError
from annotools.locks import hold
from studies.engines import local
from studies.folder import start_study
from studies.results import read_result, write_result
from studies.running import runner, trial_process
from studies.study import Study
from studies.trials import Trial
from tests.studies.in_process import FULL, key_of
from tests.studies.study_builders import make_study
from tests.wsps.pseudo_label_runs import counted
from wsps.networks.backbone import build_backbone
from wsps.networks.weights import describe_weights
from wsps.pseudo_labels import label_store
from wsps.recipe import BackboneSettings


def test_budget_that_buys_nothing_stops_all_before_anything_runs(
    tmp_path: Path, ran: list[Trial]
) -> None:
    study = make_study(tmp_path, budgets_hours=[1, 3])
    with pytest.raises(
        RecipeError,
        match=r"budgets_hours: 1 h buys no image under mix 'full' with seed 0, whose first takes "
        r"1\.5 h \(full\): raise the budget",
    ):
        runner.run_study(study, tmp_path / "run", workers=1)
    assert ran == []
    assert not (tmp_path / "run").exists()


def test_an_unknown_student_stops_all_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown student 'fcn': use li2018 or mask-rcnn"):
        runner.run_study(make_study(tmp_path, student="fcn"), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


def test_what_is_added_runs_and_what_is_done_does_not(tmp_path: Path, ran: list[Trial]) -> None:
    folder = tmp_path / "run"
    first = runner.run_study(make_study(tmp_path), folder, workers=1).results
    assert [key_of(r) for r in first] == [key_of(t) for t in ran]
    assert len(ran) == 2
    ran.clear()
    more = make_study(
        tmp_path,
        mixes={"full": {"full": 1}, "boxes+tags": {"boxes+tags": 1}, "tags": {"tags": 1}},
        seeds=[0, 1],
    )
    results = runner.run_study(more, folder, workers=1).results
    assert {key_of(t) for t in ran} == {
        ("full", 3.0, 1),
        ("boxes+tags", 3.0, 1),
        ("tags", 3.0, 0),
        ("tags", 3.0, 1),
    }
    assert len(results) == 6


def test_links_that_were_kept_stay_whatever_the_study_says_later(
    tmp_path: Path, ran: list[Trial]
) -> None:
    kept, folder = make_study(tmp_path, mixes=FULL, keep_links=True), tmp_path / "run"
    runner.run_study(kept, folder, workers=1)
    (trial,) = ran
    model = trial.folder / "run/semantic.pt"
    model.parent.mkdir(parents=True)
    model.touch()
    runner.run_study(replace(kept, keep_links=False), folder, workers=1)
    assert model.exists()
    # Those of a trial that was stopped just before it removed them go.
    trial_process.store_trial(replace(trial, study=replace(kept, keep_links=False)))
    runner.run_study(replace(kept, keep_links=False), folder, workers=1)
    assert not model.parent.exists()


@pytest.mark.parametrize("change", ["bit", "cut", "empty", "swap"])
def test_a_damaged_row_is_made_again_and_told(
    tmp_path: Path, ran: list[Trial], change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[0, 1]), tmp_path / "run"
    first = runner.run_study(study, folder, workers=1)
    rows = [folder / f"trials/full_3h_seed{seed}/result.json" for seed in (0, 1)]
    whole = rows[0].read_text()
    changed = {
        "bit": whole.replace('"pq": 0.5', '"pq": 0.4'),
        "cut": whole[:100],
        "empty": "",
        "swap": rows[1].read_text(),
    }
    assert changed[change] != whole
    rows[0].write_text(changed[change])
    ran.clear()
    capsys.readouterr()
    assert runner.run_study(study, folder, workers=1) == first
    assert [trial.seed for trial in ran] == [0]
    assert f"note: {folder}: 1 damaged part was made again\n" in capsys.readouterr().err
    assert rows[0].read_text() == whole


def test_a_row_that_was_brought_without_a_seal_is_taken(tmp_path: Path, ran: list[Trial]) -> None:
    study, folder = make_study(tmp_path, mixes=FULL), tmp_path / "run"
    first = runner.run_study(study, folder, workers=1).results
    row = folder / "trials/full_3h_seed0/result.json"
    table = json.loads(row.read_text())
    del table["sha256"]
    row.write_text(json.dumps(table))
    assert runner.run_study(study, folder, workers=1).results == first
    assert len(ran) == 1


def test_result_of_other_settings_is_named(tmp_path: Path, ran: list[Trial]) -> None:
    folder = tmp_path / "run"
    mixes = {"m": {"full": 1}}
    runner.run_study(make_study(tmp_path, mixes=mixes), folder, workers=1)
    other = make_study(tmp_path, mixes={"m": {"full": 2}})
    with pytest.raises(RecipeError, match=r"m_3h_seed0/result\.json: made with other settings"):
        runner.run_study(other, folder, workers=1)
    assert len(ran) == 1


def test_rows_of_a_dataset_that_has_changed_are_named(tmp_path: Path, ran: list[Trial]) -> None:
    study, folder = make_study(tmp_path, mixes=FULL), tmp_path / "run"
    runner.run_study(study, folder, workers=1)
    (trial,) = ran
    row = read_result(trial.result_path)
    bought = {"images": trial.images, "spent_hours": trial.spent_hours, "actions": trial.actions}
    write_result(replace(row, **bought), trial.result_path)
    assert runner.run_study(study, folder, workers=1).was_finished
    changed = {name: 2 * count for name, count in trial.actions.items()}
    assert changed != trial.actions
    for other in ({"actions": changed}, {"images": {"full": 99}}, {"spent_hours": 0.1}):
        write_result(replace(row, **(bought | other)), trial.result_path)
        with pytest.raises(RecipeError, match=r"result\.json: bought other labels .* dataset has"):
            runner.run_study(study, folder, workers=1)


def with_weights(study: Study, path: Path) -> Study:
    backbone = replace(study.recipe.backbone, weights=str(path))
    return replace(study, recipe=replace(study.recipe, backbone=backbone))


def test_weights_that_cannot_be_had_are_told_before_anything_is_read(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the dataset was read")

    monkeypatch.setattr(runner, "plan_trials", fail)
    study = with_weights(make_study(tmp_path), tmp_path / "w.pt")
    with pytest.raises(RecipeError, match=r"w\.pt: no such file: .* or choose a recipe"):
        runner.run_study(study, tmp_path / "run", workers=1)
    assert ran == []
    assert not (tmp_path / "run").exists()


def test_rows_of_weights_that_were_replaced_are_named(tmp_path: Path, ran: list[Trial]) -> None:
    path, folder = tmp_path / "w.pt", tmp_path / "run"
    study = with_weights(make_study(tmp_path, mixes={"m": {"full": 1}}), path)
    states = [build_backbone(BackboneSettings()).layers.state_dict() for _ in range(2)]
    torch.save(states[0], path)
    (row,) = runner.run_study(study, folder, workers=1).results
    assert row.weights == describe_weights(study.recipe.backbone)
    again = runner.run_study(study, folder, workers=1)
    assert (again.results, again.was_finished) == ([row], True)
    torch.save(states[1], path)
    with pytest.raises(RecipeError, match=r"m_3h_seed0/result\.json: made with other settings"):
        runner.run_study(study, folder, workers=1)
    assert len(ran) == 1


def test_a_trial_that_another_process_runs_is_left_to_it(tmp_path: Path, ran: list[Trial]) -> None:
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[0, 1]), tmp_path / "run"
    start_study(study, folder)
    with hold(folder / ".state/running/full_3h_seed1") as is_ours:
        assert is_ours
        found = runner.run_study(study, folder, workers=1)
    assert [row.seed for row in found.results] == [0]
    assert found.left == {"full_3h_seed1": "run by another process"}
    assert len(runner.run_study(study, folder, workers=1).results) == 2


@pytest.mark.parametrize(("has_gpu", "expected"), [(True, 2), (False, 5)])
def test_workers_are_as_many_as_processors_or_as_a_gpu_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_gpu: bool, expected: int
) -> None:
    asked = []

    def count_workers(function: object, trials: list, workers: int, _: object) -> list:
        asked.append(workers)
        raise DatasetError("enough")

    monkeypatch.setattr(local, "run_isolated", count_workers)
    monkeypatch.setattr(local, "available_processors", lambda: 5)
    monkeypatch.setattr(local, "has_gpu", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (80 * 2**30, 80 * 2**30))
    with pytest.raises(DatasetError, match="enough"):
        runner.run_study(make_study(tmp_path), tmp_path / "run", workers=None)
    assert asked == [expected]


def test_trials_that_buy_the_same_boxes_find_their_labels_made_once(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = counted(monkeypatch, label_store, "label_from_boxes")
    mixes = {"boxes": {"boxes": 1}, "both": {"boxes+tags": 1}, "full": {"full": 1}}
    study = make_study(tmp_path, mixes=mixes, budgets_hours=[3, 6], seeds=[0, 1])
    runner.run_study(study, tmp_path / "run", workers=1)
    assert len(ran) == 12
    assert len(made) == len(list((tmp_path / "run/box_labels").iterdir())) == 4


def test_images_that_are_bought_are_not_scored(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    study = replace(study, dataset=replace(study.dataset, val_split="train"))
    with pytest.raises(RecipeError, match="'train' is both bought and scored: name another"):
        runner.run_study(study, tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


def test_a_stored_trial_whose_files_changed_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("3\n1\n2\n")
    study = make_study(tmp_path, mixes=FULL, order=str(tmp_path / "list.txt"))
    (trial,) = runner.prepare(study, tmp_path / "run")
    (tmp_path / "list.txt").write_text("2\n1\n")
    with pytest.raises(RecipeError, match=r"trial\.json: a file that its study names has changed"):
        trial_process.read_trial(trial.stored_path)
    trial.stored_path.write_text("{}")
    with pytest.raises(RecipeError, match=r"trial\.json: .* not a trial"):
        trial_process.read_trial(trial.stored_path)
