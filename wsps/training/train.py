"""Train a panoptic model on a label set: a folder of labels in, a folder with a checkpoint out.

A run that was stopped goes on with the stage that it was in.

Paper: Li, Arnab, Torr 2018, sec. 3.4, 3.5 and B.1.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from annotools.errors import DatasetError
from annotools.files import digest, write_whole
from annotools.formats.coco_panoptic import category_entries, read_categories
from annotools.formats.json_values import read_json
from annotools.formats.source import Source, open_source
from annotools.settings import as_table, read_settings, without_nulls
from annotools.work_folder import MANIFEST_FILE, finish_folder, start_folder, write_manifest
from wsps.device import choose_device
from wsps.label_sets import LabelSet, hash_label_set, read_examples, read_label_set
from wsps.networks.model import PanopticModel, build_model
from wsps.recipe import Recipe, without_weights
from wsps.training.board import Board
from wsps.training.checkpoints import (
    NETWORK_FILE,
    StoredNetwork,
    load_weights,
    store_weights,
)
from wsps.training.loop import Course, Running
from wsps.training.stages import (
    end_to_end,
    train_detector,
    train_instance,
    train_semantic,
    view_batches,
)

WRITTEN_BY = "annotools train"

SEMANTIC_FILE, DETECTOR_FILE, INSTANCE_FILE = "semantic.pt", "detector.pt", "instance.pt"
"""Checkpoints, one a stage; the last has the semantic network as the whole model trained it."""

SEMANTIC_COURSE, DETECTOR_COURSE, INSTANCE_COURSE = "semantic.csv", "detector.csv", "instance.csv"
"""Learning rate and loss at each step of a stage; of the last one also the subnetwork's weights."""


def train(
    labels: Path,
    photos: Source,
    recipe: Recipe,
    seed: int,
    out: Path,
    *,
    loaders: int = 0,
    board: Board | None = None,
) -> None:
    """Train a model on the labels of a folder and write its checkpoints to another.

    Labels of a round go on with the semantic network of the round before, if their folder has it.

    Args:
        labels: a label set.
        photos: where the photos of its images are, by image id.
        recipe: how long and how to train.
        seed: of weights, order and augmentation.
        out: the folder to write to: new, empty, or of an earlier run with the same settings.
        loaders: processes that make batches; they change no result.
        board: shows the training; None for none.

    Raises:
        DatasetError: when a label or a photo cannot be read, there is no label at all, or the
            folder may not be written to.
        RecipeError: when the recipe's backbone does not exist, or training diverges.
        OSError: when a file cannot be written.
    """
    label_set = read_label_set(labels)
    if not label_set.labels.images:
        raise DatasetError(f"{labels}: nothing to train on: no image has a label")
    # Built before the folder is touched: a backbone that does not exist leaves nothing behind.
    model = build_model(recipe, label_set.categories, seed, choose_device())
    setup = name_run(labels, label_set, recipe, seed)
    files = [SEMANTIC_FILE, DETECTOR_FILE, INSTANCE_FILE]
    files += [SEMANTIC_COURSE, DETECTOR_COURSE, INSTANCE_COURSE]
    start_folder(out, WRITTEN_BY, setup, files)
    groups = read_examples(label_set, open_source(photos), recipe.images.max_side)
    key = digest(setup)

    def running(stored: StoredNetwork) -> Running:
        return Running(stored=stored, loaders=loaders, board=board)

    def semantic(stored: StoredNetwork) -> nn.Module:
        number, start = _round_of(labels)
        if start is not None:
            load_weights(start, model.semantic)
        course = train_semantic(model.semantic, groups, recipe, seed, number, running(stored))
        write_course(out / SEMANTIC_COURSE, course)
        return model.semantic

    def detector(stored: StoredNetwork) -> nn.Module:
        # Learning to detect from nothing takes many more steps than a small study has.
        model.detector.start_from(model.semantic.trunk.backbone)
        batches = view_batches(boxed, recipe, seed, "detector")
        write_course(out / DETECTOR_COURSE, train_detector(model, batches, running(stored)))
        return model.detector

    def instance(stored: StoredNetwork) -> nn.Module:
        batches = view_batches(boxed, recipe, seed, "instance")
        course = train_instance(model, batches, running(stored))
        names = [name for name, _ in model.instance.named_parameters()]
        write_course(out / INSTANCE_COURSE, course, names)
        return end_to_end(model)

    store_weights(out / SEMANTIC_FILE, key, semantic)
    # Loaded even where it was just trained, so that the next stage begins alike in a run that was
    # stopped and in one that was not.
    load_weights(out / SEMANTIC_FILE, model.semantic)
    boxed = [group for group in groups if group[0].has_boxes]
    if boxed:
        store_weights(out / DETECTOR_FILE, key, detector)
        load_weights(out / DETECTOR_FILE, model.detector)
        store_weights(out / INSTANCE_FILE, key, instance)
    finish_folder(out, WRITTEN_BY)
    # How the model predicts is no part of what it learnt: it may change without a new training.
    prediction = {"prediction": as_table(recipe.prediction)}
    write_manifest(out, WRITTEN_BY, ("annotools", "torch", "torchvision"), setup, prediction)


