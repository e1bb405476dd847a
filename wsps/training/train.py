"""Train a panoptic model on a label set: a folder of labels in, a folder with a checkpoint out.

A run that was stopped goes on with the stage that it was in.

Paper: Li, Arnab, Torr 2018, sec. 3.4, 3.5 and B.1.
"""

import shutil
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import nn

from annotools.errors import DatasetError, RecipeError
from annotools.files import digest
from annotools.formats.coco_panoptic import category_entries
from annotools.formats.json_values import read_json
from annotools.formats.source import Source, open_source
from annotools.settings import as_table
from annotools.terminal import tell
from annotools.work_folder import (
    MANIFEST_FILE,
    check_outside,
    filling,
    finish_folder,
    mark_done,
    read_done,
    write_manifest,
)
from wsps.detections import GivenDetections, hash_detections, read_detections
from wsps.device import choose_device
from wsps.label_sets import LabelSet, hash_label_set, read_label_sets
from wsps.labelled_photos import hash_photos, read_examples
from wsps.networks.batch_norm import share_statistics
from wsps.networks.model import PanopticModel
from wsps.networks.weights import describe_weights
from wsps.processes import is_main, join_processes, wait_for_all
from wsps.recipe import DEFAULT_STUDENT, Recipe
from wsps.students import STUDENTS, check_given, find_student
from wsps.training.board import Board
from wsps.training.checkpoints import (
    NETWORK_FILE,
    TRAINING_VERSION,
    StoredNetwork,
    features_folder,
    load_weights,
    store_weights,
)
from wsps.training.course import Course, write_course
from wsps.training.finished_runs import (
    GIVEN,
    SETUP_KEYS,
    WRITTEN_BY,
    digest_run,
    load_model,
    trained_stages,
)
from wsps.training.loop import Running
from wsps.training.stages import Lessons, Stage, lessons_of
from wsps.training.start import take_over

PHOTOS = "photos"
"""The name of the mark that tells which photos a run began with."""


