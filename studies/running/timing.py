"""What a study's trials take, measured on this machine: a few labels, steps and predictions.

It is all done in a temporary folder. What it gives is on the high side: stages may end early, and
a trial without boxes has fewer.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from annotools.formats.source import open_source
from annotools.parallel import share_of
from annotools.records import NO_LABEL, TAGGED_KINDS
from studies.study import Study
from studies.trials import Trial
from wsps.device import choose_device
from wsps.label_sets import read_label_sets
from wsps.labelled_photos import read_examples
from wsps.networks.model import PanopticModel
from wsps.pseudo_labels.request import LabelRequest
from wsps.pseudo_labels.rounds import pseudo_label
from wsps.recipe import Recipe, decide_completeness
from wsps.students import STUDENTS, predict
from wsps.training.loop import Running
from wsps.training.stages import Lessons, lessons_of, limited

TIMED_STEPS = 4
"""Of each stage, after one that is not timed."""

TIMED_IMAGES = 2
"""Of each label kind that are labelled, and of the photos that are predicted."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds and bytes of the parts of a trial.

    `label_seconds` are of an image by label kind, `step_seconds` of a step by stage, and
    `predict_seconds` of a photo. `label_bytes` are of a label or a prediction, `network_bytes` of
    all checkpoints of a run while the last is written, and `feature_bytes` of what a frozen
    backbone sees in a view, 0 where none is kept.
    """

    label_seconds: Mapping[str, float]
    step_seconds: Mapping[str, float]
    predict_seconds: float
    label_bytes: float
    network_bytes: float
    feature_bytes: float

    def seconds(self, trial: Trial) -> float:
        """Return what a trial takes, at most."""
        kinds = list(trial.kind_of.values())
        recipe = _limit(trial.study.recipe, len(kinds))
        rounds, step = recipe.refinement.rounds, self.step_seconds
        labelling = sum(self.label_seconds.get(kind, 0.0) for kind in kinds)
        # The classifier has the backbone of the semantic network; a round trains that again.
        other_steps = rounds * recipe.semantic.steps
        if not set(TAGGED_KINDS).isdisjoint(kinds):
            other_steps += recipe.classifier.steps
        training: float = other_steps * step["semantic"]
        training += sum(getattr(recipe, stage).steps * step[stage] for stage in step)
        seen = rounds * len(kinds) + count_scored(trial.study)
        return labelling + training + seen * self.predict_seconds

    def bytes(self, trial: Trial) -> float:
        """Return the bytes on disk that a trial has of its own before it is finished."""
        labels = len(trial.kind_of) * (1 + trial.study.recipe.refinement.rounds)
        return self.network_bytes + self.label_bytes * (labels + count_scored(trial.study))


def _limit(recipe: Recipe, num_photos: int) -> Recipe:
    """Return a recipe with the most steps that so many photos are worth."""
    semantic = limited(recipe.semantic, num_photos, recipe).steps
    detector = limited(recipe.detector, num_photos, recipe).steps
    return replace(
        recipe,
        semantic=replace(recipe.semantic, steps=semantic),
        detector=replace(recipe.detector, steps=detector),
    )


def count_scored(study: Study) -> int:
    """Return how many photos each trial is scored on."""
    sources = filter(None, (study.dataset.val_source, study.dataset.test_source))
    return sum(len(open_source(source).images[: source.max_images]) for source in sources)


def time_parts(trials: Sequence[Trial], at_once: int) -> Timing:
    """Measure the parts of some trials of a study.

    Args:
        trials: at least one.
        at_once: how many will run at the same time, which share the processors.

    Raises:
        AnnotationError: for what trials refuse.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, share_of(at_once)))
    try:
        with tempfile.TemporaryDirectory() as name:
            return _time_parts(trials, Path(name))
    finally:
        torch.set_num_threads(threads)


