"""Run one trial of a study by its name: what a cluster's jobs do, each for itself."""

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from annotools.errors import RecipeError, UnfinishedError
from annotools.seals import note_damaged, tell_damaged
from studies.failures import read_failure
from studies.folder import remove_features, start_study
from studies.results import TRIALS_FOLDER, TrialResult, trial_name
from studies.running.planning import plan_trials
from studies.running.runner import is_finished
from studies.running.trial_process import read_trial, run_to_the_end, store_trial
from studies.study import Study
from studies.trials import TRIAL_FILE, Trial, read_row
from wsps.networks.model import check_segmenter


def run_one(study: Study, folder: Path, name: str) -> TrialResult:
    """Run one trial of a study in this process, whatever became of it before; return its row.

    Trials may run at the same time, also on machines that share the folder.

    Args:
        study: that has the trial.
        folder: of the study; made where it does not exist. A study that is stored there stays.
        name: of the trial, `boxes_2h_seed0`.

    Raises:
        UnfinishedError: when the trial fails, or another process runs it.
        RecipeError: when the study has no such trial, and for what `run_study` refuses.
        DatasetError: when the folder belongs to another study, or the dataset cannot be read.
        StoppedError: when the process was asked to stop.
        OSError: when the folder cannot be written.
    """
    _check_name(study, folder, name)
    check_segmenter(study.recipe)
    trial = _stored_trial(study, folder, name) or plan_trials(study, folder, {name})[0]
    start_study(study, folder, keep_study=True)
    if not is_finished(trial):
        damaged = [trial.result_path] if trial.result_path.is_file() else []
        store_trial(trial)
        run_to_the_end(trial)
        note_damaged(damaged)
        tell_damaged(folder)
    row = read_row(trial)
    if row is None:
        raise UnfinishedError(f"{name} failed: {read_failure(trial.failure_path).error}")
    remove_features(folder)
    return row


def _check_name(study: Study, folder: Path, name: str) -> None:
    """Make sure that a study has a trial of this name.

    Raises:
        RecipeError: when it does not; it has the names that are near.
    """
    names = [trial_name(*point) for point in study.points]
    if name not in names:
        near = get_close_matches(name, names, cutoff=0.3) or names[:3]
        raise RecipeError(
            f"--trial {name!r}: the study {study.name!r} has no such trial; near it are "
            f"{', '.join(near)}; `annotools study run STUDY --out {folder} --dry-run` lists all"
        )


def _stored_trial(study: Study, folder: Path, name: str) -> Trial | None:
    """Return a trial that another process has planned with the same settings, if one has."""
    path = folder / TRIALS_FOLDER / name / TRIAL_FILE
    if not path.is_file():
        return None
    try:
        stored = read_trial(path)
    except RecipeError:
        return None
    trial = replace(stored, study=study)
    return trial if trial.made_with == stored.made_with else None
