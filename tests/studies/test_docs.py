"""What a user may write or has to read is named in the documents."""

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from annotools.prices.image_content import Statistics
from annotools.scenes.world import SceneWorld
from annotools.weak_labels.annotators import Annotator
from studies.results import TrialResult
from studies.study import DatasetSettings, Study
from wsps.recipe import Recipe

DOCS = Path(__file__).parents[2] / "docs"


def settings_of(record: type) -> list[str]:
    """Return the names of a record's fields; of those that are records, `table.name`."""
    found = []
    hints: dict[str, Any] = get_type_hints(record)
    for field in fields(record):
        inner = hints[field.name]
        nested = settings_of(inner) if is_dataclass(inner) else []
        found += [f"{field.name}.{name}" for name in nested] or [field.name]
    return found


def names_in(document: str) -> set[str]:
    """Return all names within the backticks of a document, and in its blocks of code."""
    text = (DOCS / document).read_text()
    parts = re.findall(r"```(.*?)```|`([^`]*)`", text, flags=re.DOTALL)
    return set(re.findall(r"[a-z0-9_.]+", " ".join(block or span for block, span in parts)))


@pytest.mark.parametrize(
    ("record", "document"),
    [
        (DatasetSettings, "studies.md"),
        (TrialResult, "studies.md"),
        (SceneWorld, "inputs.md"),
        (Statistics, "inputs.md"),
    ],
)
def test_each_field_is_in_its_document(record: type, document: str) -> None:
    rates = re.compile("(pq|sq|dq)_(things|stuff)")
    wanted = {name for name in settings_of(record) if not rates.fullmatch(name)}
    assert wanted <= names_in(document)


def test_each_setting_of_a_study_is_in_its_document() -> None:
    assert {field.name for field in fields(Study)} <= names_in("studies.md")


def test_each_habit_is_in_the_example() -> None:
    rates = {f"boxes.miss_rate.{size}" for size in ("small", "medium", "large")}
    assert set(settings_of(Annotator)) - rates <= names_in("labels.md")
    assert {"small", "medium", "large"} <= names_in("labels.md")


def test_each_setting_of_a_recipe_is_in_a_document() -> None:
    named = names_in("labels.md") | names_in("training.md") | names_in("instance.md")
    # Some are written with their table, `descent.precision`, others below its name alone.
    words = {word for name in named for word in name.split(".")}
    assert {setting.rpartition(".")[2] for setting in settings_of(Recipe)} <= words
