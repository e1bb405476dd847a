"""One point of a study: buy labels, make pseudo-labels, train, evaluate.

A trial is told everything it needs and leaves one row; all trials of a study share the masks made
from boxes, because these depend on the photo and its boxes alone.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from annotools.annotators import Annotator, annotate_weak, read_annotator
from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats import read_dataset
from annotools.hurried_outlines import annotate_full
from annotools.label_maps import class_map
from annotools.records import NO_LABEL, Dataset, Image, WeakLabel
from annotools.weak_labels.weaken import weaken
from studies.results import TrialResult, write_result
from studies.study import Study
from wsps.data import Examples, TrainingExample, reduce_example
from wsps.evaluation.average_precision import (
    CITYSCAPES_THRESHOLDS,
    VOC_THRESHOLDS,
    average_precision,
    score_image,
)
from wsps.evaluation.mean_iou import PixelCounts, count_pixels, mean_iou
from wsps.evaluation.panoptic_quality import PanopticCounts, count_image, panoptic_quality
from wsps.examples import example_from_full, example_from_weak
from wsps.inference import predict
from wsps.networks.classifier import CropClassifier
from wsps.networks.model import PanopticModel
from wsps.pseudo_labels.boxes import label_from_boxes
from wsps.pseudo_labels.merge import merge_with_boxes
from wsps.pseudo_labels.records import PseudoLabel
from wsps.pseudo_labels.tags import TaggedPhoto, label_from_tags, train_classifier
from wsps.training import train_model

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
    groups = make_examples(trial, train, device)
    model = train_model(groups, train.categories, study.recipe, trial.seed, device)
    scores = evaluate(model, val, val.images[: settings.max_val_images], study.ap_thresholds)
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


def make_examples(trial: Trial, train: Dataset, device: torch.device) -> list[Examples]:
    """Return the examples of the images with a label, one group a label kind.

    The labels are those that the study's annotator gives, with the mistakes of the trial's seed.
    """
    recipe, path = trial.study.recipe, trial.study.annotator
    annotator = Annotator() if path is None else read_annotator(path)
    labelled = {image_id for image_id, kind in trial.kind_of.items() if kind != NO_LABEL}
    bought = [image for image in train.images if image.image_id in labelled]
    kind_of = {image.image_id: trial.kind_of[image.image_id] for image in bought}
    weak_of = {
        image.image_id: annotate_weak(
            weaken(
                train.read_label(image),
                train.categories,
                kind_of[image.image_id],
                recipe.tags.crop_size_wh,
            ),
            train.categories,
            annotator,
            (image.width, image.height),
            trial.seed,
        )
        for image in bought
        if kind_of[image.image_id] != "full"
    }
    tagged = [image for image in bought if (w := weak_of.get(image.image_id)) and w.crops]
    classifier = None
    if tagged:
        photos = [
            TaggedPhoto(photo=train.read_photo(image), weak=weak_of[image.image_id])
            for image in tagged
        ]
        classifier = train_classifier(photos, train.categories, recipe, trial.seed, device)
    groups = []
    for kind in sorted(set(kind_of.values())):
        images = [image for image in bought if kind_of[image.image_id] == kind]
        makers = [
            partial(_full_example, train, image, recipe.max_side, annotator, trial.seed)
            if kind == "full"
            else partial(
                _weak_example, trial, train, image, weak_of[image.image_id], classifier, device
            )
            for image in images
        ]
        groups.append(Examples(makers))
    return groups


def evaluate(
    model: PanopticModel, dataset: Dataset, images: Sequence[Image], ap_thresholds: str
) -> dict[str, float | None]:
    """Return the scores of a model on some images of a dataset, by the names of `TrialResult`."""
    categories = model.categories
    counts = PanopticCounts.zero(len(categories))
    pixels = PixelCounts.zero(len(categories))
    semantic_pixels = PixelCounts.zero(len(categories))
    scored = []
    for image in images:
        truth = dataset.read_label(image)
        prediction = predict(model, dataset.read_photo(image), image.image_id)
        counts += count_image(truth, prediction.label, categories)
        scored.append(score_image(truth, prediction.label, prediction.scores, categories))
        true_classes = class_map(truth, categories)
        pixels += count_pixels(
            true_classes, class_map(prediction.label, categories), len(categories), image.image_id
        )
        semantic_pixels += count_pixels(
            true_classes, prediction.semantic_classes, len(categories), image.image_id
        )
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


def _full_example(
    dataset: Dataset, image: Image, max_side: int | None, annotator: Annotator, seed: int
) -> TrainingExample:
    label = annotate_full(dataset.read_label(image), dataset.categories, annotator, seed)
    example = example_from_full(dataset.read_photo(image), label, dataset.categories)
    return reduce_example(example, max_side)


def _weak_example(
    trial: Trial,
    dataset: Dataset,
    image: Image,
    weak: WeakLabel,
    classifier: CropClassifier | None,
    device: torch.device,
) -> TrainingExample:
    recipe, categories = trial.study.recipe, dataset.categories
    photo = dataset.read_photo(image)
    from_tags = (
        label_from_tags(
            classifier,
            TaggedPhoto(photo=photo, weak=weak),
            categories,
            recipe.tags.cam_threshold,
            device,
        )
        if classifier is not None and weak.crops
        else None
    )
    pseudo = _pseudo_label(trial, photo, image, weak, from_tags, categories)
    example = example_from_weak(photo, pseudo, weak, categories)
    return reduce_example(example, recipe.max_side)


def _pseudo_label(
    trial: Trial,
    photo: NDArray[np.uint8],
    image: Image,
    weak: WeakLabel,
    from_tags: NDArray[np.uint8] | None,
    categories: CategorySet,
) -> PseudoLabel:
    if not weak.has_boxes:
        assert from_tags is not None
        return PseudoLabel(classes=from_tags, instances=np.zeros(from_tags.shape, dtype=np.int32))
    path = trial.folder / "box_labels" / f"{_box_label_key(trial, image, weak)}.npz"
    from_boxes = _load_label(path)
    if from_boxes is None:
        from_boxes = label_from_boxes(photo, weak.boxes, categories)
        _save_label(from_boxes, path)
    if from_tags is None:
        return from_boxes
    return replace(from_boxes, classes=merge_with_boxes(from_tags, from_boxes.classes, categories))


def _box_label_key(trial: Trial, image: Image, weak: WeakLabel) -> str:
    """Name what a label from boxes depends on: the photo and its boxes."""
    dataset = trial.study.dataset
    source = [dataset.format, str(dataset.root), dataset.train_split, image.image_id]
    key = json.dumps([source, [asdict(box) for box in weak.boxes]])
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def _load_label(path: Path) -> PseudoLabel | None:
    if not path.is_file():
        return None
    with np.load(path) as arrays:
        return PseudoLabel(classes=arrays["classes"], instances=arrays["instances"])


def _save_label(label: PseudoLabel, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_name(f".{os.getpid()}.{path.name}")
    np.savez_compressed(partial_path, classes=label.classes, instances=label.instances)
    partial_path.replace(path)
