from pathlib import Path

import pytest

from annotools.errors import RecipeError
from studies.failures import read_failures, write_failure
from studies.results import write_result
from studies.running.unfinished import tell_unfinished
from tests.studies.study_builders import make_failure, make_result, make_study


def test_the_last_line_names_trials_errors_and_remedy() -> None:
    failures = [make_failure("full", 3, seed, "no memory") for seed in (0, 1)]
    assert tell_unfinished(failures, {}, 12) == (
        "2 of 12 trials failed: full_3h_seed0: no memory; full_3h_seed1: no memory; "
        "repeat the command with --retry-failed"
    )
    left = {"a_1h_seed0": "stopped", "b_1h_seed0": "busy", "c_1h_seed0": "stopped"}
    assert tell_unfinished([], left, 3) == (
        "2 of 3 trials left, stopped: a_1h_seed0; c_1h_seed0; repeat the command to go on; "
        "1 of 3 trials left, busy: b_1h_seed0; repeat the command to go on"
    )


def test_many_failures_are_counted() -> None:
    failures = [make_failure("full", 3, seed, "x") for seed in range(9)]
    told = tell_unfinished(failures, {}, 9)
    assert told.startswith("9 of 9 trials failed: full_3h_seed0: x; ")
    assert "full_3h_seed2: x; and 6 more; repeat" in told


def test_failures_are_the_study_s_own_that_are_not_finished(tmp_path: Path) -> None:
    study = make_study(tmp_path, mixes={"b": {"full": 1}, "a": {"full": 1}}, seeds=[1, 0])
    for mix, seed in (("a", 0), ("a", 1), ("b", 0), ("b", 5), ("c", 0)):
        failure = make_failure(mix, 3, seed, "x")
        write_failure(failure, tmp_path / "trials" / failure.name / "failure.json")
    write_result(make_result("a", 3, 1, 0.5), tmp_path / "trials/a_3h_seed1/result.json")
    assert [f.name for f in read_failures(study, tmp_path)] == ["b_3h_seed0", "a_3h_seed0"]
    (tmp_path / "trials/a_3h_seed0/failure.json").write_text("[]")
    with pytest.raises(RecipeError, match=r"failure\.json: not a trial's failure .* delete it"):
        read_failures(study, tmp_path)
