"""A study's folder holds the study as given, one file for each finished trial, and the report."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotools.errors import DatasetError, RecipeError
from annotools.files import write_json
from annotools.settings import as_table
from annotools.work_folder import filling, refuse_other_work
from studies.results import (
    RESULT_FILE,
    TRIALS_FOLDER,
    TrialResult,
    read_results,
    read_whole_result,
    trial_name,
)
from studies.study import Study, dataset_table, load_study

STUDY_FILE = "study.json"
WRITTEN_BY = "annotools study"
REPORT_FILE, PAGE_FILE, TABLE_FILE = "report.md", "report.html", "results.csv"
PICTURE_FILE, DRAWING_FILE = "quality_vs_cost.png", "quality_vs_cost.svg"

FEATURES_FOLDER = "features"
"""Where trials share what a frozen backbone sees; it goes when all are finished."""

SHARED_SETTINGS = ("name", "dataset", "times", "ap_thresholds", "student", "recipe")
"""What must be the same for all trials of a folder; mixes, budgets and seeds may be added."""


_STARTS = 5
"""How often a folder is looked at before it is refused."""


def start_study(study: Study, folder: Path, *, keep_study: bool = False) -> None:
    """Make a folder ready for the trials of a study, and write the study as given.

    Several processes may start a study at the same time.

    Args:
        study: what is asked.
        folder: of the study; made where it does not exist.
        keep_study: whether a study that is stored already stays, with its mixes, budgets and seeds.

    Raises:
        DatasetError: when the folder has another study's results, or files of something else.
    """
    table = _table(study)
    shared = _shared(table)
    for left in reversed(range(_STARTS)):
        try:
            # No files are planned: the list serves to clear or finish a folder; a study does
            # neither.
            with filling(folder, WRITTEN_BY, shared, ()):
                break
        # Of processes that start a study at once, one may see what another has half written.
        except (DatasetError, OSError):
            if not left:
                raise
    # Written at every start, because mixes, budgets and seeds may have been added.
    if not (keep_study and (folder / STUDY_FILE).is_file()):
        write_json(folder / STUDY_FILE, table)


def check_folder(study: Study, folder: Path) -> None:
    """Make sure that a folder is free, or has trials of this study; nothing is written.

    Raises:
        DatasetError: when it has another study's results, or files of something else.
    """
    refuse_other_work(folder, WRITTEN_BY, _shared(_table(study)))


def finished_results(study: Study, folder: Path) -> list[TrialResult]:
    """Return the results of the study's own trials, in its order of mixes, by budget and seed.

    Raises:
        RecipeError: when there is none, or a file is not a result.
    """
    results = results_of(study, read_results(folder))
    if not results:
        raise RecipeError(f"{folder}: no trial of this study is finished; run the study first")
    return results


def results_of(study: Study, results: Sequence[TrialResult]) -> list[TrialResult]:
    """Return the results of the study's own trials, in its order of mixes, by budget and seed.

    A folder may have others, of mixes, budgets or seeds that the study no longer names, and of
    another student, which were brought so that advice compares the two.
    """
    order = list(study.mixes)
    own = [
        result
        for result in results
        if result.mix in study.mixes
        and result.budget_hours in study.budgets_hours
        and result.seed in study.seeds
        and result.student == study.student
    ]
    return sorted(own, key=lambda r: (order.index(r.mix), r.budget_hours, r.seed))


def remove_features(folder: Path) -> None:
    """Remove what frozen backbones saw, once every trial of the folder's study has its row.

    It is large.
    """
    names = (trial_name(*point) for point in load_study(folder / STUDY_FILE).points)
    rows = (read_whole_result(folder / TRIALS_FOLDER / name / RESULT_FILE) for name in names)
    if all(row is not None for row in rows):
        shutil.rmtree(folder / FEATURES_FOLDER, ignore_errors=True)


def _table(study: Study) -> dict[str, Any]:
    return {**as_table(study), "dataset": dataset_table(study.dataset)}


def _shared(table: dict[str, Any]) -> dict[str, Any]:
    return {key: table[key] for key in SHARED_SETTINGS}