def _time_parts(trials: Sequence[Trial], folder: Path) -> Timing:
    study = trials[0].study
    recipe = _miniature(decide_completeness(study.recipe, study.dataset.format))
    chosen = _choose_images(trials)
    request = LabelRequest(
        source=study.dataset.train_source,
        labels={image: kind for kind, images in chosen.items() for image in images},
        recipe=recipe,
        features=folder / "features",
    )
    # The first labels warm up, and are what is trained on.
    labels = folder / "labels"
    pseudo_label(request, labels)
    label_seconds = {}
    for kind, images in chosen.items():
        began = time.perf_counter()
        own = replace(request, labels=dict.fromkeys(images, kind))
        pseudo_label(own, folder / f"labels of {kind}")
        label_seconds[kind] = (time.perf_counter() - began) / len(images)
    model, step_seconds = _time_steps(study, recipe, labels, folder)
    features = [path.stat().st_size for path in (folder / "features").glob("*")]
    return Timing(
        label_seconds=label_seconds,
        step_seconds=step_seconds,
        predict_seconds=_time_prediction(study, model),
        label_bytes=_size(labels) / sum(map(len, chosen.values())),
        network_bytes=_network_bytes(model),
        feature_bytes=sum(features) / len(features) if features else 0.0,
    )


def _miniature(recipe: Recipe) -> Recipe:
    """Return a recipe of few steps and no rounds."""
    return replace(
        _with_steps(recipe, TIMED_STEPS),
        classifier=replace(recipe.classifier, steps=1),
        refinement=replace(recipe.refinement, rounds=0),
    )


def _choose_images(trials: Sequence[Trial]) -> dict[str, list[int | str]]:
    """Return a few images for each label kind that is bought; no image has two."""
    chosen: dict[str, list[int | str]] = {}
    taken: set[int | str] = set()
    # Kinds take turns, because a small budget may buy one image that all kinds have.
    for _ in range(TIMED_IMAGES):
        for trial in trials:
            for image, kind in trial.kind_of.items():
                found = chosen.get(kind, [])
                if kind != NO_LABEL and image not in taken and len(found) < TIMED_IMAGES:
                    chosen[kind] = [*found, image]
                    taken.add(image)
                    break
    return chosen


def _time_steps(
    study: Study, recipe: Recipe, labels: Path, folder: Path
) -> tuple[PanopticModel, dict[str, float]]:
    """Return a model that was hardly trained, and the seconds of a step of each stage."""
    student, label_set = STUDENTS[study.student], read_label_sets([labels])
    photos = open_source(study.dataset.train_source)
    groups = read_examples(label_set, photos, recipe.images)
    model = student.build(recipe, label_set.categories, 0, choose_device())
    warm_up = replace(model, recipe=_with_steps(recipe, 1))
    running, seconds = Running(features=folder / "features"), {}
    for name, stage in student.stages.items():
        seconds[name] = 0.0
        lessons = lessons_of(stage, model, Lessons(groups=groups, seed=0))
        if lessons is None:
            continue
        stage.train(warm_up, lessons, running)
        seconds[name] = stage.train(model, lessons, running).seconds / TIMED_STEPS
    return model, seconds


def _with_steps(recipe: Recipe, steps: int) -> Recipe:
    stages = {
        name: replace(getattr(recipe, name), steps=steps, schedule="constant")
        for name in ("semantic", "detector", "instance")
    }
    return replace(recipe, **stages)


def _time_prediction(study: Study, model: PanopticModel) -> float:
    source = study.dataset.val_source
    photos = open_source(source)
    images = photos.images[: source.max_images][:TIMED_IMAGES]
    began = 0.0
    # The first one warms up.
    for number, image in enumerate([images[0], *images]):
        if number == 1:
            began = time.perf_counter()
        predict(model, photos.read_photo(image), image.image_id)
    return (time.perf_counter() - began) / len(images)


def _network_bytes(model: PanopticModel) -> float:
    """Return the size of a run's checkpoints, the last with what its optimizer keeps."""
    sizes = [
        sum(tensor.nbytes for tensor in network.state_dict().values())
        for stage in STUDENTS[model.student].stages.values()
        if (network := stage.network(model)) is not None
    ]
    return float(sum(sizes) + 2 * max(sizes))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
