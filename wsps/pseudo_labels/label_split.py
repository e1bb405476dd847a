"""The pseudo-labels of a split from start to end.

The classifier of tags is trained first, in this process; then the images are labelled, by several
processes if asked, in as many rounds as the recipe has. What a run that was stopped has done is
kept.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.files import write_json
from annotools.formats.panoptic_folder import MANIFEST_FILE
from annotools.formats.source import open_source
from annotools.records import NO_LABEL, Dataset
from annotools.settings import as_table
from annotools.weak_labels.weaken import WEAK_KINDS
from wsps.evaluation.mean_iou import PixelCounts
from wsps.pseudo_labels.label_images import ImageOutcome, ImageTask
from wsps.pseudo_labels.output_folder import (
    remove_leftovers,
    round_folders,
    start_folder,
)
from wsps.pseudo_labels.quality import quality_rows
from wsps.pseudo_labels.request import (
    QUALITY_FILE,
    KindQuality,
    LabelledSplit,
    LabelRequest,
    count_images,
    describe,
    quality_as_json,
)
from wsps.pseudo_labels.rounds import label_rounds
from wsps.pseudo_labels.stored_classifier import CLASSIFIER_SETTINGS
from wsps.pseudo_labels.stored_network import NETWORK_SETTINGS
from wsps.pseudo_labels.tag_classifier import measure_tags, prepare_classifier
from wsps.pseudo_labels.tasks import (
    check_folders,
    check_request,
    labelled_at_first,
    make_tasks,
    tagged,
)


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
        RecipeError: when the allocation does not fit the dataset or the segmenter, a held-out
            split is asked for without tags, or training diverges.
        OSError: when a file cannot be written.
    """
    open_source.cache_clear()  # The files may have changed since the last run.
    dataset = open_source(request.source)
    tasks = make_tasks(request, dataset, out)
    check_request(request, dataset, tasks)
    check_folders(out, request.box_labels)
    planned = _plan_files(request, tasks, out)
    start_folder(out, _setup(request, tasks), planned, overwrite=overwrite)
    classifier = prepare_classifier(request, dataset, tasks, out, workers)
    rounds = label_rounds(request, dataset, tasks, out, classifier, workers)
    result = LabelledSplit(
        images=count_images(request, dataset, tasks),
        num_resumed=sum(not outcome.is_new for outcomes in rounds for outcome in outcomes),
        rounds=tuple(_measure(outcomes, dataset) for outcomes in rounds),
        tags=measure_tags(request, rounds[0], dataset, classifier, workers),
    )
    remove_leftovers(out, planned)
    write_json(out / QUALITY_FILE, quality_as_json(result, dataset.categories))
    manifest = describe(request, dataset, tasks, request.recipe.refinement.rounds)
    write_json(out / MANIFEST_FILE, manifest)
    return result


def _plan_files(request: LabelRequest, tasks: Sequence[ImageTask], out: Path) -> list[str]:
    """Return all files of all rounds, relative to the folder."""
    planned = [QUALITY_FILE]
    for folder in round_folders(out, request.recipe.refinement.rounds):
        labelled = tasks if folder.number > 0 else labelled_at_first(tasks)
        planned += folder.list_files(task.name for task in labelled)
    return planned


def _setup(request: LabelRequest, tasks: Sequence[ImageTask]) -> dict[str, Any]:
    """Return everything on which the labels depend but the content of the source's files."""
    listed = hashlib.sha256()
    for task in tasks:
        entry = [task.image.image_id, task.name, task.kind]
        listed.update(f"{json.dumps(entry)}\n".encode())
    num_rounds = request.recipe.refinement.rounds
    names = {"box_method", "refinement"}
    if tagged(tasks):
        names |= {*CLASSIFIER_SETTINGS, "tags"}
    if num_rounds > 0:
        names |= set(NETWORK_SETTINGS)
    trained = {"seed": request.seed} if tagged(tasks) or num_rounds > 0 else {}
    return {
        "number of rounds": num_rounds,
        **as_table(replace(request.source, max_images=None)),
        **{name: as_table(getattr(request.recipe, name)) for name in sorted(names)},
        **trained,
        "kinds of labels": sorted({task.kind for task in tasks}),
        "list of images": listed.hexdigest(),
        "version of annotools": version("annotools"),
    }


def _measure(outcomes: Sequence[ImageOutcome], dataset: Dataset) -> tuple[KindQuality, ...]:
    measured = []
    for kind in (*WEAK_KINDS, NO_LABEL):
        found = [outcome.counts for outcome in outcomes if outcome.task.kind == kind]
        if found:
            counts = sum(found, start=PixelCounts.zero(len(dataset.categories)))
            rows = quality_rows(counts, dataset.categories)
            measured.append(KindQuality(kind=kind, images=len(found), rows=rows))
    return tuple(measured)
