"""Train a panoptic model on a label set: a folder of labels in, a folder with a checkpoint out.

A run that was stopped goes on with the stage that it was in.

Paper: Li, Arnab, Torr 2018, sec. 3.4, 3.5 and B.1.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from annotools.categories import CategorySet
from annotools.errors import AnnotationError, DatasetError, RecipeError
from annotools.files import digest
from annotools.formats.coco_panoptic import category_entries, read_categories
from annotools.formats.json_values import read_json, take
from annotools.formats.source import Source, open_source
from annotools.settings import as_table, read_settings, without_nulls
from annotools.work_folder import (
    MANIFEST_FILE,
    STATE_FOLDER,
    check_outside,
    finish_folder,
    mark_done,
    read_done,
    start_folder,
    write_manifest,
)
from wsps.data import Examples
from wsps.detections import GivenDetections, hash_detections, read_detections
from wsps.device import choose_device
from wsps.label_sets import LabelSet, hash_label_set, read_examples, read_label_sets
from wsps.networks.batch_norm import share_statistics
from wsps.networks.model import PanopticModel, build_model
from wsps.networks.weights import describe_weights
from wsps.processes import is_main, join_processes, wait_for_all
from wsps.recipe import Recipe, without_weights
from wsps.training.batches import Groups
from wsps.training.board import Board
from wsps.training.checkpoints import (
    FEATURES_FOLDER,
    NETWORK_FILE,
    StoredNetwork,
    load_weights,
    store_weights,
)
from wsps.training.course import Course, write_course
from wsps.training.loop import Running
from wsps.training.stages import (
    end_to_end,
    train_detector,
    train_instance,
    train_semantic,
    view_batches,
)
from wsps.training.start import take_over

WRITTEN_BY = "annotools train"

STAGES = ("semantic", "detector", "instance")

GIVEN = "detections"
"""What the manifest of a run has that was trained on given detections, and has no detector."""

SETUP_KEYS = (
    *("labels", "round", "recipe", "weights", "categories", "seed", "version of annotools"),
    *("start", GIVEN),
)
"""What of a manifest names the training: its digest is the key of the checkpoints."""

SEMANTIC_FILE, DETECTOR_FILE, INSTANCE_FILE = "semantic.pt", "detector.pt", "instance.pt"
"""Checkpoints, one a stage; the last has the semantic network as the whole model trained it."""


def train(
    labels: Sequence[Path],
    photos: Source | Sequence[Path],
    recipe: Recipe,
    seed: int,
    out: Path,
    *,
    start: Path | None = None,
    detections: Path | None = None,
    loaders: int = 0,
    board: Board | None = None,
    features: Path | None = None,
) -> None:
    """Train a model on the labels of folders and write its checkpoints to another.

    Labels of a round go on with the semantic network of the round before, if their folder has it
    and no run is given to start from.

    Args:
        labels: label sets of the same categories, as `read_label_sets` joins them.
        photos: a source that has the photos of their images by image id, or folders that have them
            by file name, as `read_label_sets` takes them.
        recipe: how long and how to train.
        seed: of weights, order and augmentation.
        out: the folder to write to: new, empty, or of an earlier run with the same settings.
        start: a finished run whose networks are trained further, as `take_over` takes them.
        detections: a COCO results file with detections in the photos, as `read_detections` takes
            it: no detector is trained then, and whoever predicts gives detections too.
        loaders: processes that make batches; they change no result.
        board: shows the training; None for none.
        features: a folder that keeps what a frozen backbone sees, for other runs as well; None for
            one of its own, which goes when the run is finished.

    Raises:
        DatasetError: when a label, a photo or the run to start from cannot be read, there is no
            label at all, or the folder may not be written to.
        RecipeError: when the recipe's backbone does not exist or is not that of the run to start
            from, or training diverges.
        OSError: when a file cannot be written.
    """
    join_processes()
    folders = () if isinstance(photos, Source) else photos
    check_outside("--out", out, [*labels, *folders, *([] if start is None else [start])])
    label_set = read_label_sets(labels, folders)
    if not label_set.labels.images:
        raise DatasetError(f"{labels[0]}: nothing to train on: no image has a label")
    # Built before the folder is touched: a backbone that does not exist leaves nothing behind.
    model = build_model(
        recipe, label_set.categories, seed, choose_device(), has_detector=detections is None
    )
    networks = (model.semantic, model.detector)
    share_statistics(*(network for network in networks if network is not None))
    setup = name_run(labels, label_set, recipe, seed, start, detections)
    began = None if start is None else _start_from(model, start)
    photo_set = open_source(photos) if isinstance(photos, Source) else label_set.labels
    given = _read_detections(detections, label_set, recipe)
    groups = read_examples(label_set, photo_set, recipe.images.max_side, given)
    files = [f"{stage}.{suffix}" for stage in STAGES for suffix in ("pt", "csv")]
    if is_main():
        # By table, so that the one that differs is named where the folder has another recipe.
        tables = {f"recipe.{name}": table for name, table in setup["recipe"].items()}
        start_folder(out, WRITTEN_BY, {**setup, "recipe": sorted(tables)} | tables, files)
    wait_for_all()
    number, network = _round_of(labels)
    training = _Training(
        model=model,
        groups=groups,
        seed=seed,
        out=out,
        key=digest(setup),
        round_number=number,
        network=network if start is None else None,
        has_detector=began is not None and "detector" in began["taken"],
        loaders=loaders,
        board=board,
        features=out / STATE_FOLDER / FEATURES_FOLDER if features is None else features,
    )
    _train_stages(training)
    if is_main():
        shutil.rmtree(out / STATE_FOLDER / FEATURES_FOLDER, ignore_errors=True)
        # How the model predicts is no part of what it learnt: it may change without a new training.
        found = {
            "prediction": as_table(recipe.prediction),
            "images": label_set.images_by_kind,
            "began": began,
            "stages": {stage: read_done(out, stage, training.key) for stage in STAGES},
        }
        finish_folder(out, WRITTEN_BY)
        write_manifest(out, WRITTEN_BY, ("annotools", "torch", "torchvision"), setup, found)
    wait_for_all()


@dataclass(frozen=True, kw_only=True)
class _Training:
    """What the stages of a run share.

    `network` is the file of the semantic network that the labels' round goes on with, None for
    none; `has_detector` says that the detector goes on from another run. `key` names the setup.
    """

    model: PanopticModel
    groups: Sequence[Examples]
    seed: int
    out: Path
    key: str
    round_number: int
    network: Path | None
    has_detector: bool
    loaders: int
    board: Board | None
    features: Path

    def running(self, stored: StoredNetwork) -> Running:
        """Return how a stage with this file runs."""
        return Running(
            stored=stored, loaders=self.loaders, board=self.board, features=self.features
        )


def _train_stages(training: _Training) -> None:
    """Train what the folder does not have yet, one stage after the other."""
    model, out, key = training.model, training.out, training.key
    store_weights(out / SEMANTIC_FILE, key, partial(_train_semantic, training))
    # Loaded even where it was just trained, so that the next stage begins alike in a run that was
    # stopped and in one that was not.
    load_weights(out / SEMANTIC_FILE, model.semantic, key)
    boxed = [group for group in training.groups if group[0].has_boxes]
    if boxed:
        if model.detector is not None:
            store_weights(out / DETECTOR_FILE, key, partial(_train_detector, training, boxed))
            load_weights(out / DETECTOR_FILE, model.detector, key)
        store_weights(out / INSTANCE_FILE, key, partial(_train_instance, training, boxed))


def _train_semantic(training: _Training, stored: StoredNetwork) -> nn.Module:
    model, number = training.model, training.round_number
    if training.network is not None:
        load_weights(training.network, model.semantic, key=None)
    course = train_semantic(
        model.semantic,
        training.groups,
        model.recipe,
        training.seed,
        number,
        training.running(stored),
    )
    _note_course(training, "semantic", course)
    return model.semantic


def _train_detector(training: _Training, boxed: Groups, stored: StoredNetwork) -> nn.Module:
    model = training.model
    assert model.detector is not None
    # Learning to detect from nothing takes many more steps than a small study has.
    if not training.has_detector:
        model.detector.start_from(model.semantic.trunk.backbone)
    batches = view_batches(boxed, model.recipe, training.seed, "detector")
    _note_course(training, "detector", train_detector(model, batches, training.running(stored)))
    return model.detector


def _train_instance(training: _Training, boxed: Groups, stored: StoredNetwork) -> nn.Module:
    model = training.model
    batches = view_batches(boxed, model.recipe, training.seed, "instance")
    course = train_instance(model, batches, training.running(stored))
    _note_course(training, "instance", course)
    return end_to_end(model)


def load_model(run: Path) -> PanopticModel:
    """Return the trained model of a folder that `train` wrote, on `choose_device()`.

    A model that was trained on given detections has no detector.

    Raises:
        DatasetError: when the folder has no finished model.
    """
    stored = _read_run(run)
    # Checkpoints have all weights; a part that had nothing to learn from is as the seed made it.
    model = build_model(
        without_weights(stored.recipe),
        stored.categories,
        stored.seed,
        choose_device(),
        has_detector=stored.has_detector,
    )
    load_weights(run / SEMANTIC_FILE, model.semantic, stored.key)
    if (run / INSTANCE_FILE).is_file():
        if model.detector is not None:
            load_weights(run / DETECTOR_FILE, model.detector, stored.key)
        load_weights(run / INSTANCE_FILE, end_to_end(model), stored.key)
    return model


def read_summary(run: Path) -> dict[str, Any]:
    """Return what the manifest of a finished run says of its training.

    Returns:
        `images` by label kind, `began` (the run that it started from, or None), and for each stage
        its number of `steps`, its last `loss`, its `steps_without_loss`, which had nothing to
        learn from, and whether it had `converged` (None where the recipe fixes the steps), or None
        where there was nothing at all.
    """
    content = read_json(run / MANIFEST_FILE, "*.json")
    return {key: content[key] for key in ("images", "began", "stages")}


def name_run(
    labels: Sequence[Path],
    label_set: LabelSet,
    recipe: Recipe,
    seed: int,
    start: Path | None = None,
    detections: Path | None = None,
) -> dict[str, Any]:
    """Return all that the checkpoints of a run depend on, as JSON can hold it."""
    used = ("images", "views", "backbone", "descent", "semantic", "detector", "instance")
    named = {
        "labels": [hash_label_set(folder) for folder in labels],
        "round": _round_of(labels)[0],
        "recipe": {name: as_table(getattr(recipe, name)) for name in used},
        "weights": describe_weights(recipe.backbone),
        "categories": category_entries(label_set.categories),
        "seed": seed,
        "version of annotools": version("annotools"),
    }
    if start is not None:
        # The manifest of a run names its training, and so its weights.
        named["start"] = _digest_run(start)
    if detections is not None:
        named[GIVEN] = hash_detections(detections)
    assert set(named) <= set(SETUP_KEYS)
    return named


def _digest_run(run: Path) -> str:
    return digest(read_json(run / MANIFEST_FILE, "*.json"))


def _start_from(model: PanopticModel, start: Path) -> dict[str, Any]:
    """Give a model the weights of a finished run; return what the manifest says of that."""
    other = load_model(start)
    networks = ["semantic"]
    if (start / INSTANCE_FILE).is_file():
        are_there = model.detector is not None and other.detector is not None
        networks += ["detector", "instance"] if are_there else ["instance"]
    taken = take_over(model, other, networks, start)
    return {"run": str(start), "manifest": _digest_run(start), "taken": taken}


def _read_detections(
    path: Path | None, label_set: LabelSet, recipe: Recipe
) -> GivenDetections | None:
    """Return the detections of a file in the labelled images, None without a file."""
    if path is None:
        return None
    images, categories = label_set.labels.images, label_set.categories
    return read_detections(path, images, categories, recipe.instance.score_threshold)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What the manifest of a finished run says; `key` is that of its checkpoints."""

    recipe: Recipe
    categories: CategorySet
    seed: int
    has_detector: bool
    key: str


