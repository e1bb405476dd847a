from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import RecipeError
from studies.folder import check_folder, finished_results, load_stored_study, store_study
from studies.results import write_result
from studies.study import Study
from tests.studies.study_builders import make_result, make_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


def test_stored_study_is_read_as_it_was(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    store_study(study, folder)
    assert load_stored_study(folder / "study.json") == study
    changed = load_stored_study(folder / "study.json", ["recipe.semantic.steps=5"])
    assert changed.recipe.semantic.steps == 5


def test_missing_or_damaged_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        load_stored_study(tmp_path / "study.json")
    for content in ("{", "[]"):
        (tmp_path / "study.json").write_text(content)
        with pytest.raises(RecipeError, match=r"study\.json: not a stored study"):
            load_stored_study(tmp_path / "study.json")


def test_more_mixes_budgets_and_seeds_may_come(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    check_folder(study, folder)
    store_study(study, folder)
    mixes = {"tags": {"tags": 1.0}}
    check_folder(replace(study, mixes=mixes, budgets_hours=(1.0,), seeds=(5,)), folder)


@pytest.mark.parametrize("key", ["name", "dataset", "recipe", "times", "ap_thresholds"])
def test_folder_of_another_study_is_refused(study: Study, tmp_path: Path, key: str) -> None:
    others = {
        "name": "other",
        "dataset": replace(study.dataset, max_train_images=1),
        "recipe": replace(study.recipe, batch_size=9),
        "times": "mine.toml",
        "ap_thresholds": "cityscapes",
    }
    folder = tmp_path / "run"
    store_study(study, folder)
    with pytest.raises(RecipeError, match=f"'small' with another {key}; use another --out"):
        check_folder(replace(study, **{key: others[key]}), folder)


def test_folder_of_something_else_is_refused(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".hidden").touch()
    check_folder(study, folder)
    (folder / "thesis.tex").touch()
    with pytest.raises(RecipeError, match="not empty"):
        check_folder(study, folder)


def test_finished_results_are_the_study_s_own_in_its_order(study: Study, tmp_path: Path) -> None:
    asked = replace(study, mixes={"b": {"full": 1.0}, "a": {"full": 1.0}}, seeds=(0, 2))
    keys = [
        ("a", 3.0, 0),
        ("b", 3.0, 2),
        ("b", 3.0, 0),
        ("c", 3.0, 0),
        ("a", 9.0, 0),
        ("a", 3.0, 1),
    ]
    for number, key in enumerate(keys):
        write_result(make_result(*key, pq=0.1), tmp_path / "trials" / f"{number}.json")
    found = finished_results(asked, tmp_path)
    assert [(r.mix, r.seed) for r in found] == [("b", 0), ("b", 2), ("a", 0)]
    with pytest.raises(RecipeError, match="no trial of this study"):
        finished_results(replace(asked, seeds=(7,)), tmp_path)
