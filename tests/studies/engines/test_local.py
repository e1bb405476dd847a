from functools import partial
from pathlib import Path

import pytest
import torch

from studies.engines import local
from studies.engines.needs import Needs
from studies.running import runner
from tests.studies.engines.stand_ins import run_by_seed
from tests.studies.study_builders import make_study


def test_a_process_that_is_killed_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make_study(tmp_path, mixes={"full": {"full": 1}}, seeds=[1, 0, 3])
    trials = runner.prepare(study, tmp_path / "run")
    monkeypatch.setattr(local, "_run_stored", partial(run_by_seed, versions={}, processors=1))
    found = {trial.seed: lost for trial, lost in local.run_locally(trials, 1, Needs())}
    assert found.pop(1) == (
        "its process was killed, most often for lack of memory: run it with fewer --workers"
    )
    assert found == {0: None, 3: None}
    assert all((trial.folder / "done.json").is_file() for trial in trials[1:])


def test_each_gpu_has_its_own_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path, mixes={"full": {"full": 1}}, seeds=list(range(12)))
    trials = runner.prepare(study, tmp_path / "run")
    asked = []
    monkeypatch.setattr(local, "run_isolated", lambda *arguments: asked.append(arguments[2:]) or [])
    monkeypatch.setattr(local, "has_gpu", lambda: True)
    monkeypatch.setattr(local, "available_processors", lambda: 16)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (80 * 2**30, 80 * 2**30))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    list(local.run_locally(trials, None, Needs()))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,5")
    list(local.run_locally(trials, 3, Needs()))
    # Two processors for each trial: four on a GPU.
    name = "CUDA_VISIBLE_DEVICES"
    assert asked == [(8, [{name: "0"}, {name: "1"}]), (3, [{name: "GPU-a"}, {name: "5"}])]
