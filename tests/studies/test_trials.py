import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotools.categories import IGNORE_INDEX
from annotools.errors import DatasetError
from annotools.formats import read_dataset
from annotools.formats.given_labels import read_boxes
from annotools.label_maps import class_map
from annotools.records import Dataset
from studies import trials
from studies.examples import read_examples
from studies.study import dataset_table
from studies.trials import LINKS, Trial, run_trial
from tests.studies.study_builders import make_study
from tests.wsps.pseudo_label_runs import counted
from wsps import inference
from wsps.pseudo_labels import label_images, rounds
from wsps.training import stages


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(
        study=make_study(tmp_path),
        mix="full",
        budget_hours=3.0,
        seed=0,
        kind_of={0: "full", 1: "boxes", 2: "none"},
        spent_hours=1.5,
        actions={"full_image": 1, "box": 3},
        study_folder=tmp_path / "run",
    )


def keeping(trial: Trial, **changes: Any) -> Trial:
    study = replace(trial.study, keep_links=True, **changes)
    return replace(trial, study=study)


def labels_of(trial: Trial) -> Dataset:
    return read_dataset("coco-panoptic", trial.folder / "labels", "photos")


def test_a_trial_without_labels_is_refused(trial: Trial) -> None:
    for kind_of in ({}, {0: "none"}):
        with pytest.raises(DatasetError, match="buy no image"):
            run_trial(replace(trial, kind_of=kind_of))


def test_a_trial_leaves_its_row_and_counts_the_images_it_used(trial: Trial) -> None:
    row = run_trial(trial)
    assert row.images == {"boxes": 1, "full": 1, "none": 1}
    assert (row.actions, row.times) == ({"full_image": 1, "box": 3}, trial.study.times)
    # One class everywhere has some share of the pixels, and the other classes count as 0.
    assert row.trivial_pq is not None
    assert row.trivial_miou is not None
    assert 0 < row.trivial_miou < 0.5
    assert {path.name for path in trial.folder.iterdir()} == {"examples", "result.json"}
    assert len(list((trial.study_folder / "box_labels").iterdir())) == 1
    # Two scenes are scored.
    examples = read_examples(trial.folder / "examples")
    assert [set(one.true_names) >= {"road"} for one in examples] == [True, True]
    assert set(row.class_pq) >= {"road", "car"}


def test_a_row_says_how_long_each_stage_was_and_whether_all_had_converged(trial: Trial) -> None:
    fixed = run_trial(trial)
    assert fixed.steps == {"semantic": 1, "detector": 1, "instance": 1}
    assert fixed.converged is None
    recipe = trial.study.recipe
    # A single step cannot be told to be flat.
    detector = replace(recipe.detector, schedule="flat")
    study = replace(trial.study, recipe=replace(recipe, detector=detector))
    flat = run_trial(replace(trial, study=study, study_folder=trial.study_folder / "flat"))
    assert flat.steps == fixed.steps
    assert flat.converged is False