def _read_run(run: Path) -> _Run:
    """Return what the manifest of a finished run says.

    Raises:
        DatasetError: when the folder has no manifest of a run that this version can use.
    """
    path = run / MANIFEST_FILE
    content = read_json(path, "*.json")
    if not isinstance(content, dict) or content.get("written_by") != WRITTEN_BY:
        raise DatasetError(f"{path}: not written by {WRITTEN_BY}: give the folder of a trained run")
    try:
        seed = take(str(path), content, "seed", int)
        if seed < 0:
            raise RecipeError(f"{path}: seed {seed} is negative")
        categories = read_categories(path, content)
        tables = [content.get(key) for key in ("recipe", "prediction")]
        if not all(isinstance(table, dict) for table in tables):
            raise RecipeError(f"{path}: recipe or prediction is missing or no table")
        table = {**content["recipe"], "prediction": content["prediction"]}
        recipe = read_settings(Recipe, without_nulls(table), where=str(path))
        # A table that was changed by hand has another digest than the checkpoints.
        setup = {name: content[name] for name in SETUP_KEYS if name in content}
        return _Run(
            recipe=recipe,
            categories=categories,
            seed=seed,
            has_detector=GIVEN not in content,
            key=digest(setup),
        )
    except AnnotationError as error:
        raise DatasetError(
            f"{error} (trained by annotools {content.get('version of annotools')}, this is "
            f"{version('annotools')}): train the run again"
        ) from error


