import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from annotools.errors import RecipeError
from annotools.formats.source import Source
from tests.wsps.lessons import write_labels
from wsps import processes


def test_a_process_alone_does_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    values = torch.arange(3)
    assert processes.mean_over_processes(values) is values
    assert processes.agree([True, False]) == [True, False]
    assert processes.is_main()
    assert processes.own_places(4) == range(4)
    processes.join_processes()
    processes.wait_for_all()
    processes.average_gradients([torch.nn.Parameter(values.float())])


def test_processes_share_the_places_of_a_batch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert processes.own_places(6) == range(3, 6)
    assert not processes.is_main()
    with pytest.raises(RecipeError, match=r"batch_size = 3: 2 processes cannot share .* set 4"):
        processes.own_places(3)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(tmp_path: Path):
    world = tmp_path / "world.toml"
    world.write_text("width = 64\nheight = 64\nnum_train = 4\nnum_val = 1\n")
    photos = Source(format_name="scenes", root=world, split="train")
    labels = write_labels(tmp_path / "labels", photos, {0: "full", 1: "boxes", 2: "boxes"})
    asked = ["train", "--labels", labels, "--photos", world, "--format", "scenes"]
    for change in (
        "views.crop_size_wh=[64,64]",
        "descent.batch_size=4",
        "descent.precision=float32",
        "semantic.steps=6",
        # Its proposals are drawn for each process by itself.
        "detector.steps=0",
        "instance.steps=3",
        "instance.score_threshold=0.0",
        "instance.max_detections=5",
    ):
        asked += ["--set", change]
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    together += ["--nproc-per-node", "2", "-m", "studies.cli"]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    printed = []
    for name, start in (("one", [sys.executable, "-m", "studies.cli"]), ("two", together)):
        command = [str(part) for part in [*start, *asked, "--out", tmp_path / name]]
        done = subprocess.run(command, capture_output=True, text=True, env=hidden)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout)
    # One of the two talks.
    assert printed[0].replace("one", "two").split()[:8] == printed[1].split()[:8]
    assert printed[1].count("Training on") == 1
    for stage in ("semantic", "instance"):
        one, two = (read_losses(tmp_path / name / f"{stage}.csv") for name in ("one", "two"))
        assert len(one) > 2
        assert two == pytest.approx(one, rel=1e-3)
    for file in ("semantic.pt", "instance.pt"):
        one_state, two_state = (
            torch.load(tmp_path / name / file, weights_only=True)["state"]
            for name in ("one", "two")
        )
        for name, values in one_state.items():
            torch.testing.assert_close(two_state[name], values, rtol=1e-2, atol=2e-3)


def read_losses(path: Path) -> list[float]:
    rows = [line.split(",")[2] for line in path.read_text().splitlines()[1:]]
    return [float(loss) for loss in rows if loss]
