"""A trial runs in a process of its own, wherever that is: what it needs is the path of its file.

Whatever becomes of it is in its folder: a row, a failure, or links that the next process goes on
with. So whoever starts such processes looks at the folder, and at how the process ended.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.errors import AnnotationError, RecipeError, StoppedError, UnfinishedError, as_line
from annotools.files import files_under, leftover_of, remove_files, write_whole
from annotools.locks import hold, holder
from annotools.read_files import shown
from annotools.records import LABEL_KINDS, NO_LABEL
from annotools.seals import SEAL, read_sealed_json, write_sealed_json
from annotools.settings import as_table, read_settings, without_nulls
from annotools.work_folder import STATE_FOLDER
from studies.failures import TRACEBACK_FILE, TrialFailure, read_failure, write_failure
from studies.results import RESULT_FILE, read_whole_result
from studies.study import Study
from studies.trials import TRIAL_FILE, Trial, read_row, remove_links, run_trial

LONGEST_ERROR = 1000
"""Characters of an error that are kept: some libraries put whole logs into theirs."""


@dataclass(frozen=True, kw_only=True)
class _StoredTrial:
    """What the file of a trial has besides the kinds of images."""

    made_with: tuple[str, ...]
    study: Study
    mix: str
    budget_hours: float
    seed: int
    spent_hours: float
    actions: Mapping[str, float]


def store_trial(trial: Trial) -> None:
    """Write a trial to its file, from which another process can run it.

    Raises:
        OSError: when it cannot be written.
    """
    content = {
        "made_with": trial.made_with,
        "study": as_table(trial.study),
        "mix": trial.mix,
        "budget_hours": trial.budget_hours,
        "seed": trial.seed,
        "spent_hours": trial.spent_hours,
        "actions": dict(trial.actions),
        # Image ids are numbers or texts, and keys of JSON are texts.
        "kind_of": list(trial.kind_of.items()),
    }
    write_sealed_json(trial.stored_path, content)


def read_trial(path: Path) -> Trial:
    """Return the trial of a file that `store_trial` wrote.

    Raises:
        RecipeError: when the file is not one, or what it was made with has changed since.
    """
    content = read_sealed_json(path)
    if content is None:
        raise RecipeError(f"{path}: missing, damaged or not a trial: run the study again")
    try:
        table = without_nulls({name: value for name, value in content.items() if name != SEAL})
        kind_of = _read_kinds(table.pop("kind_of", None))
        stored = read_settings(_StoredTrial, table, where=str(path))
        if stored.mix not in stored.study.mixes:
            raise RecipeError(f"its study has no mix {stored.mix!r}")
    except ValueError as error:
        reason = as_line(error).removeprefix(f"{path}: ")
        raise RecipeError(f"{path}: not a trial ({reason}): run the study again") from error
    own = {name: value for name, value in vars(stored).items() if name != "made_with"}
    trial = Trial(**own, kind_of=kind_of, study_folder=path.parents[2])
    if stored.made_with != trial.made_with:
        raise RecipeError(f"{path}: a file that its study names has changed: run the study again")
    return trial


def _read_kinds(listed: Any) -> dict[int | str, str]:
    """Return the kinds of images by their ids from pairs of both."""
    kind_of: dict[int | str, str] = {}
    for pair in listed if isinstance(listed, list) else [listed]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise RecipeError(f"kind_of has {shown(pair)} instead of id and kind")
        image_id, kind = pair
        if type(image_id) not in (int, str) or kind not in (*LABEL_KINDS, NO_LABEL):
            raise RecipeError(f"kind_of has {shown(pair)} instead of id and kind")
        kind_of[image_id] = kind
    return kind_of


def lock_of(trial: Trial) -> Path:
    """Return the file that the process holds that runs a trial."""
    return trial.study_folder / STATE_FOLDER / "running" / trial.name


def run_to_the_end(trial: Trial) -> bool:
    """Run a trial, or what is left of it; leave its row, or why it failed.

    A trial that is finished is left as it is.

    Returns:
        False where something happened that nobody foresaw: better not to use the process again.

    Raises:
        StoppedError: when the process was asked to stop.
        UnfinishedError: when another process runs the trial.
        OSError: when not even the failure can be written.
    """
    with hold(lock_of(trial)) as is_ours:
        if not is_ours:
            other = holder(lock_of(trial)) or "which has just ended"
            raise UnfinishedError(
                f"{trial.folder}: is being run by another process ({other}): wait until it ends"
            )
        # A killed process may have left files half written. That of the trial itself may be in
        # writing, by another run of the study.
        left = [n for n in files_under(trial.folder) if leftover_of(n) not in (None, TRIAL_FILE)]
        remove_files(trial.folder, left)
        if read_row(trial) is not None:
            remove_links(trial)
            return True
        try:
            run_trial(trial)
        except StoppedError:
            raise
        except (AnnotationError, OSError) as error:
            note_failure(trial, as_line(error))
        except Exception as error:
            line = ": ".join(filter(None, (type(error).__name__, as_line(error))))
            note_failure(trial, line, "".join(traceback.format_exception(error)))
            return False
    return True


def run_stored(path: Path) -> bool:
    """Run the trial of a file, as `run_to_the_end` does.

    Another run of the study removes the file when it has finished the trial: nothing is left to do
    then.

    Raises:
        RecipeError: as `read_trial`.
    """
    try:
        trial = read_trial(path)
    except RecipeError:
        if path.is_file() or read_whole_result(path.with_name(RESULT_FILE)) is None:
            raise
        return True
    return run_to_the_end(trial)


def note_failure(trial: Trial, error: str, trace: str | None = None) -> None:
    """Write why a trial failed.

    Args:
        trial: that failed.
        error: in one line.
        trace: where in the code, which gets a file of its own; None where that tells nothing.

    Raises:
        OSError: when it cannot be written.
    """
    log = trial.folder / TRACEBACK_FILE
    line = error if len(error) <= LONGEST_ERROR else f"{error[:LONGEST_ERROR]} ..."
    if trace is None:
        log.unlink(missing_ok=True)
    else:
        write_whole(log, trace.encode(errors="backslashreplace"))
        line = f"{line} ({log.relative_to(trial.study_folder)})"
    digest, weights = trial.made_with
    failure = TrialFailure(
        study=trial.study.name,
        mix=trial.mix,
        budget_hours=trial.budget_hours,
        seed=trial.seed,
        error=line,
        digest=digest,
        weights=weights,
        code_version=version("annotools"),
    )
    write_failure(failure, trial.failure_path)


def has_failed(trial: Trial) -> bool:
    """Return whether it is known that the trial failed with the settings that it has now."""
    failure = _read_own_failure(trial)
    return failure is not None and (failure.digest, failure.weights) == trial.made_with


def _read_own_failure(trial: Trial) -> TrialFailure | None:
    """Return why a trial failed; None where nobody noted it, or the file is damaged."""
    if not trial.failure_path.is_file():
        return None
    try:
        failure = read_failure(trial.failure_path)
    except RecipeError:
        return None
    return failure if failure.name == trial.name else None
