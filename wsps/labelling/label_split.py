"""Pseudo-labels of a whole split: a folder of label maps, and how good they are.

The classifier of tags is trained first, in this process; then the images are labelled, by several
processes if asked. What a run that was stopped has done is kept.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.conversion.shards import Source, open_source
from annotools.errors import DatasetError, RecipeError
from annotools.files import write_whole
from annotools.formats.files import read_photo
from annotools.formats.label_folder import MANIFEST_FILE, map_files, name_images
from annotools.parallel import run_parallel
from annotools.progress import track
from annotools.records import NO_LABEL, Dataset
from annotools.settings import as_table
from annotools.weak_labels.weaken import WEAK_KINDS
from wsps.evaluation.mean_iou import PixelCounts
from wsps.labelling.image_task import (
    ImageLabeller,
    ImageOutcome,
    ImageTask,
    score_image,
    weaken_image,
)
from wsps.labelling.output_folder import STATE_FOLDER, remove_leftovers, start_folder
from wsps.labelling.quality import TagPrecision, quality_rows, tag_precision
from wsps.labelling.split_report import (
    QUALITY_FILE,
    KindQuality,
    LabelledSplit,
    LabelRequest,
    count_images,
    describe,
    quality_as_json,
)
from wsps.labelling.stored_classifier import (
    CLASSIFIER_SETTINGS,
    StoredClassifier,
    store_classifier,
)
from wsps.pseudo_labels.boxes import unknown_method
from wsps.pseudo_labels.label_store import BoxLabelStore, photo_stamp
from wsps.pseudo_labels.methods import METHODS
from wsps.recipe import TRAINABLE_KINDS


def label_split(
    request: LabelRequest, out: Path, workers: int = 1, *, overwrite: bool = False
) -> LabelledSplit:
    """Write the pseudo-labels of a split, their quality and a manifest.

    Args:
        request: what to label.
        out: the folder to write to: new, empty, or of an earlier run with the same settings.
        workers: processes that label at the same time.
        overwrite: remove what an earlier run wrote to the folder.

    Raises:
        DatasetError: when the dataset cannot be read, two of its images would have the same file,
            a name leaves the folder, or the folder may not be written to.
        RecipeError: when the allocation does not fit the dataset or the segmenter, or a held-out
            split is asked for without tags.
        OSError: when a file cannot be written.
    """
    open_source.cache_clear()  # The files may have changed since the last run.
    dataset = open_source(request.source)
    tasks = _make_tasks(request, dataset, out)
    _check(request, dataset, tasks)
    planned = [file_name for task in tasks for file_name in map_files(task.name)]
    planned += [MANIFEST_FILE, QUALITY_FILE]
    start_folder(out, _setup(request, tasks), planned, overwrite=overwrite)
    classifier = _prepare_classifier(request, dataset, tasks, out, workers)
    running = run_parallel(_labeller(request, out, classifier), tasks, workers)
    outcomes = list(track(running, "labelling", total=len(tasks)))
    result = LabelledSplit(
        images=count_images(request, dataset, tasks),
        num_resumed=sum(not outcome.is_new for outcome in outcomes),
        kinds=_measure(outcomes, dataset),
        tags=_measure_tags(request, outcomes, dataset, classifier, workers),
    )
    remove_leftovers(out, planned)
    _write_json(out / QUALITY_FILE, quality_as_json(result, dataset.categories))
    _write_json(out / MANIFEST_FILE, describe(result, request, dataset, tasks))
    return result


def _make_tasks(request: LabelRequest, dataset: Dataset, out: Path) -> list[ImageTask]:
    """Return the images that get a label, each with its kind and the name of its maps."""
    kind_of = _choose_kinds(request, dataset)
    images = [image for image in dataset.images if image.image_id in kind_of]
    return [
        ImageTask(image=image, name=name, kind=kind_of[image.image_id])
        for image, name in zip(images, name_images(images, out), strict=True)
    ]


def _choose_kinds(request: LabelRequest, dataset: Dataset) -> dict[int | str, str]:
    """Return the label kind of each image that gets a label, by image id."""
    possible = dataset.images[: request.source.max_images]
    if isinstance(request.labels, str):
        return {image.image_id: request.labels for image in possible}
    stored = request.labels
    stored.check_images(image.image_id for image in dataset.images)
    for kind in stored.bought_kinds:
        if kind not in TRAINABLE_KINDS:
            raise RecipeError(
                f"{stored.path}: has the kind {kind!r}, which gives no label of pixels: plan with "
                f"{', '.join(TRAINABLE_KINDS)}"
            )
    kind_of = {i.image_id: stored.kind_of.get(i.image_id, NO_LABEL) for i in possible}
    return {image_id: kind for image_id, kind in kind_of.items() if kind != NO_LABEL}


def _check(request: LabelRequest, dataset: Dataset, tasks: Sequence[ImageTask]) -> None:
    if not tasks:
        raise DatasetError(f"{dataset.name}: split {dataset.split} has no image to label")
    for task in tasks:
        # Without a path the reader of photo files has nothing to read; other readers draw theirs.
        is_absent = task.image.path is None and dataset.read_photo is read_photo
        if task.kind != "full" and is_absent:
            raise DatasetError(
                f"{request.source.root}: image {task.image.image_id} has no photo: "
                "pseudo-labels need the photos in place"
            )
    if request.held_out_split is not None and not _tagged(tasks):
        raise RecipeError(
            f"held-out split {request.held_out_split!r}: it measures the classifier of tags, and "
            "no image has tags: leave it out"
        )
    if request.held_out_split is not None:
        held_out = open_source(_held_out_source(request))
        if held_out.categories != dataset.categories or not held_out.images:
            raise DatasetError(
                f"{request.source.root}: split {request.held_out_split!r} has no images of the "
                "same categories: give another --val-split"
            )
    if request.recipe.box_method not in METHODS:
        raise unknown_method(request.recipe.box_method)


def _held_out_source(request: LabelRequest) -> Source:
    assert request.held_out_split is not None
    return replace(request.source, split=request.held_out_split, max_images=None)


def _tagged(tasks: Sequence[ImageTask]) -> list[ImageTask]:
    return [task for task in tasks if task.kind in ("tags", "boxes+tags")]


def _setup(request: LabelRequest, tasks: Sequence[ImageTask]) -> dict[str, Any]:
    """Return everything on which the labels depend but the content of the source's files."""
    listed = hashlib.sha256()
    for task in tasks:
        entry = [task.image.image_id, task.name, task.kind]
        listed.update(f"{json.dumps(entry)}\n".encode())
    setup = as_table(replace(request.source, max_images=None))
    for name in ("box_method", "refinement"):
        setup[name] = as_table(getattr(request.recipe, name))
    if _tagged(tasks):
        used = {name: getattr(request.recipe, name) for name in (*CLASSIFIER_SETTINGS, "tags")}
        setup |= as_table(used) | {"seed": request.seed}
    return {
        **setup,
        "kinds of labels": sorted({task.kind for task in tasks}),
        "list of images": listed.hexdigest(),
        "version of annotools": version("annotools"),
    }


