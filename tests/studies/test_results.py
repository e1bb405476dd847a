import json
from dataclasses import replace
from pathlib import Path

import pytest

from annotools.errors import RecipeError
from studies.results import read_result, read_results, to_frame, write_result
from tests.studies.study_builders import make_result


def test_what_is_written_is_read(tmp_path: Path) -> None:
    result = make_result("a b", 0.5, 3, 0.123456789012, pq_stuff=None)
    path = tmp_path / "trials" / "r.json"
    write_result(result, path)
    assert read_result(path) == result
    assert list(path.parent.iterdir()) == [path]


def test_results_come_by_mix_budget_and_seed(tmp_path: Path) -> None:
    keys = [("b", 2.0, 0), ("a", 10.0, 0), ("a", 2.0, 1), ("a", 2.0, 0)]
    for number, key in enumerate(keys):
        write_result(make_result(*key, pq=0.1), tmp_path / "trials" / f"{number}.json")
    found = read_results(tmp_path)
    assert [(r.mix, r.budget_hours, r.seed) for r in found] == sorted(keys)


def test_a_row_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    row = make_result("a", 2.0, 0, 0.1)
    write_result(row, tmp_path / "trials/a_2h_seed0/result.json")
    write_result(row, tmp_path / "trials/brought.json")
    # Of another student it is another row.
    write_result(replace(row, student="mask-rcnn"), tmp_path / "trials/mask-rcnn.json")
    assert [found.student for found in read_results(tmp_path)] == ["li2018", "mask-rcnn"]
    write_result(replace(row, pq=0.2), tmp_path / "trials/other.json")
    told = r"other\.json: is of the same trial as .*result\.json, with another result: delete one"
    with pytest.raises(RecipeError, match=told):
        read_results(tmp_path)


def test_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no finished trial"):
        read_results(tmp_path)
    with pytest.raises(RecipeError, match="typo: no such folder: give the folder of a study"):
        read_results(tmp_path / "typo")
    (tmp_path / "study.toml").touch()
    with pytest.raises(RecipeError, match=r"study\.toml: is a file: give the folder"):
        read_results(tmp_path / "study.toml")


@pytest.mark.parametrize("content", ["{", "{}", '{"mix": "a"}', "[1]", '{"other": 1}'])
def test_other_files_are_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(content)
    with pytest.raises(RecipeError, match=r"r\.json: not a trial's result"):
        read_result(path)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("pq", '"high"', "pq"),
        ("pq", "NaN", "pq has nan, which is no number"),
        ("pq", "-4", "pq = -4 is not between 0 and 1"),
        ("pq", "1e300", "pq = 1e\\+300 is not between 0 and 1"),
        ("budget_hours", '"0.8"', "budget_hours"),
        ("budget_hours", "0", "budget_hours = 0 buys nothing"),
        ("spent_hours", "-1", "spent_hours = -1"),
        ("mix", '["a"]', "mix"),
        ("images", '{"full": "x"}', "images"),
        ("actions", '{"box": "inf"}', "actions"),
        ("actions", '{"box": Infinity}', "box has inf, which is no number"),
        ("class_pq", "[1]", "class_pq"),
        ("class_pq", '{"car": 2}', "class_pq.car = 2"),
        ("steps", '"a"', "steps"),
        ("seed", "9" * 5000, "digits"),
        ("seed", "1e40", "seed"),
        ("steps", "[" * 100_000, "nested"),
    ],
)
def test_values_that_cannot_be_are_named(tmp_path: Path, name: str, value: str, told: str) -> None:
    path = tmp_path / "r.json"
    write_result(make_result("a", 1, 0, 0.1), path)
    table = json.loads(path.read_text())
    del table[name], table["sha256"]
    path.write_text(json.dumps(table).removesuffix("}") + f', "{name}": {value}}}')
    with pytest.raises(RecipeError, match=rf"r\.json: not a trial's result \(.*{told}") as caught:
        read_result(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_row_that_was_changed_is_told_by_its_seal(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_result(make_result("a", 1, 0, 0.25), path)
    path.write_text(path.read_text().replace("0.25", "0.75"))
    with pytest.raises(RecipeError, match=r"r\.json: .*damaged or changed since, its sha256 says"):
        read_result(path)


def test_frame_has_a_column_for_the_steps_of_each_stage() -> None:
    steps = [{"semantic": 275, "detector": 600}, {"semantic": 2000}]
    frame = to_frame([make_result("a", 1, seed, 0.1, steps=s) for seed, s in enumerate(steps)])
    assert frame["steps_semantic"].tolist() == [275, 2000]
    assert frame["steps_detector"].isna().tolist() == [False, True]
    assert "steps" not in frame.columns


def test_rows_of_older_versions_have_no_classes(tmp_path: Path) -> None:
    old, new = (
        tmp_path / "old.json",
        make_result("a", 1, 1, 0.1, class_pq={"car": 0.2, "sky": None}),
    )
    write_result(make_result("a", 1, 0, 0.1), old)
    table = json.loads(old.read_text())
    del table["class_pq"], table["sha256"]
    old.write_text(json.dumps(table))
    frame = to_frame([read_result(old), new])
    assert frame["class_pq_car"].isna().tolist() == [True, False]
    assert frame["class_pq_car"].tolist()[1] == 0.2
    assert frame["class_pq_sky"].isna().all()
    assert "class_pq" not in frame.columns