def test_what_another_budget_bought_too_is_not_trained_again(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = replace(trial, study=replace(trial.study, budgets_hours=(trial.budget_hours, 50, 100)))
    row = run_trial(trial)
    trained = counted(monkeypatch, trials, "train")
    larger = replace(trial, budget_hours=50)
    assert run_trial(larger) == replace(row, budget_hours=50)
    assert {path.name for path in larger.folder.iterdir()} == {"examples", "result.json"}
    assert read_examples(larger.folder / "examples") == read_examples(trial.folder / "examples")
    assert trained == []
    # Another seed, another purchase or other settings are another model; links are of each trial.
    run_trial(replace(trial, seed=trial.seed + 1))
    run_trial(replace(trial, budget_hours=100, actions={**trial.actions, "box": 4}))
    other = replace(trial.study, ap_thresholds="cityscapes")
    run_trial(replace(trial, study=other, budget_hours=100))
    assert len(trained) == 3
    run_trial(replace(keeping(trial), budget_hours=100))
    assert len(trained) == 4


def test_the_row_names_the_student_that_was_trained(trial: Trial) -> None:
    student = replace(trial, study=replace(trial.study, student="mask-rcnn"))
    assert run_trial(student).student == "mask-rcnn"
    assert student.study.digest("full") != trial.study.digest("full")


def test_links_can_be_kept(trial: Trial) -> None:
    run_trial(keeping(trial))
    names = {path.name for path in trial.folder.iterdir()}
    assert names == {*LINKS, "examples", "result.json"}
    kinds = json.loads((trial.folder / "labels/manifest.json").read_text())["labels"]
    assert {entry["image_id"]: entry["kind"] for entry in kinds} == trial.kind_of


INSIDE_AND_BETWEEN = [
    (label_images, "write_label", 2),
    (rounds, "write_label_set", 1),
    (stages, "train_semantic", 1),
    (label_images, "next_label", 2),
    (trials, "train", 1),
    (stages, "train_detector", 1),
    (stages, "train_instance", 1),
    (trials, "predict_images", 1),
    (inference, "write_label", 2),
    (trials, "score_prediction", 1),
    (trials, "write_result", 1),
]
"""Where a trial is stopped: before the so many-th call of a function, inside links and between."""


@pytest.mark.parametrize(
    ("module", "name", "number"),
    INSIDE_AND_BETWEEN,
    ids=[name for _, name, _ in INSIDE_AND_BETWEEN],
)
def test_a_trial_that_was_stopped_goes_on_where_it_was(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, number: int
) -> None:
    whole = run_trial(replace(trial, study_folder=trial.study_folder / "whole"))
    with monkeypatch.context() as stopped:
        function: Callable[..., Any] = getattr(module, name)
        calls = []

        def stop(*arguments: Any, **named: Any) -> Any:
            calls.append(name)
            if len(calls) == number:
                raise KeyboardInterrupt
            return function(*arguments, **named)

        stopped.setattr(module, name, stop)
        with pytest.raises(KeyboardInterrupt):
            run_trial(trial)
    assert not trial.result_path.exists()
    # Of an image, the label is written last.
    whole_files = [*trial.folder.rglob("panoptic/*.png"), *trial.folder.rglob("*.pt")]
    done = {path: path.stat().st_mtime_ns for path in whole_files}
    again = run_trial(keeping(trial))
    assert replace(again, seconds=whole.seconds) == whole
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())


def test_mistakes_are_in_the_labels_alone(trial: Trial, tmp_path: Path) -> None:
    habits = tmp_path / "habits.toml"
    habits.write_text("[boxes]\ncorner_shift = 0.2\n[polygons]\nboundary_shift = 2")
    careful = keeping(trial)
    careless = replace(keeping(trial, annotator=habits), study_folder=tmp_path / "careless")
    other_seed = replace(careless, seed=1)
    maps, boxes = [], []
    for one in (careful, careless, other_seed):
        run_trial(one)
        labels = labels_of(one)
        maps.append(class_map(labels.read_label(labels.images[0]), labels.categories))
        boxes.append(read_boxes(one.folder / "labels/boxes.json").weak_of[1].boxes)
    assert 0.5 < np.mean(maps[0] == maps[1]) < 1
    assert len(boxes[0]) == len(boxes[1])
    assert len({*boxes}) == 3
    assert len(list((tmp_path / "careless/box_labels").iterdir())) == 2


def test_the_perfect_annotator_changes_nothing(trial: Trial, tmp_path: Path) -> None:
    habits = tmp_path / "habits.toml"
    habits.write_text("")
    perfect = replace(keeping(trial, annotator=habits), study_folder=tmp_path / "perfect")
    rows = [replace(run_trial(one), seconds=0, digest="") for one in (keeping(trial), perfect)]
    assert rows[0] == rows[1]


def test_a_round_relabels_all_but_full_labels(trial: Trial) -> None:
    run_trial(keeping(trial))
    dataset = read_dataset("scenes", trial.study.dataset.root, "train")
    labels = labels_of(trial)
    full, boxes, none = (labels.read_label(image) for image in labels.images)
    truth = dataset.read_label(dataset.images[0])
    np.testing.assert_array_equal(full.segment_map, truth.segment_map)
    first = read_dataset("coco-panoptic", trial.folder / "labels/rounds/0", "photos")
    assert [image.image_id for image in first.images] == [0, 1]
    before = class_map(first.read_label(first.images[1]), first.categories)
    after = class_map(boxes, labels.categories)
    # The masks from boxes overrule the network.
    things = np.isin(before, labels.categories.thing_indices)
    assert things.any()
    np.testing.assert_array_equal(after[things], before[things])
    assert not any(
        labels.categories.by_id(s.category_id).is_thing and not s.is_group for s in none.segments
    )


