import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from annotools.cli import app
from annotools.errors import RecipeError, TimesError
from tests.annotools.commands.price_runs import TRAIN, write_coco


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["DATA"],
        ["--format", "voc"],
        [*TRAIN, "--format", "voc"],
        [*TRAIN, "--max-images", "2"],
        [*TRAIN, "--crops", "4x4"],
        [*TRAIN, "--allow-missing"],
        [*TRAIN, "--seconds", "box"],
        [*TRAIN, "--seconds", "box=fast"],
    ],
)
def test_wrong_use(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["price", *arguments]).exit_code == 2


def test_files_that_would_be_replaced_are_refused(
    tmp_path: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    own, same = tmp_path / "own.toml", tmp_path / "same.png"
    own.write_text('inherit = "li2018"\n')
    dataset = write_coco(tmp_path)
    labels = tmp_path / "annotations" / "." / "instances_val.json"
    scenes = (str(world), "--format", "scenes")
    for arguments, message in (
        ((*TRAIN, "--picture", tmp_path / "x.txt"), "pictures are PNG: give a name in .png"),
        ((*TRAIN, "--picture", same, "--json", same), "is the file of --json too"),
        ((*TRAIN, "--times", own, "--json", own), "is a file that is read too"),
        ((*scenes, "--json", world), "is a file that is read too"),
        ((*dataset, "--json", labels), "is a file in "),
    ):
        done = CliRunner().invoke(app, ["price", *map(str, arguments)])
        assert (done.exit_code, message in done.output) == (2, True), done.output
    assert not same.exists()
    assert json.loads(labels.read_text())["categories"] == [{"id": 3, "name": "car"}]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--seconds", "click=1"], TimesError, "no action 'click'"),
        (["--times", "lee"], TimesError, "'lee'"),
        (["--kinds", "masks"], RecipeError, "unknown label kind 'masks': use full, full by v"),
    ],
)
def test_wrong_input_is_named(arguments: list[str], error: type, message: str) -> None:
    done = CliRunner().invoke(app, ["price", *TRAIN, *arguments])
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
