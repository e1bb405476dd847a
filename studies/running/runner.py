"""Run the trials of a study: what is done is kept, the rest runs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from annotools.errors import RecipeError
from annotools.formats.source import open_source
from annotools.locks import holder
from annotools.seals import note_damaged, tell_damaged
from studies.engines.local import run_locally
from studies.engines.needs import Needs, check_engine
from studies.engines.ray import run_on_ray
from studies.engines.slurm import run_under_slurm
from studies.failures import TrialFailure, read_failure
from studies.folder import remove_features, start_study
from studies.results import TrialResult
from studies.running.live_table import show_trials
from studies.running.planning import plan_trials
from studies.running.trial_process import has_failed, lock_of, note_failure, store_trial
from studies.study import Study
from studies.trials import Trial, read_row, remove_links
from studies.validate import check_budgets
from wsps.networks.model import check_segmenter

STOPPED, BUSY = "stopped", "run by another process"
"""Why a trial is left that has run, or should have."""


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """What a study's folder has of its trials, in its order, after a run of them.

    `left` says by name why a trial is neither finished nor failed. `was_finished` tells that all
    trials were finished before, so that there was nothing to run.
    """

    results: list[TrialResult]
    failures: list[TrialFailure] = field(default_factory=list)
    left: Mapping[str, str] = field(default_factory=dict)
    was_finished: bool = False


Engine = Callable[[Sequence[Trial], int | None, Needs], Iterator[tuple[Trial, str | None]]]
"""Runs stored trials, so many at the same time, as `run_locally` does."""

ENGINES: dict[str, Engine] = {
    "local": run_locally,
    "ray": run_on_ray,
    "submitit": run_under_slurm,
}


def run_study(
    study: Study,
    folder: Path,
    workers: int | None = None,
    *,
    engine: str = "local",
    needs: Needs | None = None,
    retry_failed: bool = False,
) -> StudyRun:
    """Run the trials of a study that its folder does not have yet; return what it has then.

    A trial that fails, or whose process is killed, leaves a failure, and the rest goes on.

    Args:
        study: what to run. Mixes, budgets and seeds may have been added since the last run.
        folder: of the study; made where it does not exist.
        workers: trials at the same time; None leaves it to the engine.
        engine: a key of `ENGINES`.
        needs: what each trial is given; None leaves it to the engine.
        retry_failed: whether trials that failed before run again.

    Raises:
        RecipeError: when the folder has a result of other settings, a budget buys no image, or the
            backbone's weights cannot be had; nothing has run then.
        DatasetError: when the folder belongs to another study, or the dataset cannot be read.
        OSError: when the folder cannot be written.
    """
    check_engine(engine)
    trials = _start(study, folder)
    asked = _missing(trials, retry_failed=retry_failed)
    damaged = [trial.result_path for trial in asked if trial.result_path.is_file()]
    for trial in asked:
        store_trial(trial)
    before = look(trials)
    running = ENGINES[engine](asked, workers, needs or Needs())
    others = len(before.failures) if not retry_failed else 0
    with show_trials(asked, len(before.results), others) as show:
        for trial, lost in running:
            if lost is not None and read_row(trial) is None:
                note_failure(trial, lost)
            show(trial)
    found = look(trials)
    remove_features(folder)
    note_damaged(damaged)
    tell_damaged(folder)
    return replace(found, was_finished=len(before.results) == len(trials))


def prepare(study: Study, folder: Path) -> list[Trial]:
    """Plan the trials that a study's folder does not have, for other processes to run.

    Args:
        study: what to run.
        folder: of the study; made where it does not exist.

    Returns:
        The trials, each with its file; those that failed before are among them.

    Raises:
        AnnotationError: for what `run_study` refuses.
        OSError: when the folder cannot be written.
    """
    missing = _missing(_start(study, folder), retry_failed=True)
    for trial in missing:
        store_trial(trial)
    return missing


def _start(study: Study, folder: Path) -> tuple[Trial, ...]:
    """Plan all trials of a study, and make its folder ready."""
    # A download that fails is told before the first image is read, and not by every trial.
    check_segmenter(study.recipe)
    open_source.cache_clear()  # The files may have changed since the last run.
    trials = plan_trials(study, folder)
    check_budgets(study, trials)
    start_study(study, folder)
    return trials


def _missing(trials: Sequence[Trial], *, retry_failed: bool) -> list[Trial]:
    # Every stored row is compared before anything runs, so that a refusal costs no training.
    missing = [trial for trial in trials if not is_finished(trial)]
    return missing if retry_failed else [trial for trial in missing if not has_failed(trial)]


def look(trials: Sequence[Trial]) -> StudyRun:
    """Return what the folder of a study has of its trials."""
    results, failures, left = [], [], {}
    for trial in trials:
        # Rows of earlier runs and of this one are read alike, in the order of the plan.
        row = read_row(trial)
        if row is not None:
            results.append(row)
        elif has_failed(trial):
            failures.append(read_failure(trial.failure_path))
        else:
            left[trial.name] = STOPPED if holder(lock_of(trial)) is None else BUSY
    return StudyRun(results=results, failures=failures, left=left)


def is_finished(trial: Trial) -> bool:
    """Return whether the trial's row is there and whole; remove what then is of no use.

    Raises:
        RecipeError: when it was made with other settings.
    """
    if read_row(trial) is None:
        return False
    refuse_other_settings(trial)
    # A run that was stopped just before it did has left the trial's file; one that keeps its links
    # has not, and they stay, whatever the study says now.
    if trial.stored_path.is_file():
        remove_links(trial)
    return True


def refuse_other_settings(trial: Trial) -> None:
    """Make sure that the trial's result, if it is there, was made with the same settings.

    Raises:
        RecipeError: when it was not.
    """
    row = read_row(trial)
    if row is None:
        return
    remedy = "use another --out, or remove trials/*/result.json"
    if (row.digest, row.weights) != trial.made_with:
        raise RecipeError(
            f"{trial.result_path}: made with other settings (dataset, mix, recipe, times, order or "
            f"annotator) than the study has now, or by another version ({row.code_version}): "
            f"{remedy}"
        )
    # Rows of older versions do not tell what annotators did.
    if row.actions and not _bought_the_same(row, trial):
        raise RecipeError(
            f"{trial.result_path}: bought other labels than this study would now: the dataset has "
            f"changed since: {remedy}"
        )


def _bought_the_same(row: TrialResult, trial: Trial) -> bool:
    names = row.actions.keys()
    return (
        row.images == trial.images
        and names == trial.actions.keys()
        and math.isclose(row.spent_hours, trial.spent_hours)
        and all(math.isclose(row.actions[name], trial.actions[name]) for name in names)
    )
