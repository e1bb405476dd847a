"""Make the pseudo-labels of a split: a folder of weak labels and photos in, a label set out.

First labels come from boxes and tags; in each round a network learns from the labels so far and
makes the next ones. Labels of the last round lie in the folder itself, those before in `rounds/0`,
`rounds/1` and so on, each a label set. What a run that was stopped has done is kept.

Paper: Li, Arnab, Torr 2018, sec. 3.4.
"""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annotools.categories import IGNORE_INDEX
from annotools.files import digest, write_json
from annotools.formats.panoptic_folder import LABELS_FILE, label_files, write_label_set
from annotools.formats.source import open_source
from annotools.formats.weak_json import BOXES_FILE, write_boxes
from annotools.parallel import map_ahead, run_parallel
from annotools.progress import track
from annotools.records import MARKED_KINDS, NO_LABEL, Dataset, WeakLabel
from annotools.seals import found_damaged, note_damaged
from annotools.settings import as_table
from annotools.weak_labels.weaken import WEAK_KINDS
from annotools.work_folder import (
    MANIFEST_FILE,
    STATE_FOLDER,
    filling,
    finish_folder,
    write_manifest,
)
from wsps.device import has_gpu
from wsps.networks.weights import describe_weights
from wsps.pseudo_labels.batches import label_in_batches
from wsps.pseudo_labels.label_images import ImageLabeller, LabelledImage
from wsps.pseudo_labels.quality import (
    CropScores,
    KindQuality,
    TagPrecision,
    measure_kind,
    quality_as_json,
    tag_precision,
)
from wsps.pseudo_labels.request import (
    LabelRequest,
    LabelTask,
    check_request,
    count_images,
    held_out_source,
    is_boxed,
    is_marked,
    labelled_at_first,
    make_tasks,
    tagged,
)
from wsps.pseudo_labels.stored_networks import (
    CLASSIFIER_TABLES,
    SEGMENTER_TABLES,
    store_classifier,
    store_segmenter,
)
from wsps.training.checkpoints import NETWORK_FILE, StoredNetwork, features_folder

WRITTEN_BY = "annotools pseudo-label"
QUALITY_FILE = "quality.json"

MIN_IMAGES = 16
"""Least images for which one more process is started to make labels from boxes."""

_CLASSIFIER = f"{STATE_FOLDER}/classifier.pt"
_PACKAGES = ("annotools", "higra", "numpy", "opencv-python-headless", "torch")


@dataclass(frozen=True, kw_only=True)
class LabelledSplit:
    """The labels of a split in numbers: how many there are, and how good they are.

    `images` are counted by what became of them; `in` is the sum of all others. `num_resumed`
    labels, of all rounds, were done by an earlier run. `rounds` has the quality of the first labels
    and of those of each round after, None without a truth. `tags` is by split: the labelled one,
    and the held-out one if it was asked for; empty without tags.
    """

    images: Mapping[str, int]
    num_resumed: int
    rounds: tuple[tuple[KindQuality, ...], ...] | None
    tags: Mapping[str, TagPrecision]

    def __post_init__(self) -> None:
        counted = dict(self.images)
        assert counted.pop("in") == sum(counted.values()), self.images


def pseudo_label(
    request: LabelRequest, out: Path, workers: int = 1, *, overwrite: bool | None = None
) -> LabelledSplit:
    """Write the pseudo-labels of a split as a label set, with their quality and a manifest.

    Args:
        request: what to label.
        out: the folder to write to: new, empty, or of an earlier run with the same settings.
        workers: processes that label at the same time; where a network runs on a GPU it does in
            this process, and workers are threads beside it.
        overwrite: remove what an earlier run wrote to the folder; None where nobody can ask for it.

    Raises:
        DatasetError: when the dataset cannot be read or does not have the labels asked for, two of
            its images would have the same file, a name leaves the folder, or the folder may not be
            written to.
        RecipeError: when the labels do not fit the segmenter, a held-out split is asked for
            without tags, a backbone that is needed cannot be had, or training diverges.
        OSError: when a file cannot be written.
    """
    open_source.cache_clear()  # The files may have changed since the last run.
    dataset = open_source(request.source)
    tasks = make_tasks(request, dataset, out)
    check_request(request, dataset, tasks, out)
    if _needs_backbone(request, tasks):
        # Built now, because the first network of a round may be hours away.
        from wsps.networks.model import check_segmenter

        check_segmenter(request.recipe)
    setup, planned = _setup(request, tasks), _plan_files(request, tasks)
    with filling(out, WRITTEN_BY, setup, planned, overwrite=overwrite):
        labeller = ImageLabeller(request=replace(request, labels=""), out=out)
        first = replace(labeller, network=_learn_tags(labeller, dataset, tasks, workers))
        if workers > 1 and (first.network is not None or request.num_rounds > 0) and has_gpu():
            # The threads beside a network on a GPU would find them one after the other.
            boxed = [task for task in tasks if is_boxed(task)]
            lacking = zip(boxed, map_ahead(first.lacks_boxes, boxed, workers), strict=True)
            keep_box_labels([(first, task) for task, is_lacking in lacking if is_lacking], workers)
        made = [_label_all(first, dataset, labelled_at_first(tasks), workers)]
        labeller = first
        for number in range(1, request.num_rounds + 1):
            # The labels of a round have a manifest before a network learns from them.
            so_far = [labelled.task for labelled in made[-1]]
            _write_manifest(labeller.folder, request, dataset, so_far, labeller.round_number)
            network = store_segmenter(
                labeller.folder,
                request.source.root,
                dataset,
                request.recipe,
                request.seed,
                labeller.round_number,
                # In round 0 the network is the classifier of tags: no segmenter can go on with it.
                before=None if number == 1 else labeller.network,
                features=request.features or features_folder(out),
            )
            labeller = replace(labeller, round_number=number, network=network)
            made.append(_label_all(labeller, dataset, tasks, workers))
        shutil.rmtree(features_folder(out), ignore_errors=True)
        truth = None if request.truth is None else open_source(request.truth)
        result = LabelledSplit(
            images=count_images(request, dataset, tasks),
            num_resumed=sum(not labelled.is_new for round_ in made for labelled in round_),
            rounds=None if truth is None else tuple(_measure(round_, truth) for round_ in made),
            tags=_measure_tags(first, made[0], dataset, workers),
        )
        if truth is not None and result.rounds is not None:
            quality = quality_as_json(result.rounds, result.tags, truth.categories)
            write_json(out / QUALITY_FILE, quality)
        finish_folder(out, WRITTEN_BY)
        _write_manifest(out, request, dataset, tasks, request.num_rounds)
    return result


