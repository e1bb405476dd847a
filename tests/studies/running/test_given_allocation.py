from dataclasses import replace
from pathlib import Path

import pytest

from annotools.allocation.allocate import allocate
from annotools.allocation.plan_file import PlanSettings, read_allocation, write_allocation
from annotools.errors import RecipeError
from annotools.formats import read_dataset
from studies.running import runner
from studies.study import Study, take_allocation
from tests.studies.in_process import key_of
from tests.studies.study_builders import make_study


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


def test_an_allocation_of_other_categories_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "given.json"
    study = make_study(tmp_path, allocation=str(path))
    plan_for(study, path, {"full": 1.0}, 1.5)
    study = take_allocation(study)
    few = replace(study, dataset=replace(study.dataset, categories="car"))
    with pytest.raises(RecipeError, match="for the categories all, not for car"):
        runner.plan_trials(few, tmp_path / "run")
