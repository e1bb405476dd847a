import io
import re
import time
from pathlib import Path

import pytest

from annotools.locks import hold
from studies.results import write_result
from studies.running import live_table
from studies.running.live_table import show_trials
from studies.running.planning import plan_trials
from studies.running.trial_process import lock_of, note_failure
from studies.trials import Trial
from tests.studies.study_builders import make_result, make_study


@pytest.fixture
def trials(tmp_path: Path) -> tuple[Trial, ...]:
    study = make_study(tmp_path, mixes={"full": {"full": 1}}, seeds=[0, 1, 2, 3])
    return plan_trials(study, tmp_path / "run")


def finish(trial: Trial) -> None:
    row = make_result(trial.mix, trial.budget_hours, trial.seed, 0.425, seconds=125)
    write_result(row, trial.result_path)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_has_a_line_for_each_trial_that_ends(
    trials: tuple[Trial, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with show_trials(trials[:3], num_done=4, num_failed=1) as show:
        finish(trials[0])
        show(trials[0])
        note_failure(trials[1], "no\tspace")
        show(trials[1])
        with hold(lock_of(trials[2])):
            show(trials[2])
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" full")[2] for line in lines] == [
        "_3h_seed0 finished in 2 min, PQ 42.5 (5 done, 1 failed, 2 left, time left 20 s)",
        "_3h_seed1 failed: no\\tspace (5 done, 2 failed, 1 left, time left 10 s)",
        "_3h_seed2 left to another process (5 done, 2 failed, 0 left, time left 0 s)",
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", lines[0].partition(" full")[0])


def test_a_terminal_shows_what_runs_and_what_failed(
    trials: tuple[Trial, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stderr", stream)
    with hold(lock_of(trials[2])), show_trials(trials, num_done=0, num_failed=0) as show:
        finish(trials[0])
        show(trials[0])
        note_failure(trials[1], "no space")
        show(trials[1])
    # The last picture, without what moves the cursor.
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "1 running, 1 done, 1 failed, 1 left, time left" in shown
    assert re.search(r"full_3h_seed2\s+running", shown)
    assert re.search(r"full_3h_seed1\s+no space", shown)
    assert "full_3h_seed0 " not in shown


def test_a_damaged_failure_ends_no_run(
    trials: tuple[Trial, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    note_failure(trials[0], "bad")
    trials[0].failure_path.write_text(trials[0].failure_path.read_text().replace("bad", "good"))
    with show_trials(trials[:1], num_done=0, num_failed=0) as show:
        show(trials[0])
    assert "_3h_seed0 left (0 done, 0 failed, 0 left" in capsys.readouterr().err


def test_many_failures_leave_room(trials: tuple[Trial, ...]) -> None:
    progress = live_table._Progress(asked=trials, num_done=0, num_failed=0, began=0)
    progress.errors = [(f"t{number}", "x") for number in range(9)]
    console = pytest.importorskip("rich.console").Console(file=io.StringIO(), width=80)
    console.print(progress.render())
    text = console.file.getvalue()
    assert "t3" not in text
    assert all(f"t{number}" in text for number in range(4, 9))