def test_few_categories_are_labelled_predicted_and_scored(trial: Trial) -> None:
    kinds = {0: "full", 1: "boxes+tags"}
    few = keeping(trial, dataset=replace(trial.study.dataset, categories="car,road"))
    row = run_trial(replace(few, kind_of=kinds))
    labels = labels_of(few)
    assert [c.name for c in labels.categories.categories] == ["background", "road", "car"]
    assert labels.categories.background_id == 0
    # Outside of the boxes there may be road, so that boxes do not make all of it background.
    weak = class_map(labels.read_label(labels.images[1]), labels.categories)
    assert (weak == IGNORE_INDEX).any()
    boxes = read_boxes(few.folder / "labels/boxes.json").weak_of[1].boxes
    assert {box.category_id for box in boxes} <= {12}
    found = read_dataset("coco-panoptic", few.folder / "predictions", "photos")
    assert found.categories == labels.categories
    assert row.trivial_miou is not None


def test_the_test_split_is_scored_beside_val_and_changes_nothing_else(trial: Trial) -> None:
    without = run_trial(trial)
    assert without.test == {}
    # A world has two splits: the one that is bought from serves as the third.
    dataset = replace(trial.study.dataset, test_split="train", max_test_images=1)
    study = replace(trial.study, dataset=dataset)
    row = run_trial(replace(trial, study=study, study_folder=trial.study_folder / "tested"))
    assert row.digest != without.digest
    assert replace(row, seconds=0, digest="", test={}) == replace(without, seconds=0, digest="")
    assert {"pq", "miou", "ap_vol", "miou_semantic"} < row.test.keys()
    assert row.test["miou"] != row.miou


def test_a_study_without_a_test_split_has_the_rows_that_it_always_had(trial: Trial) -> None:
    study = trial.study
    # Worked out before there were test splits, but for the path of the world.
    table = {
        "format": "scenes",
        "root": str(study.dataset.root),
        "train_split": "train",
        "val_split": "val",
        "max_train_images": None,
        "max_val_images": None,
        "categories": None,
    }
    assert dataset_table(study.dataset) == table
    assert dataset_table(replace(study.dataset, test_split="t")).keys() - table.keys() == {
        "test_split",
        "max_test_images",
    }


def test_marks_are_trained_on_as_maps_that_are_void_elsewhere(trial: Trial) -> None:
    kinds = {0: "points", 1: "scribbles", 2: "coarse", 3: "boxes"}
    row = run_trial(replace(keeping(trial), kind_of=kinds))
    assert row.images == {"boxes": 1, "coarse": 1, "points": 1, "scribbles": 1}
    assert row.steps == {"semantic": 1, "detector": 1, "instance": 1}
    first = read_dataset("coco-panoptic", trial.folder / "labels/rounds/0", "photos")
    maps = [class_map(first.read_label(image), first.categories) for image in first.images]
    void = [float(np.mean(classes == IGNORE_INDEX)) for classes in maps[:3]]
    assert void[0] > 0.9
    assert void[0] > void[1] > void[2] > 0
    # Of each kind the boxes are what was bought; a mark is none.
    listed = json.loads((trial.folder / "labels/boxes.json").read_text())["images"]
    assert [image["id"] for image in listed] == [3]
    # After a round the prediction is known where it is sure, and the marks stay.
    labels = labels_of(trial)
    for image, before in zip(labels.images, maps[:3], strict=False):
        after = class_map(labels.read_label(image), labels.categories)
        np.testing.assert_array_equal(after[before != IGNORE_INDEX], before[before != IGNORE_INDEX])


def test_points_alone_teach_semantics_and_no_boxes(trial: Trial) -> None:
    row = run_trial(replace(trial, kind_of={0: "points", 1: "points"}))
    assert row.steps == {"semantic": 1}
    assert row.pq_things == 0
    assert row.miou is not None
