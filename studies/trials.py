"""One point of a study: buy labels, make pseudo-labels, train, evaluate.

A trial is told everything it needs and leaves one row; all trials of a study share the masks made
from boxes, because these depend on the photo and its boxes alone.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from annotools.errors import DatasetError
from annotools.formats import read_dataset
from annotools.records import NO_LABEL, Dataset
from annotools.weak_labels.annotators import Annotator, read_annotator
from studies.purchases import Purchase, buy_labels, first_examples, relabelled_examples
from studies.results import TrialResult, write_result
from studies.study import DatasetSettings, Study
from wsps.evaluation.average_precision import (
    CITYSCAPES_THRESHOLDS,
    VOC_THRESHOLDS,
    average_precision,
)
from wsps.evaluation.image_scores import count_class_map, score_label
from wsps.evaluation.mean_iou import PixelCounts, mean_iou
from wsps.evaluation.overlaps import RunLabel, to_runs
from wsps.evaluation.panoptic_quality import PanopticCounts, panoptic_quality
from wsps.inference import predict
from wsps.networks.model import PanopticModel
from wsps.pseudo_labels.label_store import BoxLabelStore
from wsps.recipe import decide_completeness
from wsps.training.stages import train_model

AP_THRESHOLDS = {"voc": VOC_THRESHOLDS, "cityscapes": CITYSCAPES_THRESHOLDS}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One mix at one budget with one seed, and what that buys.

    `kind_of` gives the label kind of each bought image by image id, `NO_LABEL` of those used
    without one; `folder` is the study's.
    """

    study: Study
    mix: str
    budget_hours: float
    seed: int
    kind_of: Mapping[int | str, str]
    spent_hours: float
    folder: Path

    @property
    def result_path(self) -> Path:
        """Where the trial's row goes."""
        return self.folder / "trials" / f"{self.mix}_{self.budget_hours:g}h_seed{self.seed}.json"


def run_trial(trial: Trial) -> TrialResult:
    """Run one trial and write its row.

    Raises:
        DatasetError: when the dataset cannot be read, or the budget buys no image at all.
    """
    started = time.perf_counter()
    study, settings = trial.study, trial.study.dataset
    if set(trial.kind_of.values()) <= {NO_LABEL}:
        raise DatasetError(
            f"{trial.budget_hours:g} h of {trial.mix} buy no image: raise the budget"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    train = read_dataset(settings.format, settings.root, settings.train_split)
    val = read_dataset(settings.format, settings.root, settings.val_split)
    bought = _buy(trial, train)
    first = first_examples(bought, device)
    model = train_model(
        list(first.values()),
        train.categories,
        study.recipe,
        trial.seed,
        device,
        relabel=partial(relabelled_examples, bought, first),
    )
    scores = evaluate(model, val, read_truth(settings), study.ap_thresholds)
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
        digest=study.digest(trial.mix),
        code_version=version("annotools"),
    )
    write_result(result, trial.result_path)
    return result


@lru_cache(maxsize=1)
def read_truth(settings: DatasetSettings) -> tuple[RunLabel, ...]:
    """Return the labels of the images that are scored, read once for all trials of a process."""
    val = read_dataset(settings.format, settings.root, settings.val_split)
    return tuple(to_runs(val.read_label(image)) for image in val.images[: settings.max_val_images])


def _buy(trial: Trial, train: Dataset) -> Purchase:
    study, settings = trial.study, trial.study.dataset
    store = BoxLabelStore(
        folder=trial.folder / "box_labels",
        source=(settings.format, settings.root, settings.train_split),
        method=study.recipe.box_method,
    )
    annotator = Annotator() if study.annotator is None else read_annotator(study.annotator)
    recipe = decide_completeness(study.recipe, settings.format)
    return buy_labels(train, trial.kind_of, annotator, store, recipe, trial.seed)


def evaluate(
    model: PanopticModel, dataset: Dataset, truth: Sequence[RunLabel], ap_thresholds: str
) -> dict[str, float | None]:
    """Return the scores of a model, by the names of `TrialResult`.

    Args:
        model: trained.
        dataset: whose first images are scored.
        truth: their labels, in their order.
        ap_thresholds: a key of `AP_THRESHOLDS`.
    """
    categories = model.categories
    counts = PanopticCounts.zero(len(categories))
    pixels = PixelCounts.zero(len(categories))
    semantic_pixels = PixelCounts.zero(len(categories))
    scored = []
    for image, label in zip(dataset.images, truth, strict=False):
        prediction = predict(model, dataset.read_photo(image), image.image_id)
        found = score_label(label, prediction.label, prediction.scores, categories)
        assert found.counts is not None
        assert found.pixels is not None
        assert found.scored is not None
        counts += found.counts
        pixels += found.pixels
        scored.append(found.scored)
        semantic_pixels += count_class_map(label, prediction.semantic_classes, categories)
    quality = panoptic_quality(counts, categories)
    precision = average_precision(scored, categories, AP_THRESHOLDS[ap_thresholds])
    scores = {
        "ap_vol": precision.all.volume,
        "miou": mean_iou(pixels).mean,
        "miou_semantic": mean_iou(semantic_pixels).mean,
    }
    parts = (("", quality.all), ("_things", quality.things), ("_stuff", quality.stuff))
    for suffix, mean in parts:
        scores |= {f"pq{suffix}": mean.pq, f"sq{suffix}": mean.sq, f"dq{suffix}": mean.dq}
    return {name: None if np.isnan(value) else float(value) for name, value in scores.items()}
