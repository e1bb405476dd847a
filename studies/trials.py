"""One point of a study as a chain of folders: pseudo-label, train, predict, evaluate.

Each link is what its command does, and a trial that was stopped goes on at the link where it was.
All trials of a study share the masks made from boxes, which depend on photo and boxes alone.
"""

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.errors import DatasetError
from annotools.formats.source import Source, open_source
from annotools.parallel import available_processors
from annotools.records import NO_LABEL
from annotools.weak_labels.annotators import read_annotator
from studies.examples import EXAMPLES_FOLDER, keep_examples
from studies.failures import FAILURE_FILE, TRACEBACK_FILE
from studies.folder import FEATURES_FOLDER
from studies.results import (
    RESULT_FILE,
    TRIALS_FOLDER,
    TrialResult,
    read_whole_result,
    trial_name,
    write_result,
)
from studies.study import Study
from wsps.device import count_loaders, has_gpu
from wsps.evaluation.average_precision import THRESHOLDS
from wsps.evaluation.overlaps import RunLabel, to_runs
from wsps.inference import predict_images
from wsps.networks.weights import describe_weights
from wsps.pseudo_labels.request import LabelRequest
from wsps.pseudo_labels.rounds import pseudo_label
from wsps.recipe import decide_completeness
from wsps.scoring.evaluate import score_prediction
from wsps.scoring.trivial import score_trivial
from wsps.training.finished_runs import read_summary
from wsps.training.train import train

LINKS = ("labels", "run", "predictions")
"""The folder that each link but the last writes."""

TEST_PREDICTIONS = "test_predictions"
"""The folder of those on the test split, where there is one."""

TRIAL_FILE = "trial.json"
"""In a trial's folder: what the trial is, for whichever process runs it."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One mix at one budget with one seed, and what that buys.

    `kind_of` gives the label kind of each bought image by image id, `NO_LABEL` of those used
    without one; `actions` is how often annotators do each action for them; `study_folder` is the
    study's.
    """

    study: Study
    mix: str
    budget_hours: float
    seed: int
    kind_of: Mapping[int | str, str]
    spent_hours: float
    actions: Mapping[str, float]
    study_folder: Path

    @property
    def name(self) -> str:
        """Of the trial in its study, and of its folder."""
        return trial_name(self.mix, self.budget_hours, self.seed)

    @property
    def folder(self) -> Path:
        """Where the links of the trial write."""
        return self.study_folder / TRIALS_FOLDER / self.name

    @property
    def images(self) -> dict[str, int]:
        """How many images are bought, by label kind."""
        kinds = list(self.kind_of.values())
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}

    @property
    def made_with(self) -> tuple[str, str]:
        """The digest and the weights that a row of the trial has.

        Raises:
            AnnotationError: when a file that the study names cannot be read.
        """
        # A file of weights may have been replaced under its name.
        return self.study.digest(self.mix), describe_weights(self.study.recipe.backbone)

    @property
    def request(self) -> LabelRequest:
        """What the trial asks to be labelled."""
        study = self.study
        return LabelRequest(
            source=study.dataset.train_source,
            labels=self.kind_of,
            origin={"mix": self.mix, "budget_hours": self.budget_hours},
            recipe=decide_completeness(study.recipe, study.dataset.format),
            annotator=None if study.annotator is None else read_annotator(study.annotator),
            seed=self.seed,
            box_labels=self.study_folder / "box_labels",
            features=self.features,
        )

    @property
    def features(self) -> Path:
        """Where the trials of the study keep what a frozen backbone sees."""
        return self.study_folder / FEATURES_FOLDER

    @property
    def result_path(self) -> Path:
        """Where the trial's row goes."""
        return self.folder / RESULT_FILE

    @property
    def failure_path(self) -> Path:
        """Where it is said why the trial failed."""
        return self.folder / FAILURE_FILE

    @property
    def stored_path(self) -> Path:
        """Where the trial itself is kept until it is finished."""
        return self.folder / TRIAL_FILE


