import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from annotools.cli import app
from annotools.formats import READERS
from annotools.records import Box, WeakLabel
from tests.builders import make_categories, make_weak_dataset


@pytest.fixture
def boxes_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Arguments of a dataset with three boxes in two images, and no mask."""
    box = Box(category_id=20, box_xyxy=(0, 0, 3, 2))
    given = {
        "a.png": WeakLabel(image_id=1, boxes=(box, box), has_boxes=True),
        "b.png": WeakLabel(image_id=2, boxes=(box,), has_boxes=True),
    }
    categories = make_categories(things=("car",), stuff=("background",), background=True)
    dataset = make_weak_dataset(given, categories, (6, 5))
    monkeypatch.setitem(READERS, "boxes", lambda root, split, allow_missing: dataset)
    return [str(tmp_path), "--format", "boxes"]


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def test_inspect_counts_boxes_and_leaves_areas_open(boxes_alone: list[str], tmp_path: Path) -> None:
    out = tmp_path / "summary.json"
    lines = [line.split() for line in run("inspect", *boxes_alone, "--json", out).splitlines()]
    table = json.loads(out.read_text())
    assert (table["instances"], table["tags_per_crop"], table["void_share"]) == (3, 1, None)
    assert ["car", "thing", "2", "3", "0", "–", "–"] in lines
    assert ["background", "stuff", *["–"] * 5] in lines
    assert ["void", "–"] in lines


def test_prices_follow_from_the_boxes(boxes_alone: list[str], tmp_path: Path) -> None:
    out = tmp_path / "prices.json"
    printed = run("price", *boxes_alone, "--kinds", "boxes", "--kinds", "full", "--json", out)
    boxes, full = json.loads(out.read_text())["kinds"]
    assert (boxes["actions"], boxes["hours"]) == ({"box": 3}, pytest.approx(21 / 3600))
    assert (full["actions"], full["hours"]) == ({"mask": 3}, pytest.approx(3 * 79.2 / 3600))
    assert "0.005833" in printed
    by_vertex = run("price", *boxes_alone, "--kinds", "full by vertex")
    assert "the vertices are not known" in by_vertex


def test_boxes_can_be_planned(boxes_alone: list[str], tmp_path: Path) -> None:
    out = tmp_path / "table.json"
    run("plan", *boxes_alone, "--mix", "boxes=1", "--budget", 1, "--json", out)
    (row,) = json.loads(out.read_text())["budgets"]
    assert row["spent_hours"] == pytest.approx(21 / 3600)
    assert (row["kinds"][0]["images"], row["kinds"][0]["instances"]) == (2, 3)
