"""A failed trial is a file as well: what it was and why it failed, beside what it left."""

from dataclasses import asdict, dataclass
from pathlib import Path

from annotools.seals import write_sealed_json
from studies.results import RESULT_FILE, TRIALS_FOLDER, read_record, trial_name
from studies.study import Study

FAILURE_FILE = "failure.json"
TRACEBACK_FILE = "traceback.txt"
"""Where in the code a trial failed that did so for no known reason."""


@dataclass(frozen=True, kw_only=True)
class TrialFailure:
    """Why a trial failed. `digest` and `weights` name its settings, as in a row."""

    study: str
    mix: str
    budget_hours: float
    seed: int
    error: str
    """In one line."""
    digest: str
    weights: str
    code_version: str

    @property
    def name(self) -> str:
        """The trial's."""
        return trial_name(self.mix, self.budget_hours, self.seed)


def write_failure(failure: TrialFailure, path: Path) -> None:
    """Write a failure, sealed, so that the file is there whole or not at all."""
    write_sealed_json(path, asdict(failure))


def read_failure(path: Path) -> TrialFailure:
    """Read a failure.

    Raises:
        RecipeError: when the file is not one.
    """
    return read_record(TrialFailure, path, "a trial's failure")


def read_failures(study: Study, folder: Path) -> list[TrialFailure]:
    """Return why trials of the study failed, in its order, without those that are finished.

    Raises:
        RecipeError: when a file is not a failure.
    """
    trials = (folder / TRIALS_FOLDER / trial_name(*point) for point in study.points)
    paths = [trial / FAILURE_FILE for trial in trials if not (trial / RESULT_FILE).is_file()]
    return [read_failure(path) for path in paths if path.is_file()]