def keep_box_labels(asked: Sequence[tuple[ImageLabeller, LabelTask]], workers: int) -> None:
    """Make labels from boxes and keep them where each labeller keeps its own, in parallel.

    Args:
        asked: images with boxes, each with its labeller, which keeps labels from boxes.
        workers: processes at work at the same time, fewer for few images.

    Raises:
        DatasetError: when a photo or a label cannot be read.
        OSError: when a label cannot be written.
    """
    # A process starts in the time of so many labels.
    most = -(-len(asked) // MIN_IMAGES)
    running = run_parallel(_keep_boxes, asked, min(workers, most))
    for damaged in track(running, "labelling boxes", total=len(asked)):
        note_damaged(damaged)


def read_quality(out: Path) -> dict[str, Any]:
    """Return the measures of a finished folder, nothing where there was no truth."""
    path = out / QUALITY_FILE
    content: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return content


def _plan_files(request: LabelRequest, tasks: Sequence[LabelTask]) -> list[str]:
    """Return all files of all rounds, relative to the folder."""
    planned = [QUALITY_FILE, _CLASSIFIER]
    for number in range(request.num_rounds + 1):
        names = [task.name for task in (tasks if number > 0 else labelled_at_first(tasks))]
        listed = [LABELS_FILE, BOXES_FILE, MANIFEST_FILE, NETWORK_FILE]
        listed += [f for name in names for f in label_files(name, with_maps=request.with_maps)]
        place = "" if number == request.num_rounds else f"rounds/{number}/"
        planned += [f"{place}{name}" for name in listed]
    return planned


def _setup(request: LabelRequest, tasks: Sequence[LabelTask]) -> dict[str, Any]:
    """Return everything on which the labels depend, the content of the source's files left out."""
    recipe, learns = request.recipe, request.num_rounds > 0
    # Only tables in use, and the seed only with chance: a setting that changes nothing must not
    # keep a run from going on.
    used = ["boxes", "refinement"]
    if tagged(tasks):
        used += ["tags", *CLASSIFIER_TABLES]
    if learns:
        used += SEGMENTER_TABLES
    has_chance = learns or request.annotator or bool(tagged(tasks)) or any(map(is_marked, tasks))
    return {
        "number of rounds": request.num_rounds,
        # Before the tables of the recipe, some of which are there for some kinds alone.
        "kinds of labels": sorted({task.kind for task in tasks}),
        **as_table(replace(request.source, max_images=None)),
        "annotator": as_table(request.annotator),
        # The source has boxes and tags too, so the tables of the recipe say whose they are.
        **{f"recipe.{name}": as_table(getattr(recipe, name)) for name in sorted(set(used))},
        **(
            {"weights": describe_weights(recipe.backbone)}
            if _needs_backbone(request, tasks)
            else {}
        ),
        **({"seed": request.seed} if has_chance else {}),
        "maps": request.with_maps,
        "truth": None
        if request.truth is None
        else as_table(replace(request.truth, max_images=None)),
        "list of images": digest([[t.image.image_id, t.name, t.kind] for t in tasks]),
        "version of annotools": version("annotools"),
    }


def _needs_backbone(request: LabelRequest, tasks: Sequence[LabelTask]) -> bool:
    """Return whether a network learns: the classifier of tags, or the segmenter of a round."""
    return bool(tagged(tasks)) or request.num_rounds > 0


def _label_all(
    labeller: ImageLabeller, dataset: Dataset, tasks: Sequence[LabelTask], workers: int
) -> list[LabelledImage]:
    """Write the labels of a round, in the order of the tasks, and its boxes."""
    num_rounds, folder = labeller.request.num_rounds, labeller.folder
    doing = f"labelling, round {labeller.round_number} of {num_rounds}"
    if labeller.network is not None and has_gpu():
        running = label_in_batches(labeller, tasks, workers)
    else:
        running = run_parallel(labeller, tasks, workers)
    found = track(running, doing if num_rounds else "labelling", total=len(tasks))
    # Workers finish in any order; the files that list labels keep the order of the tasks.
    labelled_of = {labelled.task.name: labelled for labelled in found}
    made = [labelled_of[task.name] for task in tasks]
    for one in made:
        note_damaged(one.damaged)
    write_label_set(folder, dataset.categories, [(one.task.image, one.entry) for one in made])
    boxed = [(one.task.image, one.boxes) for one in made if one.boxes is not None]
    write_boxes(folder, dataset, boxed)
    return made


def _learn_tags(
    labeller: ImageLabeller, dataset: Dataset, tasks: Sequence[LabelTask], workers: int
) -> StoredNetwork | None:
    """Return the classifier of tags, trained unless the folder has it; None without tags."""
    asked, request = tagged(tasks), labeller.request
    running = run_parallel(partial(_buy_tags, labeller), asked, workers)
    found = track(running, "reading tags", total=len(asked))
    weak_of = {weak.image_id: weak for weak in found if weak.crops}
    # In the order of the tasks, because training draws photos by their place.
    pairs = [(t.image, weak_of[t.image.image_id]) for t in asked if t.image.image_id in weak_of]
    if not pairs:
        return None
    path, root = labeller.out / _CLASSIFIER, request.source.root
    features = request.features or features_folder(labeller.out)
    return store_classifier(path, root, dataset, pairs, request.recipe, request.seed, features)


def _measure(made: Sequence[LabelledImage], truth: Dataset) -> tuple[KindQuality, ...]:
    """Return how good the labels of a round are, for each label kind but `full`."""
    measured = []
    for kind in (*WEAK_KINDS, *MARKED_KINDS, NO_LABEL):
        found = [one.counts for one in made if one.task.kind == kind and one.counts is not None]
        if found:
            measured.append(measure_kind(kind, found, truth.categories))
    return tuple(measured)


def _measure_tags(
    labeller: ImageLabeller, made: Sequence[LabelledImage], dataset: Dataset, workers: int
) -> Mapping[str, TagPrecision]:
    """Return the average precision of tags by split; of the held-out one where it is asked for."""
    request = labeller.request
    if labeller.network is None or request.truth is None:
        return {}
    num_classes = len(dataset.categories)
    scored = [one.tags for one in made if one.tags is not None]
    measured = {dataset.split: tag_precision(scored, num_classes)}
    if request.held_out_split is not None:
        source = held_out_source(request)
        # Tags that come without boxes are about things as well.
        kind = "tags" if any(one.task.kind == "tags" for one in made) else "boxes+tags"
        tasks = [LabelTask(image=i, name="", kind=kind) for i in open_source(source).images]
        # No annotator: the classifier is compared with tags without mistakes.
        held_out = replace(labeller, request=replace(request, source=source, annotator=None))
        score = partial(_score_held_out, held_out)
        in_processes = not has_gpu()
        running = (run_parallel if in_processes else map_ahead)(score, tasks, workers)
        scores = list(track(running, "scoring held-out tags", total=len(tasks)))
        measured[source.split] = tag_precision([s for s in scores if s is not None], num_classes)
    return measured


def _keep_boxes(asked: tuple[ImageLabeller, LabelTask]) -> frozenset[Path]:
    labeller, task = asked
    labeller.keep_boxes(task)
    return found_damaged()


def _buy_tags(labeller: ImageLabeller, task: LabelTask) -> WeakLabel:
    bought = labeller.buy(open_source(labeller.request.source), task)
    assert isinstance(bought, WeakLabel)
    return bought


def _score_held_out(labeller: ImageLabeller, task: LabelTask) -> CropScores | None:
    dataset = open_source(labeller.request.source)
    return labeller.score_tags(dataset, task.image, labeller.buy(dataset, task))


def _write_manifest(
    folder: Path,
    request: LabelRequest,
    dataset: Dataset,
    tasks: Sequence[LabelTask],
    round_number: int,
) -> None:
    """Write the manifest of the labels of a round, from 0."""
    asked = {
        "source": as_table(replace(request.source, max_images=None)),
        "labels_from": request.labels if isinstance(request.labels, str) else request.origin,
        "recipe": as_table(request.recipe),
        "annotator": as_table(request.annotator),
        "seed": request.seed,
        "round": round_number,
    }
    found = {
        "images": count_images(request, dataset, tasks),
        "kinds": dict(sorted(Counter(task.kind for task in tasks).items())),
        "classes": [category.name for category in dataset.categories.categories],
        "ignore": IGNORE_INDEX,
        "notes": list(dataset.notes),
        "labels": [
            {"image_id": task.image.image_id, "name": task.name, "kind": task.kind}
            for task in tasks
        ],
    }
    write_manifest(folder, WRITTEN_BY, _PACKAGES, asked, found)
