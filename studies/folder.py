"""What a study's folder holds: the study as given, and one file for each finished trial."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotools.errors import RecipeError
from annotools.files import write_json
from annotools.settings import as_table, read_settings, set_by_path
from studies.results import TrialResult, read_results
from studies.study import Study

STUDY_FILE = "study.json"

SHARED_SETTINGS = ("name", "dataset", "times", "ap_thresholds", "recipe")
"""What must be the same for all trials of a folder; mixes, budgets and seeds may be added."""


def check_folder(study: Study, folder: Path) -> None:
    """Make sure that the results of this study may go into a folder.

    Raises:
        RecipeError: when the folder has another study's results, or files of something else.
    """
    stored_path = folder / STUDY_FILE
    if not stored_path.is_file():
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise RecipeError(f"{folder}: not empty and not a study's folder; use another --out")
        return
    stored, table = _read_table(stored_path), as_table(study)
    for key in SHARED_SETTINGS:
        if stored.get(key) != table[key]:
            raise RecipeError(
                f"{folder}: holds study {stored.get('name')!r} with another {key}; "
                "use another --out"
            )


def store_study(study: Study, folder: Path) -> None:
    """Write the study as given."""
    write_json(folder / STUDY_FILE, as_table(study))


def load_stored_study(path: Path, changes: Sequence[str] = ()) -> Study:
    """Return the study of a file that `store_study` wrote.

    Args:
        path: of the file.
        changes: settings to replace, each as `recipe.semantic.steps=100`.

    Raises:
        RecipeError: when the file is missing or not a study, or a change is impossible.
    """
    if not path.is_file():
        raise RecipeError(f"{path}: no such file; give the folder of a study that has been run")
    table: Mapping[str, Any] = _without_nulls(_read_table(path))
    for change in changes:
        table = set_by_path(table, change)
    study = read_settings(Study, table, where=str(path))
    return replace(study, dataset=replace(study.dataset, root=study.dataset.root.resolve()))


def finished_results(study: Study, folder: Path) -> list[TrialResult]:
    """Return the results of the study's own trials, in its order of mixes, by budget and seed.

    Raises:
        RecipeError: when there is none, or a file is not a result.
    """
    order = list(study.mixes)
    results = [
        result
        for result in read_results(folder)
        if result.mix in study.mixes
        and result.budget_hours in study.budgets_hours
        and result.seed in study.seeds
    ]
    if not results:
        raise RecipeError(f"{folder}: no trial of this study is finished; run the study first")
    return sorted(results, key=lambda r: (order.index(r.mix), r.budget_hours, r.seed))


def _read_table(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path}: not a stored study ({error}); use another --out") from error
    if not isinstance(table, dict):
        raise RecipeError(f"{path}: not a stored study; use another --out")
    return table


def _without_nulls(value: Any) -> Any:
    """Return a table without its null entries: TOML has none, an absent setting means the same."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value
