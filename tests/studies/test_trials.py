from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import DatasetError
from studies.trials import Trial, run_trial
from tests.studies.study_builders import make_study


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


def test_a_trial_without_labels_is_refused(trial: Trial) -> None:
    for kind_of in ({}, {0: "none"}):
        with pytest.raises(DatasetError, match="buy no image"):
            run_trial(replace(trial, kind_of=kind_of))


def test_a_trial_counts_the_images_it_used_without_a_label(trial: Trial) -> None:
    assert run_trial(trial).images == {"boxes": 1, "full": 1, "none": 1}
