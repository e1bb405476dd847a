import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from annotools.errors import DatasetError
from annotools.parallel import Lost
from studies.engines import local
from studies.failures import read_failure
from studies.running import runner, trial_process
from studies.trials import Trial
from tests.studies.in_process import FULL, failing
from tests.studies.study_builders import make_study


def test_a_damaged_failure_is_none(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed = trial_process.run_trial
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[1]), tmp_path / "run"
    monkeypatch.setattr(trial_process, "run_trial", failing(DatasetError("bad"), succeed))
    assert len(runner.run_study(study, folder, workers=1).failures) == 1
    path = folder / "trials/full_3h_seed1/failure.json"
    path.write_text(path.read_text().replace('"bad"', '"good"'))
    monkeypatch.setattr(trial_process, "run_trial", succeed)
    assert len(runner.run_study(study, folder, workers=1).results) == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DatasetError("a.png: photo is\n gone"), "a.png: photo is gone"),
        (
            OSError(28, "No space left on device", "a.png"),
            "a.png: No space left on device: free some of it and repeat the command",
        ),
        (KeyError("x"), "KeyError: 'x' (trials/full_3h_seed1/traceback.txt)"),
        (MemoryError(), "MemoryError (trials/full_3h_seed1/traceback.txt)"),
    ],
)
def test_a_trial_that_fails_harms_no_other_and_runs_again_when_asked(
    tmp_path: Path,
    ran: list[Trial],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
) -> None:
    succeed = trial_process.run_trial
    study, folder = make_study(tmp_path, mixes=FULL, seeds=[1, 0]), tmp_path / "run"
    failure_path = folder / "trials/full_3h_seed1/failure.json"
    log = failure_path.with_name("traceback.txt")
    monkeypatch.setattr(trial_process, "run_trial", failing(error, succeed))
    first = runner.run_study(study, folder, workers=1)
    assert [row.seed for row in first.results] == [0]
    assert [(failure.seed, failure.error) for failure in first.failures] == [(1, message)]
    assert first.left == {}
    assert read_failure(failure_path) == first.failures[0]
    assert set(json.loads(failure_path.read_text())) == {
        *("study", "mix", "budget_hours", "seed", "error", "digest", "weights", "code_version"),
        "sha256",
    }
    assert log.exists() == ("traceback" in message)
    assert not log.exists() or "in run_trial" in log.read_text()
    # Without being asked nothing runs again, and what failed is told again.
    monkeypatch.setattr(trial_process, "run_trial", succeed)
    again = runner.run_study(study, folder, workers=1)
    assert (len(ran), again) == (1, first)
    last = runner.run_study(study, folder, workers=1, retry_failed=True)
    assert ([row.seed for row in last.results], last.failures) == ([1, 0], [])
    assert [path.name for path in failure_path.parent.iterdir()] == ["result.json"]


def test_a_failure_of_other_settings_does_not_count(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed = trial_process.run_trial
    study, folder = make_study(tmp_path, mixes={"m": {"full": 1}}, seeds=[1]), tmp_path / "run"
    monkeypatch.setattr(trial_process, "run_trial", failing(DatasetError("bad"), succeed))
    assert len(runner.run_study(study, folder, workers=1).failures) == 1
    monkeypatch.setattr(trial_process, "run_trial", succeed)
    other = make_study(tmp_path, mixes={"m": {"full": 2}}, seeds=[1])
    assert len(runner.run_study(other, folder, workers=1).results) == 1


def test_a_process_that_is_killed_costs_its_trial(
    tmp_path: Path, ran: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = {0: -signal.SIGKILL, 1: -signal.SIGTERM, 2: -signal.SIGSEGV, 3: 3}

    def lose(_: object, items: Sequence[Path], *__: object) -> Iterator[tuple[Path, Lost]]:
        for item in items:
            seed = trial_process.read_trial(item).seed
            yield item, Lost(exit_code=codes[seed])

    monkeypatch.setattr(local, "run_isolated", lose)
    study = make_study(tmp_path, mixes=FULL, seeds=list(codes))
    found = runner.run_study(study, tmp_path / "run", workers=2)
    assert {failure.seed: failure.error for failure in found.failures} == {
        0: "its process was killed, most often for lack of memory: run it with fewer --workers",
        2: "its process crashed (SIGSEGV)",
        3: "its process ended with status 3",
    }
    # Whoever sends SIGTERM wants a process to stop, and its trial to go on later.
    assert found.left == {"full_3h_seed1": "stopped"}
