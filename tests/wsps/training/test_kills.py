"""Processes that train are killed, as `benchmarks/kills.py` does it at random moments."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from annotools.cli import app as annotools_app
from annotools.files import files_under

STEPS = {"semantic": 5, "detector": 5, "instance": 4}

SETTINGS = (
    *("--set", "descent.batch_size=2", "--set", "views.crop_size_wh=[32,32]"),
    *("--set", "instance.mask_weight=1"),
    *(part for stage, steps in STEPS.items() for part in ("--set", f"{stage}.steps={steps}")),
)

COMMAND = """
import wsps.training.loop as loop
loop.SAVE_SECONDS = 0.0
seed_of_step = loop.stream_seed
def tell(seed, word, stage, step):
    print("step", stage, step, flush=True)
    return seed_of_step(seed, word, stage, step)
loop.stream_seed = tell
from studies.cli import main
main()
"""
"""`annotools`, which writes a checkpoint after each step and says which step begins."""


def start(out: Path) -> "subprocess.Popen[str]":
    folder = out.parent
    place = ("--labels", folder / "full", "--photos", folder / "world.toml", "--format", "scenes")
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "train", *map(str, (*place, "--out", out)), *SETTINGS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # The test compares bits: one thread, and no GPU.
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )


def steps_until(process: "subprocess.Popen[str]", last: str | None = None) -> list[str]:
    """The steps that a process says it begins, up to this one or its end."""
    assert process.stdout is not None
    steps = []
    for line in process.stdout:
        if line.startswith("step "):
            steps.append(line.removeprefix("step ").strip())
            if steps[-1] == last:
                break
    return steps


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state"]
    return state


@pytest.mark.slow
def test_a_process_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "world.toml").write_text("width = 64\nheight = 64\nnum_train = 3\nnum_val = 1\n")
    given = ["convert", tmp_path / "world.toml", "--format", "scenes", "--to", "full"]
    done = CliRunner().invoke(annotools_app, [*map(str, given), "--out", f"{tmp_path}/full"])
    assert done.exit_code == 0, done.output
    whole, out = tmp_path / "whole", tmp_path / "out"
    with start(whole) as undisturbed, start(out) as killed:
        steps = steps_until(killed, "detector 3")
        os.killpg(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
        assert steps[-4:] == [f"detector {step}" for step in range(4)]
        assert not (out / "manifest.json").exists()
        all_steps = steps_until(undisturbed)
    assert undisturbed.returncode == 0
    assert all_steps == [f"{stage} {step}" for stage in STEPS for step in range(STEPS[stage])]
    with start(out) as resumed:
        rest = steps_until(resumed)
    assert resumed.returncode == 0
    # The checkpoint of step 3, which had begun, may have been whole or not.
    assert rest in (all_steps[all_steps.index(f"detector {step}") :] for step in (3, 4))

    names = {name for name in files_under(whole) if not name.startswith(".state/setup")}
    assert names == {name for name in files_under(out) if not name.startswith(".state/setup")}
    for name in sorted(names):
        if name.endswith(".pt"):
            one, other = weights_of(whole / name), weights_of(out / name)
            assert one.keys() == other.keys()
            assert all(torch.equal(one[key], other[key]) for key in one), name
        else:
            assert (whole / name).read_bytes() == (out / name).read_bytes(), name
