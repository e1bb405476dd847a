import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from annotools.allocation.allocate import allocate
from annotools.allocation.plan_file import PlanSettings, read_allocation, write_allocation
from annotools.errors import DatasetError, RecipeError
from annotools.formats import read_dataset
from annotools.locks import hold
from annotools.parallel import Lost
from annotools.prices.actions import price_seconds
from annotools.prices.times import read_times
from studies.engines import local
from studies.failures import read_failure
from studies.folder import start_study
from studies.running import runner, trial_process
from studies.study import Study, take_allocation
from studies.trials import Trial
from tests.studies.in_process import FULL, failing, key_of
from tests.studies.study_builders import make_study
from tests.wsps.pseudo_label_runs import counted
from wsps.networks.backbone import build_backbone
from wsps.networks.weights import describe_weights
from wsps.pseudo_labels import label_store
from wsps.recipe import BackboneSettings


def test_trials_come_by_mix_budget_and_seed(tmp_path: Path) -> None:
    study = make_study(tmp_path, budgets_hours=[6, 1.5], seeds=[1, 0])
    trials = runner.plan_trials(study, tmp_path / "run")
    assert [key_of(trial) for trial in trials] == [
        (mix, hours, seed)
        for mix in ("full", "boxes+tags")
        for hours in (1.5, 6.0)
        for seed in (1, 0)
    ]
    # A full image takes 1.5 h, and there are four.
    assert [(len(t.kind_of), t.spent_hours) for t in trials[:4]] == [(1, 1.5)] * 2 + [(4, 6.0)] * 2
    assert all(set(trial.kind_of.values()) == {"boxes+tags"} for trial in trials[4:])


@pytest.mark.parametrize("kind", ["full", "boxes+tags"])
def test_a_trial_knows_what_its_annotators_do(tmp_path: Path, kind: str) -> None:
    (trial,) = runner.plan_trials(make_study(tmp_path, {kind: {kind: 1}}), tmp_path)
    seconds = price_seconds(trial.actions, read_times(trial.study.times))
    assert seconds / 3600 == pytest.approx(trial.spent_hours)


def test_only_the_first_images_can_be_bought(tmp_path: Path) -> None:
    study = make_study(tmp_path, budgets_hours=[100])
    study = replace(study, dataset=replace(study.dataset, max_train_images=2))
    for trial in runner.plan_trials(study, tmp_path):
        assert sorted(trial.kind_of) == [0, 1]


def test_crops_of_the_recipe_are_what_tags_cost(tmp_path: Path) -> None:
    study = make_study(tmp_path, mixes={"tags": {"tags": 1}}, budgets_hours=[100])
    tags = replace(study.recipe.tags, crop_size_wh=(16, 16))
    cropped = replace(study, recipe=replace(study.recipe, tags=tags))
    (whole,) = runner.plan_trials(study, tmp_path)
    (many,) = runner.plan_trials(cropped, tmp_path)
    assert many.spent_hours > 2 * whole.spent_hours


def test_budget_that_buys_nothing_stops_all_before_anything_runs(
    tmp_path: Path, ran: list[Trial]
) -> None:
    study = make_study(tmp_path, budgets_hours=[1, 3])
    with pytest.raises(
        RecipeError, match="budgets_hours: 1 h buys no image under mix 'full' with seed 0"
    ):
        runner.run_study(study, tmp_path / "run", workers=1)
    assert ran == []
    assert not (tmp_path / "run").exists()