def load_model(run: Path) -> PanopticModel:
    """Return the trained model of a folder that `train` wrote, on `choose_device()`.

    Raises:
        DatasetError: when the folder has no finished model.
    """
    path = run / MANIFEST_FILE
    content = read_json(path, "*.json")
    if not isinstance(content, dict) or content.get("written_by") != WRITTEN_BY:
        raise DatasetError(f"{path}: not written by {WRITTEN_BY}: give the folder of a trained run")
    table = {**content["recipe"], "prediction": content["prediction"]}
    recipe = read_settings(Recipe, without_nulls(table), where=str(path))
    categories = read_categories(path, content)
    # Checkpoints have all weights; a part that had nothing to learn from is as the seed made it.
    model = build_model(without_weights(recipe), categories, content["seed"], choose_device())
    load_weights(run / SEMANTIC_FILE, model.semantic)
    if (run / INSTANCE_FILE).is_file():
        load_weights(run / DETECTOR_FILE, model.detector)
        load_weights(run / INSTANCE_FILE, end_to_end(model))
    return model


def name_run(labels: Path, label_set: LabelSet, recipe: Recipe, seed: int) -> dict[str, Any]:
    """Return all that the checkpoints of a run depend on, as JSON can hold it."""
    used = ("images", "views", "backbone", "descent", "semantic", "detector", "instance")
    return {
        "labels": hash_label_set(labels),
        "round": _round_of(labels)[0],
        "recipe": {name: as_table(getattr(recipe, name)) for name in used},
        "categories": category_entries(label_set.categories),
        "seed": seed,
        "version of annotools": version("annotools"),
    }


def _round_of(labels: Path) -> tuple[int, Path | None]:
    """Return the round of labels, from 0, and the network to go on with, None without one."""
    path = labels / MANIFEST_FILE
    content = read_json(path, "*.json") if path.is_file() else {}
    number = content.get("round", 0) if isinstance(content, dict) else 0
    # Labels of round 0 name the folder `rounds/-1`, which nobody writes.
    network = labels / "rounds" / str(number - 1) / NETWORK_FILE
    return number, network if network.is_file() else None


def write_course(path: Path, course: Course, names: Sequence[str] = ()) -> None:
    """Write a CSV with a row for each step; where values are watched the last has no step after it.

    Args:
        path: of the file.
        course: of a stage.
        names: of the values watched.

    Raises:
        OSError: when it cannot be written.
    """
    lines = [",".join(["step", "learning_rate", "loss", *names])]
    steps = [
        [f"{r:.6g}", f"{loss:.6g}"] for r, loss in zip(course.rates, course.losses, strict=True)
    ]
    rows = course.watched.tolist() or [[]] * len(steps)
    for step, (watched, told) in enumerate(zip(rows, [*steps, ["", ""]], strict=False)):
        lines.append(",".join([str(step), *told, *(f"{value:.6g}" for value in watched)]))
    write_whole(path, ("\n".join(lines) + "\n").encode())
