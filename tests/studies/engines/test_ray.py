import json
import socket
import sys
import types
from pathlib import Path

import pytest

from annotools.errors import RecipeError
from studies.engines import ray as engine
from studies.engines.needs import Needs
from studies.engines.ray import run_on_ray
from studies.running import runner
from studies.trials import Trial
from tests.studies.engines.stand_ins import run_by_seed
from tests.studies.study_builders import make_study


def prepared(tmp_path: Path, seeds: list[int]) -> list[Trial]:
    study = make_study(tmp_path, mixes={"full": {"full": 1}}, seeds=seeds)
    return runner.prepare(study, tmp_path / "run")


def test_without_ray_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RecipeError, match=r"pip install 'annotools\[ray\]'"):
        list(run_on_ray(prepared(tmp_path, [0]), None, Needs()))
    assert list(run_on_ray([], None, Needs())) == []


def test_where_no_cluster_answers_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = prepared(tmp_path, [0])
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))
    # A port that was just free.
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(RecipeError, match=f"RAY_ADDRESS={address}: nobody answers there"):
        list(run_on_ray(trials, None, Needs()))


@pytest.fixture
def on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(engine, "run_there", run_by_seed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own.
@pytest.mark.usefixtures("on_this_machine")
def test_a_lost_worker_costs_its_trial(tmp_path: Path) -> None:
    trials = prepared(tmp_path, [1, 2, 0])
    found = {trial.seed: lost for trial, lost in run_on_ray(trials, 1, Needs())}
    assert found == {
        0: None,
        1: "its Ray worker was lost (WorkerCrashedError)",
        2: "its Ray task failed (a.json: No space left on device)",
    }
    written = json.loads((trials[2].folder / "done.json").read_text())
    assert written == {"processors": 1, "versions": engine.own_versions()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("on_this_machine")
def test_what_no_worker_can_do_stops_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = prepared(tmp_path, [9, 0])
    with pytest.raises(RecipeError, match=r"the worker x has Python 3\.12"):
        list(run_on_ray(trials, 1, Needs()))
    with pytest.raises(RecipeError, match="no machine of the Ray cluster has 4000 CPUs"):
        list(run_on_ray(trials, 1, Needs(cpus=4000)))
