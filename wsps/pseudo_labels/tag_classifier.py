"""The classifier of tags of a split: trained on its crops, measured on these and held-out ones."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from annotools.formats.source import open_source
from annotools.parallel import run_parallel
from annotools.progress import track
from annotools.records import Dataset
from wsps.pseudo_labels.label_images import ImageOutcome, ImageTask, score_image, weaken_image
from wsps.pseudo_labels.label_store import photo_stamp
from wsps.pseudo_labels.output_folder import STATE_FOLDER
from wsps.pseudo_labels.quality import TagPrecision, tag_precision
from wsps.pseudo_labels.request import LabelRequest
from wsps.pseudo_labels.stored_classifier import StoredClassifier, store_classifier
from wsps.pseudo_labels.tasks import held_out_source, tagged


def prepare_classifier(
    request: LabelRequest, dataset: Dataset, tasks: Sequence[ImageTask], out: Path, workers: int
) -> StoredClassifier | None:
    """Return the classifier of tags, trained unless the folder has it; None without tags."""
    asked = tagged(tasks)
    function = partial(weaken_image, request.source, request.recipe.tags.crop_size_wh)
    found = track(run_parallel(function, asked, workers), "reading tags", total=len(asked))
    weak_of = {weak.image_id: weak for weak in found if weak.crops}
    images = [task.image for task in asked if task.image.image_id in weak_of]
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


def measure_tags(
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
        source = held_out_source(request)
        # Tags that come without boxes are about things as well.
        kind = "tags" if any(outcome.task.kind == "tags" for outcome in outcomes) else "boxes+tags"
        tasks = [ImageTask(image=i, name="", kind=kind) for i in open_source(source).images]
        function = partial(score_image, source, request.recipe.tags.crop_size_wh, classifier)
        running = run_parallel(function, tasks, workers)
        scores = list(track(running, "scoring held-out tags", total=len(tasks)))
        measured[source.split] = tag_precision(scores, len(dataset.categories))
    return measured
