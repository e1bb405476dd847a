from pathlib import Path

import pytest

from annotools import parallel
from annotools.errors import RecipeError
from studies.engines.worker import own_versions, run_there
from studies.results import write_result
from studies.running import runner, trial_process
from studies.trials import Trial
from tests.studies.study_builders import make_result, make_study


def prepared(tmp_path: Path) -> Trial:
    study = make_study(tmp_path, mixes={"full": {"full": 1}})
    (trial,) = runner.prepare(study, tmp_path / "run")
    return trial


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
    trial = prepared(tmp_path)
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


def test_what_another_run_has_finished_is_left_as_it_is(tmp_path: Path) -> None:
    """Whoever finishes a trial removes its file, which a second run of the study still names."""
    trial = prepared(tmp_path)
    trial.stored_path.unlink()
    for run in (trial_process.run_stored, lambda path: run_there(str(path), own_versions(), 1)):
        with pytest.raises(RecipeError, match="missing, damaged or not a trial"):
            run(trial.stored_path)
    write_result(make_result("full", 3, 0, 0.5), trial.result_path)
    assert trial_process.run_stored(trial.stored_path)
    assert run_there(str(trial.stored_path), own_versions(), 1) is None
