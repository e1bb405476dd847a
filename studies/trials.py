"""One point of a study as a chain of folders: pseudo-label, train, predict, evaluate.

Each link is what its command does, and a trial that was stopped goes on at the link where it was.
All trials of a study share the masks made from boxes, which depend on photo and boxes alone.
"""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.errors import DatasetError
from annotools.formats.source import Source, open_source
from annotools.parallel import available_processors
from annotools.records import NO_LABEL
from annotools.weak_labels.annotators import read_annotator
from studies.folder import FEATURES_FOLDER
from studies.results import TrialResult, write_result
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
from wsps.training.train import read_summary, train

LINKS = ("labels", "run", "predictions")
"""The folder that each link but the last writes."""

TEST_PREDICTIONS = "test_predictions"
"""The folder of those on the test split, where there is one."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One mix at one budget with one seed, and what that buys.

    `kind_of` gives the label kind of each bought image by image id, `NO_LABEL` of those used
    without one; `study_folder` is the study's.
    """

    study: Study
    mix: str
    budget_hours: float
    seed: int
    kind_of: Mapping[int | str, str]
    spent_hours: float
    study_folder: Path

    @property
    def folder(self) -> Path:
        """Where the links of the trial write."""
        name = f"{self.mix}_{self.budget_hours:g}h_seed{self.seed}"
        return self.study_folder / "trials" / name

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
        return self.folder / "result.json"


def run_trial(trial: Trial) -> TrialResult:
    """Run one trial, or the rest of it, and write its row.

    Raises:
        DatasetError: when the dataset cannot be read, or the budget buys no image at all.
    """
    started = time.perf_counter()
    study, settings, folder = trial.study, trial.study.dataset, trial.folder
    if set(trial.kind_of.values()) <= {NO_LABEL}:
        raise DatasetError(
            f"{trial.budget_hours:g} h of {trial.mix} buy no image: raise the budget"
        )
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
    scores: dict[str, Any] = found | score_trivial(labels, predictions, truth, categories)
    test = {}
    if settings.test_source is not None:
        predict_images(run, settings.test_source, folder / TEST_PREDICTIONS)
        truth = read_truth(settings.test_source)
        test = score_prediction(
            folder / TEST_PREDICTIONS, truth, categories, THRESHOLDS[study.ap_thresholds]
        )
    kinds = list(trial.kind_of.values())
    result = TrialResult(
        study=study.name,
        mix=trial.mix,
        budget_hours=trial.budget_hours,
        spent_hours=trial.spent_hours,
        images={kind: kinds.count(kind) for kind in sorted(set(kinds))},
        seed=trial.seed,
        **scores,
        seconds=time.perf_counter() - started,
        **_summarise_training(run),
        digest=study.digest(trial.mix),
        code_version=version("annotools"),
        student=study.student,
        weights=describe_weights(study.recipe.backbone),
        test=test,
    )
    # The row comes before the removal: a trial stopped in between is finished all the same.
    write_result(result, trial.result_path)
    remove_links(trial)
    return result


def _summarise_training(run: Path) -> dict[str, Any]:
    """Return what a row says of its training: steps by stage, and whether all had converged."""
    ends = {stage: end for stage, end in read_summary(run)["stages"].items() if end is not None}
    judged = [end["converged"] for end in ends.values() if end["converged"] is not None]
    return {
        "steps": {stage: end["steps"] for stage, end in ends.items()},
        "converged": all(judged) if judged else None,
    }


def remove_links(trial: Trial) -> None:
    """Remove what the links of a finished trial wrote, unless the study keeps it."""
    # What cannot be removed must not fail a trial that has its row.
    for link in () if trial.study.keep_links else (*LINKS, TEST_PREDICTIONS):
        shutil.rmtree(trial.folder / link, ignore_errors=True)


@lru_cache(maxsize=2)
def read_truth(source: Source) -> tuple[RunLabel, ...]:
    """Return the labels of the images that are scored, read once for all trials of a process."""
    dataset = open_source(source)
    return tuple(
        to_runs(dataset.read_label(image)) for image in dataset.images[: source.max_images]
    )