def test_an_unknown_student_stops_all_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown student 'fcn': use li2018 or mask-rcnn"):
        runner.run_study(make_study(tmp_path, student="fcn"), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 0]}, "seeds has one value twice: 0, 0"),
        ({"seeds": [-1]}, "must not be negative"),
        ({"budgets_hours": [3, 3.0000001]}, "budgets_hours has one value twice: 3, 3"),
        ({"mixes": {"a/b": {"full": 1}}}, "'a/b': its name must do as a file's name"),
        ({"mixes": {".a": {"full": 1}}}, "rename it"),
    ],
)
def test_trials_that_would_share_a_file_are_refused(
    tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        runner.plan_trials(make_study(tmp_path, **changes), tmp_path / "run")


@pytest.mark.parametrize("split", ["train", "val"])
def test_empty_split_is_refused(tmp_path: Path, split: str) -> None:
    (tmp_path / "world.toml").write_text(f"num_{split} = 0\n")
    with pytest.raises(DatasetError, match=f"split '{split}' has no image"):
        runner.plan_trials(make_study(tmp_path), tmp_path / "run")


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


def test_a_damaged_failure_is_none(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed = trial_process.run_trial
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[1]), tmp_path / "run"
    monkeypatch.setattr(trial_process, "run_trial", failing(DatasetError("bad"), succeed))
    assert len(runner.run_study(study, folder, workers=1).failures) == 1
    path = folder / "trials/full_3h_seed1/failure.json"
    path.write_text(path.read_text().replace('"bad"', '"good"'))
    monkeypatch.setattr(trial_process, "run_trial", succeed)
    assert len(runner.run_study(study, folder, workers=1).results) == 1


def test_result_of_other_settings_is_named(tmp_path: Path, ran: list[Trial]) -> None:
    folder = tmp_path / "run"
    mixes = {"m": {"full": 1}}
    runner.run_study(make_study(tmp_path, mixes=mixes), folder, workers=1)
    other = make_study(tmp_path, mixes={"m": {"full": 2}})
    with pytest.raises(RecipeError, match=r"m_3h_seed0/result\.json: made with other settings"):
        runner.run_study(other, folder, workers=1)
    assert len(ran) == 1


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


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DatasetError("a.png: photo is\n gone"), "a.png: photo is gone"),
        (
            OSError(28, "No space left on device", "a.png"),
            "a.png: No space left on device: free some of it and repeat the command",
        ),
        (KeyError("x"), "KeyError: 'x' (trials/full_3h_seed1/traceback.txt)"),
        (MemoryError(), "MemoryError (trials/full_3h_seed1/traceback.txt)"),
    ],
)
def test_a_trial_that_fails_harms_no_other_and_runs_again_when_asked(
    tmp_path: Path,
    ran: list[Trial],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
) -> None:
    succeed = trial_process.run_trial
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[1, 0]), tmp_path / "run"
    failure_path = folder / "trials/full_3h_seed1/failure.json"
    log = failure_path.with_name("traceback.txt")
    monkeypatch.setattr(trial_process, "run_trial", failing(error, succeed))
    first = runner.run_study(study, folder, workers=1)
    assert [row.seed for row in first.results] == [0]
    assert [(failure.seed, failure.error) for failure in first.failures] == [(1, message)]
    assert first.left == {}
    assert read_failure(failure_path) == first.failures[0]
    assert set(json.loads(failure_path.read_text())) == {
        *("study", "mix", "budget_hours", "seed", "error", "digest", "weights", "code_version"),
        "sha256",
    }
    assert log.exists() == ("traceback" in message)
    assert not log.exists() or "in run_trial" in log.read_text()
    # Without being asked nothing runs again, and what failed is told again.
    monkeypatch.setattr(trial_process, "run_trial", succeed)
    again = runner.run_study(study, folder, workers=1)
    assert (len(ran), again) == (1, first)
    last = runner.run_study(study, folder, workers=1, retry_failed=True)
    assert ([row.seed for row in last.results], last.failures) == ([1, 0], [])
    assert [path.name for path in failure_path.parent.iterdir()] == ["result.json"]


def test_a_failure_of_other_settings_does_not_count(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed = trial_process.run_trial
    study, folder = make_study(tmp_path, mixes={"m": {"full": 1}}, seeds=[1]), tmp_path / "run"
    monkeypatch.setattr(trial_process, "run_trial", failing(DatasetError("bad"), succeed))
    assert len(runner.run_study(study, folder, workers=1).failures) == 1
    monkeypatch.setattr(trial_process, "run_trial", succeed)
    other = make_study(tmp_path, mixes={"m": {"full": 2}}, seeds=[1])
    assert len(runner.run_study(other, folder, workers=1).results) == 1


def test_a_trial_that_another_process_runs_is_left_to_it(tmp_path: Path, ran: list[Trial]) -> None:
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[0, 1]), tmp_path / "run"
    start_study(study, folder)
    with hold(folder / ".state/running/full_3h_seed1") as is_ours:
        assert is_ours
        found = runner.run_study(study, folder, workers=1)
    assert [row.seed for row in found.results] == [0]
    assert found.left == {"full_3h_seed1": "run by another process"}
    assert len(runner.run_study(study, folder, workers=1).results) == 2


