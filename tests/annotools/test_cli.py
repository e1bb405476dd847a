import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from annotools.cli import app
from annotools.errors import DatasetError

HEAVY = ("torch", "cv2", "pandas", "matplotlib", "numpy")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.toml"
    path.write_text("width = 64\nheight = 64\nnum_train = 3\nnum_val = 1\n")
    return path


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_command_files_import_nothing_heavy() -> None:
    assert loaded_after("import annotools.cli, studies.cli").isdisjoint(HEAVY)


def test_no_dataset_module_imports_torch() -> None:
    statement = (
        "import pkgutil, importlib, annotools\n"
        "for m in pkgutil.walk_packages(annotools.__path__, 'annotools.'):\n"
        "    importlib.import_module(m.name)"
    )
    loaded = loaded_after(statement)
    assert "annotools.drawing.labels" in loaded
    assert "torch" not in loaded


def test_price_writes_its_table(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "prices.json"
    arguments = ["price", str(world), "--format", "scenes", "--kinds", "full", "--kinds", "boxes"]
    done = CliRunner().invoke(app, [*arguments, "--max-images", "2", "--json", str(out)])
    assert done.exit_code == 0
    assert "5,400.0" in done.stdout
    table = json.loads(out.read_text())
    assert table["images"] == 2
    assert [row["kind"] for row in table["kinds"]] == ["full", "boxes"]
    assert table["kinds"][0]["hours"] == 3.0
    assert table["kinds"][0]["ratio_to_full"] == 1.0


@pytest.mark.parametrize("crops", ["48", "48x", "0x4", "axb", "4x5x6"])
def test_crops_are_width_x_height(world: Path, crops: str) -> None:
    arguments = ["price", str(world), "--format", "scenes", "--crops", crops]
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_draw_writes_photo_beside_label(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    arguments = ["draw", str(world), "--format", "scenes", "--out", str(out), "--image", "2"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    sheet = cv2.imread(str(out))
    assert sheet is not None
    assert sheet.shape == (640, 1284, 3)


def test_draw_of_an_unknown_image_names_some(world: Path, tmp_path: Path) -> None:
    arguments = ["draw", str(world), "--format", "scenes", "--out", str(tmp_path / "s.png")]
    done = CliRunner().invoke(app, [*arguments, "--image", "9"])
    assert isinstance(done.exception, DatasetError)
    assert "no image '9'; its first are 0, 1, 2" in str(done.exception)
