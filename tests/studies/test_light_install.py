"""The commands that convert, check, price, plan and score run without the extra `train`."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from studies.cli import TRAIN_PACKAGES
from studies.folder import start_study
from studies.results import write_result
from tests.studies.study_builders import make_result, make_study

ROOT = Path(__file__).parents[2]

# The interpreter runs this before anything else: packages and their metadata are as if absent.
WITHOUT_PACKAGES = """
import sys
from importlib.machinery import PathFinder

class WithoutPackages(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.partition(".")[0] in MODULES
        return None if hidden else super().find_spec(name, path, target)

    @classmethod
    def find_distributions(cls, context):
        return () if context.name in DISTRIBUTIONS else super().find_distributions(context)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutPackages
"""


def extra() -> set[str]:
    """The distributions of the extra, as pyproject.toml names them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {re.split("[<>=]", text)[0] for text in project["optional-dependencies"]["train"]}


@pytest.fixture
def light(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that lacks the extra."""
    folder = tmp_path / "site"
    folder.mkdir()
    head = f"MODULES, DISTRIBUTIONS = {set(TRAIN_PACKAGES)!r}, {extra()!r}\n"
    (folder / "sitecustomize.py").write_text(head + WITHOUT_PACKAGES)
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


def annotools(
    environment: dict[str, str], folder: Path, text: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder."""
    command = [sys.executable, "-m", "studies.cli", *text.split()]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


def test_the_names_are_those_of_the_extra() -> None:
    distributions_of = packages_distributions()
    found = {name: set(distributions_of[name]) for name in TRAIN_PACKAGES}
    assert set().union(*found.values()) == extra()
    assert list(map(len, found.values())) == [1] * len(extra())


def test_packages_are_hidden_from_the_process(light: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import importlib.metadata, importlib.util, numpy\n"
        f"print([importlib.util.find_spec(name) for name in {TRAIN_PACKAGES!r}])\n"
        "print(numpy.__version__ == importlib.metadata.version('numpy'))\n"
        "try: importlib.metadata.version('torch')\n"
        "except importlib.metadata.PackageNotFoundError: print('no torch')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=light, cwd=tmp_path
    )
    assert done.stdout == f"{[None] * 4}\nTrue\nno torch\n", done.stderr


@pytest.mark.slow
def test_commands_that_run_without_the_extra(light: dict[str, str], tmp_path: Path) -> None:
    study, folder = make_study(tmp_path, budgets_hours=[2, 8]), tmp_path / "study"
    start_study(study, folder)
    for mix in study.mixes:
        for hours in study.budgets_hours:
            # A full label takes 1.5 h, boxes and tags of such a scene under a minute.
            images = {mix: int(hours if mix == "full" else 200 * hours)}
            actions = {"full_image": hours / 1.5} if mix == "full" else {"box": hours * 3600 / 7}
            row = make_result(mix, hours, 0, 0.1 + hours / 50, images=images, actions=actions)
            write_result(row, folder / "trials" / f"{mix}_{hours:g}.json")
    for text in (
        "--version",
        "convert world.toml --format scenes --to full --to boxes+tags --out set",
        "check set --format coco-panoptic --decode",
        "inspect set --format coco-panoptic",
        "draw world.toml --format scenes --out sheet.png",
        "price world.toml --format scenes --picture prices.png",
        "plan world.toml --format scenes --mix boxes=1 --budget 3 --out plan.json",
        "evaluate --prediction set/panoptic.json --truth set/panoptic.json --bootstrap 10",
        "study report study",
        "study break-even study --action full_image",
        "study recommend study --hours 2",
    ):
        done = annotools(light, tmp_path, text)
        # The label set has no photos, which those who read it say.
        told = [
            line for line in done.stderr.splitlines() if not line.startswith("note: labels alo")
        ]
        assert (done.returncode, told) == (0, []), text
    report = (folder / "report.md").read_text()
    assert "no torch, no torchvision, numpy " in report


@pytest.mark.parametrize(
    "text",
    [
        "pseudo-label world.toml --format scenes --labels boxes --out out",
        "train --labels labels --photos world.toml --format scenes --out out",
        "predict run world.toml --format scenes --out out",
        "study run study.toml --out out",
        "study run study.toml --out out --dry-run",
        "study trial study.toml --trial full_3h_seed0 --out out",
        "demo --out out",
    ],
)
def test_commands_that_need_the_extra_say_so_before_any_work(
    light: dict[str, str], tmp_path: Path, text: str
) -> None:
    (tmp_path / "world.toml").write_text("width = 64\nheight = 64\nnum_train = 3\nnum_val = 1\n")
    (tmp_path / "study.toml").write_text(
        'name = "a"\nmixes = { "full" = { "full" = 1 } }\nbudgets_hours = [3]\n'
        'dataset = { format = "scenes", root = "world.toml" }\n'
    )
    done = annotools(light, tmp_path, text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: this command needs packages that are not installed (higra, pydensecrf, torch, "
        "torchvision): pip install 'annotools[train]'\n"
    )
    assert not (tmp_path / "out").exists()


def test_another_missing_package_is_a_fault_and_has_its_traceback(
    light: dict[str, str], tmp_path: Path
) -> None:
    site = tmp_path / "site" / "sitecustomize.py"
    site.write_text(site.read_text().replace("'torch'", "'torch', 'cv2'", 1))
    (tmp_path / "world.toml").write_text("width = 64\nheight = 64\nnum_train = 3\nnum_val = 1\n")
    done = annotools(light, tmp_path, "price world.toml --format scenes")
    assert "ModuleNotFoundError: No module named 'cv2'" in done.stderr
