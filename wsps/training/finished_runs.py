"""Read a finished run again: its model, and what its manifest says of the training."""

from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.categories import CategorySet
from annotools.errors import AnnotationError, DatasetError, RecipeError
from annotools.files import digest
from annotools.formats.coco_panoptic import read_categories
from annotools.formats.json_values import read_json, take
from annotools.settings import read_settings, without_nulls
from annotools.work_folder import MANIFEST_FILE, is_unfinished
from wsps.device import choose_device
from wsps.networks.model import PanopticModel
from wsps.recipe import DEFAULT_STUDENT, Recipe, without_weights
from wsps.students import STUDENTS, find_student
from wsps.training.checkpoints import load_weights

WRITTEN_BY = "annotools train"

GIVEN = "detections"
"""What the manifest of a run has that was trained on given detections, and has no detector."""

SETUP_KEYS = (
    *("labels", "round", "recipe", "weights", "categories", "seed", "version of annotools"),
    *("version of training", "start", GIVEN, "student"),
)
"""What of a manifest names the training: its digest is the key of the checkpoints."""


def load_model(run: Path) -> PanopticModel:
    """Return the trained model of a folder that `train` wrote, on `choose_device()`.

    A model that was trained on given detections has no detector.

    Raises:
        DatasetError: when the folder has no finished model.
    """
    stored = _read_run(run)
    student = STUDENTS[stored.student]
    # Checkpoints have all weights; a part that had nothing to learn from is as the seed made it.
    model = student.build(
        without_weights(stored.recipe),
        stored.categories,
        stored.seed,
        choose_device(),
        has_detector=stored.has_detector,
    )
    trained = trained_stages(run, stored.student)
    for name in trained:
        network = student.stages[name].network(model)
        if network is not None:
            load_weights(run / f"{name}.pt", network, stored.key)
    return replace(model, has_learnt_boxes="detector" in trained)


def trained_stages(run: Path, student: str) -> list[str]:
    """Return the stages of a finished run: all of its student's, or those that need no boxes."""
    stages = STUDENTS[student].stages
    has_boxes = (run / f"{list(stages)[-1]}.pt").is_file()
    return [name for name, stage in stages.items() if has_boxes or not stage.needs_boxes]


def read_summary(run: Path) -> dict[str, Any]:
    """Return what the manifest of a finished run says of its training.

    Returns:
        `images` by label kind, `began` (the run that it started from, or None), and for each stage
        its number of `steps`, its last `loss`, its `steps_without_loss`, which had nothing to
        learn from, and whether it had `converged` (None where the recipe, or the number
        of views, fixes the steps), or None
        where there was nothing at all.
    """
    content = read_json(run / MANIFEST_FILE, "*.json")
    return {key: content[key] for key in ("images", "began", "stages")}


def digest_run(run: Path) -> str:
    """Return what names the training of a finished run, and so its weights."""
    return digest(read_json(run / MANIFEST_FILE, "*.json"))


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What the manifest of a finished run says; `key` is that of its checkpoints."""

    recipe: Recipe
    categories: CategorySet
    seed: int
    has_detector: bool
    student: str
    key: str


def _read_run(run: Path) -> _Run:
    """Return what the manifest of a finished run says.

    Raises:
        DatasetError: when the folder has no manifest of a run that this version can use.
    """
    path = run / MANIFEST_FILE
    if is_unfinished(run, WRITTEN_BY):
        raise DatasetError(
            f"{run}: its training is not finished: repeat the command that trains it"
        )
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
        student = content.get("student", DEFAULT_STUDENT)
        find_student(student, where=str(path))
        # A table that was changed by hand has another digest than the checkpoints.
        setup = {name: content[name] for name in SETUP_KEYS if name in content}
        return _Run(
            recipe=recipe,
            categories=categories,
            seed=seed,
            has_detector=GIVEN not in content,
            student=student,
            key=digest(setup),
        )
    except AnnotationError as error:
        raise DatasetError(
            f"{error} (trained by annotools {content.get('version of annotools')}, this is "
            f"{version('annotools')}): train the run again"
        ) from error
