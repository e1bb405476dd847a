from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annotools.errors import DatasetError, RecipeError
from annotools.settings import as_table, read_settings, read_toml, set_by_path


@dataclass(frozen=True, kw_only=True)
class Stage:
    steps: int
    rate: float = 0.5

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise DatasetError("steps must be at least 0")


@dataclass(frozen=True, kw_only=True)
class Run:
    name: str = "run"
    fast: bool = False
    weights: Path | None = None
    size: tuple[int, int] = (4, 2)
    rates: tuple[float, ...] = ()
    shares: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, Stage] = field(default_factory=dict)
    stage: Stage = field(default_factory=lambda: Stage(steps=1))


def test_a_full_table_is_read():
    table = {
        "name": "a",
        "fast": True,
        "weights": "w.pt",
        "size": [3, 5],
        "rates": [1, 0.5],
        "shares": {"boxes": 1},
        "stages": {"first": {"steps": 2}},
        "stage": {"steps": 7, "rate": 2},
    }
    run = read_settings(Run, table, "file")
    assert run == Run(
        name="a",
        fast=True,
        weights=Path("w.pt"),
        size=(3, 5),
        rates=(1.0, 0.5),
        shares={"boxes": 1.0},
        stages={"first": Stage(steps=2)},
        stage=Stage(steps=7, rate=2.0),
    )
    assert isinstance(run.rates[0], float)
    assert read_settings(Run, {}, "file") == Run()


@pytest.mark.parametrize("run", [Run(), Run(weights=Path("w.pt"), shares={"tags": 0.5})])
def test_as_table_is_read_back_unchanged(run: Run):
    assert read_settings(Run, as_table(run), "file") == run


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"nmae": "a"}, "run.toml: unknown setting nmae; known are name, fast"),
        ({"stage": {"steps": 1, "speed": 2}}, "run.toml: unknown setting stage.speed; known are"),
        ({"stage": {"rate": 0.1}}, "run.toml: setting stage.steps is missing"),
        ({"stage": {"steps": True}}, "run.toml: stage.steps: expected int, found True"),
        ({"stage": {"steps": 1.0}}, "run.toml: stage.steps: expected int, found 1.0"),
        ({"stage": {"steps": 1, "rate": True}}, "run.toml: stage.rate: expected float"),
        ({"stage": 3}, "run.toml: stage: expected a table, found 3"),
        ({"fast": 1}, "run.toml: fast: expected bool, found 1"),
        ({"weights": 1}, "run.toml: weights: expected Path, found 1"),
        ({"size": [1, 2, 3]}, "run.toml: size: expected 2 values, found 3"),
        ({"size": "12"}, "run.toml: size: expected a list, found '12'"),
        ({"rates": [0.1, "x"]}, r"run.toml: rates\[1\]: expected float, found 'x'"),
        ({"shares": {"boxes": "x"}}, "run.toml: shares.boxes: expected float, found 'x'"),
        ({"shares": 1}, "run.toml: shares: expected a table, found 1"),
        ({"stages": {"a": {"step": 1}}}, "run.toml: unknown setting stages.a.step"),
    ],
)
def test_a_wrong_setting_is_named_by_its_dotted_path(table: dict[str, Any], message: str):
    with pytest.raises(RecipeError, match=f"^{message}"):
        read_settings(Run, table, "run.toml")


def test_a_value_that_the_dataclass_refuses_is_named_and_keeps_its_kind_of_error():
    with pytest.raises(DatasetError, match=r"^run\.toml: stages\.a: steps must be at least 0"):
        read_settings(Run, {"stages": {"a": {"steps": -1}}}, "run.toml")


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("stage.steps=100", 100),
        ("stage.steps = 1e-3", 0.001),
        ("stage.steps=true", True),
        ("stage.steps=[1, 2]", [1, 2]),
        ("stage.steps=plain text", "plain text"),
        ("stage.steps=a=b", "a=b"),
        ("stage.steps=", ""),
    ],
)
def test_set_by_path_takes_toml_values_and_plain_text(assignment: str, value: object):
    assert set_by_path({}, assignment) == {"stage": {"steps": value}}


def test_set_by_path_changes_one_setting_of_a_copy():
    table = {"name": "a", "stage": {"steps": 1, "rate": 0.1}}
    changed = set_by_path(table, "stage.steps=2")
    assert changed == {"name": "a", "stage": {"steps": 2, "rate": 0.1}}
    assert table == {"name": "a", "stage": {"steps": 1, "rate": 0.1}}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("name", "write it as name=value"),
        ("=3", "write it as"),
        ("name.x=3", "name is not a table"),
    ],
)
def test_set_by_path_refuses_what_leads_nowhere(assignment: str, message: str):
    with pytest.raises(RecipeError, match=message):
        set_by_path({"name": "a"}, assignment)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = " + "[" * 4000, "it is nested more than 100 levels deep"),
        ("a = " + "{a=" * 4000 + "1" + "}" * 4000, "it is nested more than 100 levels deep"),
        (".".join("a" * 5000) + " = 1", "it is nested more than 100 levels deep"),
        ("[" + ".".join("a" * 5000) + "]", "it is nested more than 100 levels deep"),
        ("a = " + "9" * 400, "a has a whole number of more than 63 bits"),
        ("a = [" + "9" * 5000 + "]", "a whole number of more than 63 bits"),
        ("b = 9223372036854775808", "b has a whole number of more than 63 bits"),
    ],
)
def test_senseless_toml_is_one_short_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=rf"a\.toml: not valid TOML \({reason}\)") as caught:
        read_toml(path)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "value", ["[" * 4000, "{a=" * 4000, "9" * 400, "9" * 5000, "[9223372036854775808]"]
)
def test_senseless_values_of_set_are_one_short_line(value: str) -> None:
    with pytest.raises(RecipeError, match=r"^--set stage\.rate: .*(nested|63 bits)"):
        set_by_path({}, f"stage.rate={value}")
    with pytest.raises(RecipeError, match="it is nested more than"):
        set_by_path({}, ".".join("a" * 5000) + "=1")


def test_files_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(RecipeError, match=r"a\.toml: not valid TOML \('utf-8'"):
        read_toml(path)
    with pytest.raises(DatasetError, match="/dev/zero: is no regular file"):
        read_toml(Path("/dev/zero"), DatasetError)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"rates": [10**400]}, r"rates\[0\]: a whole number of more than 63 bits"),
        ({"stage": {"steps": 2**63}}, "stage.steps: a whole number of more than 63 bits"),
        ({"name": "\ud800"}, "name: expected str, found "),
        ({"shares": {"a": [[[]]] * 10_000}}, "shares.a: expected float, found "),
    ],
)
def test_senseless_values_are_named_in_short(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=f"^x: {message}") as caught:
        read_settings(Run, table, "x")
    assert len(str(caught.value)) < 300
