from pathlib import Path

import pytest

from annotools import parallel
from studies.engines.worker import own_versions, run_there
from studies.running import runner, trial_process
from tests.studies.study_builders import make_result, make_study


def test_a_worker_with_other_programs_says_so(tmp_path: Path) -> None:
    versions = own_versions() | {"annotools": "9.9"}
    told = run_there(str(tmp_path / "trial.json"), versions, 1)
    assert told is not None
    assert f"has annotools {own_versions()['annotools']}, not 9.9: install the same" in told


def test_a_worker_that_cannot_see_the_folder_says_so(tmp_path: Path) -> None:
    told = run_there(str(tmp_path / "run/trials/a/trial.json"), own_versions(), 1)
    assert told is not None
    assert told.startswith(f"{tmp_path}/run: cannot be seen from the worker ")
    assert "give --out a folder that all machines share" in told


def test_a_worker_keeps_to_its_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path, mixes={"full": {"full": 1}})
    (trial,) = runner.prepare(study, tmp_path / "run")
    seen = []
    monkeypatch.setattr(parallel, "_share", [])
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("OPENCV_FOR_THREADS_NUM", "7")

    def run_trial(_: object) -> object:
        seen.append(parallel.available_processors())
        return make_result("full", 3, 0, 0.5)

    monkeypatch.setattr(trial_process, "run_trial", run_trial)
    assert run_there(str(trial.stored_path), own_versions(), 3) is None
    assert seen == [3]