def test_a_process_that_is_killed_costs_its_trial(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = {0: -signal.SIGKILL, 1: -signal.SIGTERM, 2: -signal.SIGSEGV, 3: 3}

    def lose(_: object, items: Sequence[Path], *__: object) -> Iterator[tuple[Path, Lost]]:
        for item in items:
            seed = trial_process.read_trial(item).seed
            yield item, Lost(exit_code=codes[seed])

    monkeypatch.setattr(local, "run_isolated", lose)
    study = make_study(tmp_path, mixes=FULL, seeds=list(codes))
    found = runner.run_study(study, tmp_path / "run", workers=2)
    assert {failure.seed: failure.error for failure in found.failures} == {
        0: "its process was killed, most often for lack of memory: run it with fewer --workers",
        2: "its process crashed (SIGSEGV)",
        3: "its process ended with status 3",
    }
    # Whoever sends SIGTERM wants a process to stop, and its trial to go on later.
    assert found.left == {"full_3h_seed1": "stopped"}


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


def plan_for(study: Study, path: Path, mix: dict[str, float], budget_hours: float) -> None:
    train = read_dataset("scenes", study.dataset.root, "train")
    settings = PlanSettings(
        format="scenes",
        root=study.dataset.root,
        split="train",
        mix=mix,
        budget_hours=budget_hours,
    )
    prices = {image.image_id: dict.fromkeys(mix, 3600.0) for image in train.images}
    write_allocation(path, allocate(settings, prices))


def test_an_allocation_is_one_trial_a_seed(tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    study = make_study(tmp_path, seeds=[4, 2], allocation=str(path))
    plan_for(study, path, {"full": 1.0, "none": 1.0}, 2.5)
    study = take_allocation(study)
    trials = runner.plan_trials(study, tmp_path / "run")
    assert [key_of(trial) for trial in trials] == [("given", 2.5, 4), ("given", 2.5, 2)]
    for trial in trials:
        assert dict(trial.kind_of) == dict(read_allocation(path).kind_of)
        assert sorted(trial.kind_of.values()) == ["full", "full", "none", "none"]
        assert trial.spent_hours == 2
    limited = replace(study, dataset=replace(study.dataset, max_train_images=1))
    with pytest.raises(RecipeError, match=r"given\.json: 3 images are not in the dataset"):
        runner.plan_trials(limited, tmp_path / "run")
    plan_for(study, path, {"full": 1.0, "none": 1.0}, 1.5)
    with pytest.raises(RecipeError, match=r"given\.json: has another mix or budget"):
        runner.plan_trials(study, tmp_path / "run")


def test_an_allocation_with_tags_of_other_crops_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    study = make_study(tmp_path, allocation=str(path))
    recipe = replace(study.recipe, tags=replace(study.recipe.tags, crop_size_wh=(9, 8)))
    for kind, is_refused in (("boxes", False), ("boxes+tags", True)):
        plan_for(study, path, {kind: 1.0}, 1.5)
        other = take_allocation(replace(study, recipe=recipe))
        if is_refused:
            with pytest.raises(RecipeError, match=r"whole images, not for crops of 9x8"):
                runner.plan_trials(other, tmp_path / "run")
        else:
            assert runner.plan_trials(other, tmp_path / "run")


def test_an_allocation_without_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    study = make_study(tmp_path, allocation=str(path))
    plan_for(study, path, {"full": 1.0, "none": 1.0}, 0.5)
    with pytest.raises(RecipeError, match="buy no image under mix 'given' with seed 0"):
        runner.plan_trials(take_allocation(study), tmp_path / "run")


def test_order_and_basis_of_shares_are_followed(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("3\n1\n2\n")
    mixes = {"m": {"full": 1, "none": 1}}
    study = make_study(tmp_path, mixes=mixes, share_by="images", order=str(tmp_path / "list.txt"))
    (trial,) = runner.plan_trials(study, tmp_path)
    assert list(trial.kind_of.items()) == [(3, "full"), (1, "none"), (2, "full")]


def test_images_with_most_categories_come_first(tmp_path: Path) -> None:
    study = make_study(tmp_path, mixes={"m": {"full": 1}}, order="most-categories")
    (trial,) = runner.plan_trials(study, tmp_path)
    train = read_dataset("scenes", study.dataset.root, "train")
    counts = {
        image.image_id: len({s.category_id for s in train.read_label(image).segments})
        for image in train.images
    }
    bought = [counts[image_id] for image_id in trial.kind_of]
    assert bought == sorted(counts.values(), reverse=True)[:2]


def test_an_allocation_of_other_categories_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    study = make_study(tmp_path, allocation=str(path))
    plan_for(study, path, {"full": 1.0}, 1.5)
    study = take_allocation(study)
    few = replace(study, dataset=replace(study.dataset, categories="car"))
    with pytest.raises(RecipeError, match="for the categories all, not for car"):
        runner.plan_trials(few, tmp_path / "run")


def test_few_categories_are_what_a_budget_buys(tmp_path: Path) -> None:
    study = make_study(tmp_path, mixes={"boxes": {"boxes": 1}}, budgets_hours=[100])
    few = replace(study, dataset=replace(study.dataset, categories="car"))
    (all_of_it,), (cars,) = (runner.plan_trials(s, tmp_path / "run") for s in (study, few))
    train = read_dataset("scenes", study.dataset.root, "train")
    labels = [train.read_label(image) for image in train.images]
    num_cars = sum(s.category_id == 12 for label in labels for s in label.segments)
    assert cars.spent_hours == pytest.approx(7 * num_cars / 3600)
    assert 0 < cars.spent_hours < all_of_it.spent_hours
    assert few.digest("boxes") != study.digest("boxes")
    unknown = replace(study, dataset=replace(study.dataset, categories="car,tram"))
    with pytest.raises(RecipeError, match="has no category 'tram'; it has road, sidewalk, "):
        runner.plan_trials(unknown, tmp_path / "run")


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
