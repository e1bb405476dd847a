import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from annotools.errors import RecipeError
from studies.engines import slurm
from studies.engines.needs import Needs
from studies.engines.slurm import run_under_slurm, sbatch_script
from studies.running import runner
from studies.trials import Trial
from tests.studies.engines.stand_ins import run_by_seed
from tests.studies.study_builders import make_study


def prepared(tmp_path: Path, seeds: list[int]) -> list[Trial]:
    study = make_study(tmp_path, mixes={"half & half": {"full": 1}}, seeds=seeds)
    return runner.prepare(study, tmp_path / "my run")


def test_the_script_is_an_array_of_single_trials(tmp_path: Path) -> None:
    trials = prepared(tmp_path, [0, 1])
    needs = Needs(cpus=4, gpus=1, memory_gib=7.5, slurm={"partition": "gpu", "time": "8:00:00"})
    script = sbatch_script(trials, tmp_path / "my run", 1, needs)
    folder = tmp_path / "my run"
    assert script.splitlines()[:-2] == [
        "#!/bin/bash",
        "#SBATCH --job-name=annotools-small",
        "#SBATCH --array=0-1%1",
        "#SBATCH --cpus-per-task=4",
        f'#SBATCH --output="{folder}/.state/slurm/%A_%a.log"',
        "#SBATCH --gpus-per-node=1",
        "#SBATCH --mem=7680M",
        "#SBATCH --partition=gpu",
        "#SBATCH --time=8:00:00",
        "trials=(",
        "  'half & half_3h_seed0'",
        "  'half & half_3h_seed1'",
        ")",
        "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK",
    ]
    # A shell is asked what the last line would run.
    shell = "SLURM_ARRAY_TASK_ID=1\nsrun() { shift; printf '%s\\n' \"$@\"; }\n" + script
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        *("study", "trial", f"{folder}/study.json"),
        *("--trial", "half & half_3h_seed1", "--out", str(folder)),
    ]


def test_where_there_is_no_slurm_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = prepared(tmp_path, [0])
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(RecipeError, match=r"pip install 'annotools\[submitit\]'"):
        list(run_under_slurm(trials, None, Needs()))
    monkeypatch.setitem(sys.modules, "submitit", types.ModuleType("submitit"))
    monkeypatch.setattr(slurm.shutil, "which", lambda _: None)
    with pytest.raises(RecipeError, match="there is no Slurm here"):
        list(run_under_slurm(trials, None, Needs()))
    assert list(run_under_slurm([], None, Needs())) == []


def test_jobs_of_submitit_end_each_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(slurm, "run_there", run_by_seed)
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.1)
    trials = prepared(tmp_path, [0, 1, 2])
    needs = Needs(memory_gib=2, slurm={"partition": "x"})
    found = {t.seed: lost for t, lost in run_under_slurm(trials, None, needs, cluster="local")}
    assert found[0] is None
    assert json.loads((trials[0].folder / "done.json").read_text())["processors"] == 2
    for seed in (1, 2):
        assert str(found[seed]).startswith("its job ")
        assert (trials[0].study_folder / str(found[seed]).partition("log ")[2][:-1]).is_file()


def test_a_job_on_a_wrong_machine_stops_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setattr(slurm, "run_there", run_by_seed)
    monkeypatch.setattr(slurm, "LOOK_SECONDS", 0.1)
    with pytest.raises(RecipeError, match=r"the worker x has Python 3\.12"):
        list(run_under_slurm(prepared(tmp_path, [9]), None, Needs(), cluster="local"))
