"""Whatever is damaged of what a stopped run left, the repeated command gives the same result.

The environment variable ANNOTOOLS_DAMAGES says how many damages of each kind are tried.
"""

import os
import random
from pathlib import Path

import pytest

from tests.faults.damages import SCENARIOS, Stopped, each_kind

pytestmark = pytest.mark.usefixtures("on_the_cpu")

MADE_AGAIN = ("lines", "PNGs")
"""Kinds of which every damage is told."""

_stopped: dict[str, Stopped] = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damages")


@pytest.mark.parametrize(("name", "kind"), each_kind())
def test_the_result_is_that_of_a_run_that_nobody_stopped(
    folder: Path, name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = SCENARIOS[name]
    if name not in _stopped:
        _stopped[name] = Stopped(scenario=scenario, folder=folder / name)
    assert _stopped[name].files_of(kind), "the stopped run left none"
    capsys.readouterr()
    wrong = {}
    for number in range(int(os.environ.get("ANNOTOOLS_DAMAGES", scenario.tries))):
        done, found = _stopped[name].damage(kind, random.Random(f"{name} {kind} {number}"))
        if found is not None:
            wrong[done] = found
        # Elsewhere not every file is looked at again: features, say, of a stage that is over. And
        # JSON without the end of its last line says what it said.
        is_told = "1 damaged part was made again" in capsys.readouterr().err
        assert is_told or kind not in MADE_AGAIN, done
    assert wrong == {}