def _note_course(training: _Training, stage: str, course: Course) -> None:
    """Write how a stage went, and remember how it ended for the manifest of a run stopped later."""
    if not is_main():
        return
    write_course(training.out / f"{stage}.csv", course)
    losses = course.losses
    end = {
        "steps": len(losses),
        "loss": losses[-1] if losses else None,
        # A loss is exactly 0 where there was nothing to learn from.
        "steps_without_loss": sum(loss == 0 for loss in losses),
        "converged": course.converged,
    }
    mark_done(training.out, stage, training.key, end)


def _round_of(labels: Sequence[Path]) -> tuple[int, Path | None]:
    """Return the round of labels, from 0, and the network to go on with, None without one.

    Of several label sets the latest round counts, and the network of the first that has it.
    """
    rounds = [_round_of_one(one if one.is_dir() else one.parent) for one in labels]
    return max(rounds, key=lambda found: (found[0], found[1] is not None))


def _round_of_one(folder: Path) -> tuple[int, Path | None]:
    path = folder / MANIFEST_FILE
    content = read_json(path, "*.json") if path.is_file() else None
    number = content.get("round", 0) if isinstance(content, dict) else 0
    # Labels of round 0 name the folder `rounds/-1`, which nobody writes.
    network = folder / "rounds" / str(number - 1) / NETWORK_FILE
    return number, network if network.is_file() else None