def run_trial(trial: Trial) -> TrialResult:
    """Run one trial, or the rest of it, and write its row.

    A trial that buys the same as a finished one, for another budget, is not trained again.

    Raises:
        DatasetError: when the dataset cannot be read, or the budget buys no image at all.
    """
    started = time.perf_counter()
    study, settings, folder = trial.study, trial.study.dataset, trial.folder
    if set(trial.kind_of.values()) <= {NO_LABEL}:
        raise DatasetError(
            f"{trial.budget_hours:g} h of {trial.mix} buy no image: raise the budget"
        )
    repeated = _repeat(trial)
    if repeated is not None:
        return _finish(trial, repeated)
    labels, run, predictions = (folder / link for link in LINKS)
    request = trial.request
    # On a CPU networks use the whole share of the processors themselves.
    pseudo_label(request, labels, workers=available_processors() if has_gpu() else 1)
    train(
        [labels],
        request.source,
        request.recipe,
        trial.seed,
        run,
        student=study.student,
        loaders=count_loaders(),
        features=trial.features,
    )
    scored = settings.val_source
    predict_images(run, scored, predictions)
    truth, categories = read_truth(scored), open_source(scored).categories
    found = score_prediction(predictions, truth, categories, THRESHOLDS[study.ap_thresholds])
    scores = found | score_trivial(predictions, truth, categories)
    keep_examples(scored, truth, predictions, trial.folder / EXAMPLES_FOLDER)
    settings_digest, weights = trial.made_with
    result = TrialResult(
        study=study.name,
        mix=trial.mix,
        budget_hours=trial.budget_hours,
        spent_hours=trial.spent_hours,
        images=trial.images,
        seed=trial.seed,
        **scores,
        seconds=time.perf_counter() - started,
        **_summarise_training(run),
        digest=settings_digest,
        code_version=version("annotools"),
        student=study.student,
        weights=weights,
        actions=trial.actions,
        times=study.times,
        test={} if settings.test_source is None else _score_test(trial, settings.test_source),
    )
    return _finish(trial, result)


def _finish(trial: Trial, result: TrialResult) -> TrialResult:
    # The row comes before the removal: a trial stopped in between is finished all the same.
    write_result(result, trial.result_path)
    remove_links(trial)
    return result


def _repeat(trial: Trial) -> TrialResult | None:
    """Return the row of a trial that bought the same for another budget, as this one's.

    Where a kind has run out of images larger budgets buy no more, and one seed then trains one
    model. There is none where links are kept, or no such trial is finished.
    """
    bought = trial.images, trial.spent_hours, trial.actions
    for hours in () if trial.study.keep_links else trial.study.budgets_hours:
        other = replace(trial, budget_hours=hours)
        row = read_row(other)
        if row is None or (row.digest, row.weights) != trial.made_with:
            continue
        # A larger budget keeps all that a smaller one bought: as many images are the same ones.
        if (row.images, row.spent_hours, row.actions) == bought:
            examples = other.folder / EXAMPLES_FOLDER
            if examples.is_dir():
                shutil.copytree(examples, trial.folder / EXAMPLES_FOLDER, dirs_exist_ok=True)
            return replace(row, budget_hours=trial.budget_hours)
    return None


def read_row(trial: Trial) -> TrialResult | None:
    """Return the row of a trial; None without one, and for a damaged one, or another trial's."""
    row = read_whole_result(trial.result_path)
    point = trial.mix, trial.budget_hours, trial.seed
    is_own = row is not None and (row.mix, row.budget_hours, row.seed) == point
    return row if is_own else None


def _score_test(trial: Trial, source: Source) -> dict[str, float | None]:
    """Return the scores on the test split, which no choice sees."""
    predictions = trial.folder / TEST_PREDICTIONS
    predict_images(trial.folder / LINKS[1], source, predictions)
    thresholds = THRESHOLDS[trial.study.ap_thresholds]
    categories = open_source(source).categories
    found = score_prediction(predictions, read_truth(source), categories, thresholds)
    return {name: score for name, score in found.items() if name != "class_pq"}


def _summarise_training(run: Path) -> dict[str, Any]:
    """Return what a row says of its training: steps by stage, and whether all had converged."""
    ends = {stage: end for stage, end in read_summary(run)["stages"].items() if end is not None}
    judged = [end["converged"] for end in ends.values() if end["converged"] is not None]
    return {
        "steps": {stage: end["steps"] for stage, end in ends.items()},
        "converged": all(judged) if judged else None,
    }


def remove_links(trial: Trial) -> None:
    """Remove what the links of a finished trial wrote, unless the study keeps it.

    Why it failed before goes as well.
    """
    # What cannot be removed must not fail a trial that has its row.
    for link in () if trial.study.keep_links else (*LINKS, TEST_PREDICTIONS):
        shutil.rmtree(trial.folder / link, ignore_errors=True)
    for name in (TRIAL_FILE, FAILURE_FILE, TRACEBACK_FILE):
        with contextlib.suppress(OSError):
            (trial.folder / name).unlink(missing_ok=True)


@lru_cache(maxsize=2)
def read_truth(source: Source) -> tuple[RunLabel, ...]:
    """Return the labels of the images that are scored, read once for all trials of a process."""
    dataset = open_source(source)
    return tuple(
        to_runs(dataset.read_label(image)) for image in dataset.images[: source.max_images]
    )
