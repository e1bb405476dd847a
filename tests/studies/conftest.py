import pytest

from studies.engines import local
from studies.results import TrialResult, write_result
from studies.running import trial_process
from studies.trials import Trial, remove_links
from tests.studies.in_process import run_here
from tests.studies.study_builders import make_result


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Trial]:
    """The trials that were run; each writes a result without training, in this process."""
    trials = []

    def run_trial(trial: Trial) -> TrialResult:
        trials.append(trial)
        named = dict(zip(("digest", "weights"), trial.made_with, strict=True))
        result = make_result(trial.mix, trial.budget_hours, trial.seed, 0.5, **named)
        write_result(result, trial.result_path)
        remove_links(trial)
        return result

    monkeypatch.setattr(trial_process, "run_trial", run_trial)
    monkeypatch.setattr(local, "run_isolated", run_here)
    return trials
