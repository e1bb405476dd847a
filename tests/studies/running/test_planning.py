from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import DatasetError, RecipeError
from annotools.formats import read_dataset
from annotools.prices.actions import price_seconds
from annotools.prices.times import read_times
from studies.running import runner
from studies.running.planning import plan_trials
from tests.studies.in_process import key_of
from tests.studies.study_builders import make_study
from wsps.recipe import BoxSettings


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


def test_an_unknown_method_of_boxes_is_told_before_anything_is_planned(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    recipe = replace(study.recipe, boxes=BoxSettings(method="foo"))
    with pytest.raises(RecipeError, match=r"unknown boxes\.method 'foo': use agreed, grabcut"):
        plan_trials(replace(study, recipe=recipe), tmp_path / "run")


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
