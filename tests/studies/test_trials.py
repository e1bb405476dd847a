from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from annotools.errors import DatasetError
from annotools.formats import read_dataset
from annotools.records import Dataset
from studies.trials import Trial, make_examples, run_trial
from tests.studies.study_builders import make_study
from wsps.data import TrainingExample

CPU = torch.device("cpu")


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(
        study=make_study(tmp_path),
        mix="full",
        budget_hours=3.0,
        seed=0,
        kind_of={0: "full", 1: "boxes", 2: "none"},
        spent_hours=1.5,
        folder=tmp_path / "run",
    )


def training_split(trial: Trial) -> Dataset:
    return read_dataset("scenes", trial.study.dataset.root, "train")


def examples_of(trial: Trial) -> list[TrainingExample]:
    return [
        group[number]
        for group in make_examples(trial, training_split(trial), CPU)
        for number in range(len(group))
    ]


def with_annotator(trial: Trial, text: str) -> Trial:
    path = trial.study.dataset.root.with_name("habits.toml")
    path.write_text(text)
    return replace(trial, study=replace(trial.study, annotator=path))


def box_labels(trial: Trial) -> set[str]:
    return {path.name for path in (trial.folder / "box_labels").iterdir()}


def test_images_without_a_label_are_no_examples(trial: Trial) -> None:
    boxes, full = examples_of(trial)
    images = training_split(trial)
    np.testing.assert_array_equal(full.photo, images.read_photo(images.images[0]))
    np.testing.assert_array_equal(boxes.photo, images.read_photo(images.images[1]))


def test_mistakes_are_in_the_training_labels(trial: Trial) -> None:
    boxes, full = examples_of(trial)
    first = box_labels(trial)
    careless = with_annotator(trial, "[boxes]\ncorner_shift = 0.2\n[polygons]\nboundary_shift = 2")
    other_boxes, other_full = examples_of(careless)
    assert boxes.boxes_xyxy.shape == other_boxes.boxes_xyxy.shape
    assert not np.array_equal(boxes.boxes_xyxy, other_boxes.boxes_xyxy)
    assert len(box_labels(trial)) == len(first) + 1
    assert 0.5 < np.mean(full.classes == other_full.classes) < 1
    other_seed = examples_of(replace(careless, seed=1))
    assert not np.array_equal(other_seed[0].boxes_xyxy, other_boxes.boxes_xyxy)


def test_the_perfect_annotator_changes_nothing(trial: Trial) -> None:
    before = examples_of(trial)
    for one, other in zip(before, examples_of(with_annotator(trial, "")), strict=True):
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_array_equal(one.instances, other.instances)
        np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)
    assert len(box_labels(trial)) == 1


def test_a_trial_without_labels_is_refused(trial: Trial) -> None:
    for kind_of in ({}, {0: "none"}):
        with pytest.raises(DatasetError, match="buy no image"):
            run_trial(replace(trial, kind_of=kind_of))


def test_a_trial_counts_the_images_it_used_without_a_label(trial: Trial) -> None:
    result = run_trial(trial)
    assert result.images == {"boxes": 1, "full": 1, "none": 1}
