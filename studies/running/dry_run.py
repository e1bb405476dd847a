"""What a study would run: its trials, what they buy, and what is left in hours and on disk."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from annotools.records import BOXED_KINDS
from studies.folder import check_folder
from studies.results import TrialResult
from studies.running.planning import plan_trials
from studies.running.runner import look, refuse_other_settings
from studies.running.timing import Timing
from studies.study import Study
from studies.trials import Trial, read_row
from studies.validate import check_budgets
from wsps.networks.model import check_segmenter

FINISHED, FAILED, LEFT = "finished", "failed", "left"


@dataclass(frozen=True, kw_only=True)
class PlannedTrial:
    """A trial, the images that it buys by label kind, the hours it spends, and how it stands."""

    name: str
    images: Mapping[str, int]
    spent_hours: float
    state: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is left to do. `seconds` of computing are of all trials together, one after the other.

    `from_rows` says whether they were taken from finished rows. `disk_bytes` are those that the
    folder needs at most while trials run.
    """

    seconds: float
    from_rows: bool
    disk_bytes: float


def plan(study: Study, folder: Path) -> tuple[tuple[Trial, ...], list[PlannedTrial]]:
    """Return the trials of a study, and how each stands in its folder; nothing is written there.

    Raises:
        AnnotationError: for what `run_study` refuses.
    """
    check_segmenter(study.recipe)
    trials = plan_trials(study, folder)
    check_budgets(study, trials)
    check_folder(study, folder)
    for trial in trials:
        refuse_other_settings(trial)
    found = look(trials)
    failed = {failure.name for failure in found.failures}
    planned = []
    for trial in trials:
        state = LEFT if trial.name in found.left else FAILED if trial.name in failed else FINISHED
        planned.append(
            PlannedTrial(
                name=trial.name,
                images=trial.images,
                spent_hours=trial.spent_hours,
                state=state,
            )
        )
    return trials, planned


def estimate(trials: Sequence[Trial], timing: Timing, workers: int) -> Estimate:
    """Return what the trials take that are not finished.

    Args:
        trials: of the study.
        timing: of its parts on this machine.
        workers: trials at the same time.
    """
    row_of = {trial.name: read_row(trial) for trial in trials}
    rows = [row for row in row_of.values() if row is not None]
    finished = [trial for trial in trials if row_of[trial.name] is not None]
    missing = _to_train([t for t in trials if row_of[t.name] is None], finished)
    seconds = sum(_from_rows(trial, rows) if rows else timing.seconds(trial) for trial in missing)
    return Estimate(
        seconds=seconds, from_rows=bool(rows), disk_bytes=_disk(missing, timing, workers)
    )


def _to_train(missing: Sequence[Trial], finished: Sequence[Trial]) -> list[Trial]:
    """Return the missing trials without those that buy what another one of their seed bought."""
    known: set[tuple[str, int, frozenset[tuple[int | str, str]]]] = set()
    found, asked = [], {trial.name for trial in missing}
    for trial in (*finished, *missing):
        bought = trial.mix, trial.seed, frozenset(trial.kind_of.items())
        is_repeat = bought in known and not trial.study.keep_links
        if trial.name in asked and not is_repeat:
            found.append(trial)
        known.add(bought)
    return found


def as_json(planned: Sequence[PlannedTrial], estimated: Estimate | None) -> dict[str, Any]:
    """Return a plan as JSON can hold it."""
    content: dict[str, Any] = {"trials": [vars(trial) for trial in planned]}
    return content | {"left": None if estimated is None else vars(estimated)}


def _from_rows(trial: Trial, rows: Sequence[TrialResult]) -> float:
    """Return the seconds of finished trials that are most like one: of its mix, then budget."""
    like = [row for row in rows if row.mix == trial.mix] or list(rows)
    distance = [abs(math.log(row.budget_hours / trial.budget_hours)) for row in like]
    pairs = zip(like, distance, strict=True)
    return fmean(row.seconds for row, far in pairs if far == min(distance))


def _disk(missing: Sequence[Trial], timing: Timing, workers: int) -> float:
    if not missing:
        return 0.0
    study = missing[0].study
    own = sorted((timing.bytes(trial) for trial in missing), reverse=True)
    # Links go with the end of their trial, unless the study keeps them.
    running = own if study.keep_links else own[:workers]
    images = {image for trial in missing for image in trial.kind_of}
    boxed = {
        image for trial in missing for image, kind in trial.kind_of.items() if kind in BOXED_KINDS
    }
    views = len(images) * (study.recipe.views.per_photo or 1)
    return sum(running) + len(boxed) * timing.label_bytes + views * timing.feature_bytes