def train(
    labels: Sequence[Path],
    photos: Source | Sequence[Path],
    recipe: Recipe,
    seed: int,
    out: Path,
    *,
    student: str = DEFAULT_STUDENT,
    start: Path | None = None,
    detections: Path | None = None,
    loaders: int = 0,
    board: Board | None = None,
    features: Path | None = None,
    overwrite: bool | None = None,
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
        student: the segmenter, a key of `STUDENTS`.
        start: a finished run whose networks are trained further, as `take_over` takes them.
        detections: a COCO results file with detections in the photos, as `read_detections` takes
            it: no detector is trained then, and whoever predicts gives detections too.
        loaders: processes that make batches; they change no result.
        board: shows the training; None for none.
        features: a folder that keeps what a frozen backbone sees, for other runs as well; None for
            one of its own, which goes when the run is finished.
        overwrite: remove what an earlier run wrote to the folder; None where nobody can ask for it.

    Raises:
        DatasetError: when a label, a photo or the run to start from cannot be read, there is no
            label at all, or the folder may not be written to.
        RecipeError: when there is no such student, when it takes no detections or the recipe wants
            masks with them, when the recipe's backbone does not exist, backbone or student are not
            those of the run to start from, or training diverges.
        OSError: when a file cannot be written.
    """
    pupil = find_student(student)
    if detections is not None:
        check_given(student, recipe.instance)
    join_processes()
    folders = () if isinstance(photos, Source) else photos
    check_outside("--out", out, [*labels, *folders, *([] if start is None else [start])])
    label_set = read_label_sets(labels, folders)
    if not label_set.labels.images:
        raise DatasetError(f"{labels[0]}: nothing to train on: no image has a label")
    # Built before the folder is touched: a backbone that does not exist leaves nothing behind.
    model = pupil.build(
        recipe, label_set.categories, seed, choose_device(), has_detector=detections is None
    )
    networks = (model.semantic, model.detector)
    share_statistics(*(network for network in networks if network is not None))
    photo_set = open_source(photos) if isinstance(photos, Source) else label_set.labels
    given = read_given(detections, label_set, recipe)
    groups = read_examples(label_set, photo_set, recipe.images, given)
    has_boxes = any(group[0].has_boxes for group in groups)
    began = None if start is None else _start_from(model, start, has_boxes)
    setup = name_run(labels, label_set, recipe, seed, start, detections, student)
    files = [f"{stage}.{suffix}" for stage in pupil.stages for suffix in ("pt", "csv")]
    # By table, so that the one that differs is named where the folder has another recipe.
    tables = {f"recipe.{name}": table for name, table in setup["recipe"].items()}
    noted = {**setup, "recipe": sorted(tables)} | tables
    filled = partial(filling, out, WRITTEN_BY, noted, files, overwrite=overwrite)
    with filled() if is_main() else nullcontext():
        wait_for_all()
        if is_main():
            root = photos.root if isinstance(photos, Source) else photos[0]
            seen = hash_photos(label_set, photo_set, root)
            _compare_photos(out, digest(setup), seen, pupil.stages, overwrite)
        number, network = _round_of(labels)
        lessons = Lessons(
            groups=groups,
            seed=seed,
            round_number=number,
            network=network if start is None else None,
            has_detector=began is not None and "detector" in began["taken"],
        )
        training = _Training(
            model=model,
            out=out,
            key=digest(setup),
            running=Running(
                loaders=loaders, board=board, features=features or features_folder(out)
            ),
        )
        _train_stages(training, lessons)
        if is_main():
            shutil.rmtree(features_folder(out), ignore_errors=True)
            # How the model predicts is no part of what it learnt: it may change afterwards.
            found = {
                "prediction": as_table(recipe.prediction),
                "images": label_set.images_by_kind,
                "began": began,
                "stages": {stage: read_done(out, stage, training.key) for stage in pupil.stages},
            }
            finish_folder(out, WRITTEN_BY)
            write_manifest(out, WRITTEN_BY, ("annotools", "torch", "torchvision"), setup, found)
    wait_for_all()


@dataclass(frozen=True, kw_only=True)
class _Training:
    """What the stages of a run share; `key` names the setup."""

    model: PanopticModel
    out: Path
    key: str
    running: Running


def _train_stages(training: _Training, lessons: Lessons) -> None:
    """Train what the folder does not have yet, one stage after the other."""
    model, key = training.model, training.key
    for name, stage in STUDENTS[model.student].stages.items():
        own = lessons_of(stage, model, lessons)
        if own is None:
            continue
        path = training.out / f"{name}.pt"
        is_noted = read_done(training.out, name, key) is not None
        train_it = partial(_train_stage, training, name, stage, own)
        store_weights(path, key, train_it, is_noted=is_noted)
        # Loaded even where it was just trained, so that the next stage begins alike in a run that
        # was stopped and in one that was not.
        load_weights(path, _network(stage, model), key)


def _train_stage(
    training: _Training, name: str, stage: Stage, lessons: Lessons, stored: StoredNetwork
) -> nn.Module:
    model = training.model
    running = replace(training.running, stored=stored)
    _note_course(training, name, stage.train(model, lessons, running))
    return _network(stage, model)


def _network(stage: Stage, model: PanopticModel) -> nn.Module:
    """Return what a stage that is trained changes, which the model therefore has."""
    network = stage.network(model)
    assert network is not None
    return network


def name_run(
    labels: Sequence[Path],
    label_set: LabelSet,
    recipe: Recipe,
    seed: int,
    start: Path | None = None,
    detections: Path | None = None,
    student: str = DEFAULT_STUDENT,
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
        "version of training": TRAINING_VERSION,
        "student": student,
    }
    if start is not None:
        named["start"] = digest_run(start)
    if detections is not None:
        named[GIVEN] = hash_detections(detections)
    assert set(named) <= set(SETUP_KEYS)
    return named


def _start_from(model: PanopticModel, start: Path, has_boxes: bool) -> dict[str, Any]:
    """Give a model the weights of a finished run; return what the manifest says of that.

    Networks that need boxes are taken where the labels have some, as no others are trained.
    """
    other = load_model(start)
    if other.student != model.student:
        raise RecipeError(
            f"{start}: is a run of the student {other.student!r}, and {model.student!r} is to be "
            f"trained: start from a run of it, or train with --student {other.student}"
        )
    stages = STUDENTS[model.student].stages
    networks = [
        name
        for name in trained_stages(start, other.student)
        if (has_boxes or not stages[name].needs_boxes)
        and (name != "detector" or (model.detector is not None and other.detector is not None))
    ]
    taken = take_over(model, other, networks, start)
    return {"run": str(start), "manifest": digest_run(start), "taken": taken}


def _compare_photos(
    out: Path, key: str, seen: dict[str, Any], stages: Iterable[str], overwrite: bool | None
) -> None:
    """Make sure that a run goes on with the photos that it began with; of a finished one tell.

    Where nobody can ask for `overwrite`, as in a study's trial whose photo was restored, it begins
    anew.
    """
    before = read_done(out, PHOTOS, key)
    if before == seen:
        return
    if before is not None:
        if (out / MANIFEST_FILE).is_file():
            tell(f"{out}: was trained on other photos: with --overwrite it is trained anew")
            return
        if overwrite is not None:
            raise DatasetError(
                f"{out}: began with other photos: repeat it with those to go on, or give another "
                "folder, or --overwrite"
            )
        for stage in stages:
            (out / f"{stage}.pt").unlink(missing_ok=True)
    mark_done(out, PHOTOS, key, seen)


def read_given(path: Path | None, label_set: LabelSet, recipe: Recipe) -> GivenDetections | None:
    """Return the detections of a file in the labelled images, None without a file."""
    if path is None:
        return None
    images, categories = label_set.labels.images, label_set.categories
    return read_detections(path, images, categories, recipe.instance.score_threshold)


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
    mark_done(training.out, stage, training.key, end, [f"{stage}.csv"])


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
    # Labels of the last round lie above those before. Round 0 names a folder `-1`, which nobody
    # writes.
    rounds = folder.parent if folder.parent.name == "rounds" else folder / "rounds"
    network = rounds / str(number - 1) / NETWORK_FILE
    return number, network if network.is_file() else None