def _prepare_classifier(
    request: LabelRequest, dataset: Dataset, tasks: Sequence[ImageTask], out: Path, workers: int
) -> StoredClassifier | None:
    """Return the classifier of tags, trained unless the folder has it; None without tags."""
    tagged = _tagged(tasks)
    function = partial(weaken_image, request.source, request.recipe.tags.crop_size_wh)
    found = track(run_parallel(function, tagged, workers), "reading tags", total=len(tagged))
    weak_of = {weak.image_id: weak for weak in found if weak.crops}
    images = [task.image for task in tagged if task.image.image_id in weak_of]
    if not images:
        return None
    return store_classifier(
        out / STATE_FOLDER / "classifier.pt",
        dataset,
        images,
        weak_of,
        [photo_stamp(request.source.root, image) for image in images],
        request.recipe,
        request.seed,
    )


def _labeller(
    request: LabelRequest, out: Path, classifier: StoredClassifier | None
) -> ImageLabeller:
    source, store = request.source, None
    if request.box_labels is not None:
        place = (source.format_name, source.root.resolve(), source.split)
        store = BoxLabelStore(
            folder=request.box_labels, source=place, method=request.recipe.box_method
        )
    return ImageLabeller(
        source=source,
        out=out,
        crop_size_wh=request.recipe.tags.crop_size_wh,
        box_method=request.recipe.box_method,
        refinement=request.recipe.refinement,
        classifier=classifier,
        box_labels=store,
    )


def _measure(outcomes: Sequence[ImageOutcome], dataset: Dataset) -> tuple[KindQuality, ...]:
    measured = []
    for kind in WEAK_KINDS:
        found = [outcome.counts for outcome in outcomes if outcome.kind == kind]
        if found:
            counts = sum(found, start=PixelCounts.zero(len(dataset.categories)))
            rows = quality_rows(counts, dataset.categories)
            measured.append(KindQuality(kind=kind, images=len(found), rows=rows))
    return tuple(measured)


def _measure_tags(
    request: LabelRequest,
    outcomes: Sequence[ImageOutcome],
    dataset: Dataset,
    classifier: StoredClassifier | None,
    workers: int,
) -> Mapping[str, TagPrecision]:
    """Return the average precision of tags by split; of the held-out one where it is asked for."""
    if classifier is None:
        return {}
    scored = [outcome.tags for outcome in outcomes if outcome.tags is not None]
    measured = {dataset.split: tag_precision(scored, len(dataset.categories))}
    if request.held_out_split is not None:
        source = _held_out_source(request)
        # Tags that come without boxes are about things as well.
        kind = "tags" if any(outcome.kind == "tags" for outcome in outcomes) else "boxes+tags"
        tasks = [ImageTask(image=i, name="", kind=kind) for i in open_source(source).images]
        function = partial(score_image, source, request.recipe.tags.crop_size_wh, classifier)
        running = run_parallel(function, tasks, workers)
        scores = list(track(running, "scoring held-out tags", total=len(tasks)))
        measured[source.split] = tag_precision(scores, len(dataset.categories))
    return measured


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
