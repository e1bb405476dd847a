import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from annotools.errors import DatasetError, RecipeError
from annotools.settings import as_table
from studies.folder import finished_results, start_study
from studies.results import write_result
from studies.study import Study, load_study
from tests.studies.study_builders import make_result, make_study
from wsps.recipe import ImageSettings


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


def test_stored_study_is_read_as_it_was(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start_study(study, folder)
    assert load_study(folder / "study.json") == study
    changed = load_study(folder / "study.json", ["recipe.semantic.steps=5"])
    assert changed.recipe.semantic.steps == 5


def test_missing_or_damaged_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such file"):
        load_study(tmp_path / "study.json")
    for content in ("{", "[]"):
        (tmp_path / "study.json").write_text(content)
        with pytest.raises(RecipeError, match=r"study\.json: not a stored study"):
            load_study(tmp_path / "study.json")


def test_more_mixes_budgets_and_seeds_may_come(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start_study(study, folder)
    mixes = {"tags": {"tags": 1.0}}
    start_study(replace(study, mixes=mixes, budgets_hours=(1.0,), seeds=(5,)), folder)


@pytest.mark.parametrize("key", ["name", "dataset", "recipe", "times", "ap_thresholds"])
def test_folder_of_another_study_is_refused(study: Study, tmp_path: Path, key: str) -> None:
    others = {
        "name": "other",
        "dataset": replace(study.dataset, max_train_images=1),
        "recipe": replace(study.recipe, images=ImageSettings(max_side=99)),
        "times": "mine.toml",
        "ap_thresholds": "cityscapes",
    }
    folder = tmp_path / "run"
    start_study(study, folder)
    with pytest.raises(DatasetError, match=f"study with different {key}: .* give another folder"):
        start_study(replace(study, **{key: others[key]}), folder)
    assert load_study(folder / "study.json") == study


def test_folder_of_something_else_is_refused(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".hidden").touch()
    start_study(study, folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    with pytest.raises(DatasetError, match=r"is not empty: give another folder$"):
        start_study(study, other)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]


def test_a_folder_of_before_is_refused(study: Study, tmp_path: Path) -> None:
    row = json.dumps(asdict(make_result("full", 3.0, 0, pq=0.1)))
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials/full_3h_seed0.json").write_text(row)
    table = as_table(study)
    table["recipe"] = {"batch_size": 4, "crop_size_wh": [64, 64]}
    (tmp_path / "study.json").write_text(json.dumps(table))
    with pytest.raises(DatasetError, match="is not empty"):
        start_study(study, tmp_path)
    with pytest.raises(RecipeError, match=r"unknown setting recipe\.batch_size"):
        load_study(tmp_path / "study.json")


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
        write_result(make_result(*key, pq=0.1), tmp_path / "trials" / f"{number}" / "result.json")
    # Another student's row was brought so that advice compares the two.
    other = make_result("b", 3.0, 0, pq=0.1, student="mask-rcnn")
    write_result(other, tmp_path / "trials/mask-rcnn.json")
    found = finished_results(asked, tmp_path)
    assert [(r.mix, r.seed) for r in found] == [("b", 0), ("b", 2), ("a", 0)]
    with pytest.raises(RecipeError, match="no trial of this study"):
        finished_results(replace(asked, seeds=(7,)), tmp_path)


def test_rows_that_lie_in_trials_as_files_count_too(study: Study, tmp_path: Path) -> None:
    write_result(make_result("full", 3.0, 0, pq=0.1), tmp_path / "trials/a/result.json")
    write_result(make_result("boxes+tags", 3.0, 0, pq=0.2), tmp_path / "trials/b.json")
    assert [r.mix for r in finished_results(study, tmp_path)] == ["full", "boxes+tags"]


def test_a_study_that_is_stored_can_stay(study: Study, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    start_study(study, folder, keep_study=True)
    start_study(replace(study, seeds=(7,)), folder, keep_study=True)
    assert load_study(folder / "study.json") == study
    start_study(replace(study, seeds=(7,)), folder)
    assert load_study(folder / "study.json").seeds == (7,)


def test_a_study_may_be_started_several_times_at_once(study: Study, tmp_path: Path) -> None:
    folders, barrier = [tmp_path / f"run{n}" for n in range(25)], threading.Barrier(4, timeout=30)

    def start_all(_: int) -> None:
        for folder in folders:
            barrier.wait()
            start_study(study, folder)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start_all, range(4)))
    for folder in folders:
        assert load_study(folder / "study.json") == study
        files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        assert files == {"study.json", ".state/setup.json", ".state/setup-again.json"}
