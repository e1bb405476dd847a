"""A request says which images get which label; it is checked before anything is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from annotools.allocation.plan_file import Allocation
from annotools.errors import DatasetError, RecipeError
from annotools.formats.panoptic_folder import name_images
from annotools.formats.source import Source, open_source
from annotools.records import (
    BOXED_KINDS,
    LABEL_KINDS,
    MARKED_KINDS,
    NO_LABEL,
    TAGGED_KINDS,
    Dataset,
    Image,
)
from annotools.weak_labels.annotators import Annotator
from wsps.pseudo_labels.methods import find_method
from wsps.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """What to label, and how.

    `labels` is a label kind for every image, or the kind of each image that gets a label by image
    id; `origin` says in the manifest where that came from. `annotator` makes the mistakes, None
    for none. `seed` is that of mistakes and training. The tags of `held_out_split` measure the
    classifier, None for none. In `box_labels` labels from boxes are kept for others to use, None
    for nowhere; in `features` what a frozen backbone sees, None for no longer than a run lasts.
    `truth` has full labels that measure the result, None where nobody has them or wants to know.
    `with_maps` asks for class and instance maps as files of their own.
    """

    source: Source
    labels: str | Mapping[int | str, str]
    origin: Any = None
    recipe: Recipe = field(default_factory=Recipe)
    annotator: Annotator | None = None
    seed: int = 0
    held_out_split: str | None = None
    box_labels: Path | None = None
    features: Path | None = None
    truth: Source | None = None
    with_maps: bool = False

    @property
    def num_rounds(self) -> int:
        """How often labels are made again from predictions."""
        return self.recipe.refinement.rounds


@dataclass(frozen=True, kw_only=True)
class LabelTask:
    """An image to label: `name` is that of its files, `kind` what was bought for it.

    An image of the kind `NO_LABEL` gets a label from the first round on.
    """

    image: Image
    name: str
    kind: str


def make_tasks(request: LabelRequest, dataset: Dataset, out: Path) -> list[LabelTask]:
    """Return the images that get a label, each with its kind and the name of its files.

    Raises:
        DatasetError: when two images would have the same file, or a name leaves the folder.
    """
    kind_of = _choose_kinds(request, dataset)
    images = [image for image in dataset.images if image.image_id in kind_of]
    return [
        LabelTask(image=image, name=name, kind=kind_of[image.image_id])
        for image, name in zip(images, name_images(images, out), strict=True)
    ]


def kinds_of_allocation(
    stored: Allocation, dataset: Dataset, recipe: Recipe
) -> Mapping[int | str, str]:
    """Return the label kind of each image in an allocation.

    Raises:
        RecipeError: when the allocation does not fit the dataset, the segmenter or the crops.
    """
    stored.check_images(image.image_id for image in dataset.images)
    if not stored.bought_kinds:
        raise RecipeError(
            f"{stored.path}: no image has a label: plan with one of {', '.join(LABEL_KINDS)}"
        )
    # Otherwise networks would be trained for rounds of labels that are all the same.
    if recipe.refinement.rounds > 0 and set(stored.kind_of.values()) == {"full"}:
        raise RecipeError(
            f"{stored.path}: every image has a full label, and a round changes none: leave out "
            "--rounds"
        )
    stored.check_crops(recipe.tags.crop_size_wh)
    return stored.kind_of


def kinds_of_given(dataset: Dataset) -> Mapping[int | str, str]:
    """Return the kind of label that each image of a dataset without masks has.

    Raises:
        DatasetError: when a label cannot be read.
    """
    assert dataset.read_weak is not None
    weak = [dataset.read_weak(image) for image in dataset.images]
    names = {(True, True): "boxes+tags", (True, False): "boxes", (False, True): "tags"}
    return {w.image_id: names.get((w.has_boxes, bool(w.crops)), NO_LABEL) for w in weak}


def labelled_at_first(tasks: Sequence[LabelTask]) -> list[LabelTask]:
    """Return the images whose label does not have to wait for a network."""
    return [task for task in tasks if task.kind != NO_LABEL]


def tagged(tasks: Sequence[LabelTask]) -> list[LabelTask]:
    """Return the images that have tags."""
    return [task for task in tasks if task.kind in TAGGED_KINDS]


def is_marked(task: LabelTask) -> bool:
    """Return whether what was bought for an image are marks, whose places follow from the seed."""
    return task.kind in MARKED_KINDS


def is_boxed(task: LabelTask) -> bool:
    """Return whether what was bought for an image has boxes, as a full label has not."""
    return task.kind in BOXED_KINDS


def held_out_source(request: LabelRequest) -> Source:
    """Return where the held-out split is; there is one."""
    assert request.held_out_split is not None
    return replace(request.source, split=request.held_out_split, max_images=None)


def count_images(
    request: LabelRequest, dataset: Dataset, tasks: Sequence[LabelTask]
) -> dict[str, int]:
    """Return how many images there are, labelled, passed through, and left out for what reason."""
    possible = dataset.images[: request.source.max_images]
    num_full = sum(task.kind == "full" for task in tasks)
    counts = {
        "in": len(dataset.images) + len(dataset.drops),
        "labelled": len(tasks) - num_full,
        "passed_through": num_full,
        "dropped": len(dataset.drops),
        "beyond_max_images": len(dataset.images) - len(possible),
    }
    if isinstance(request.labels, str):
        return counts
    absent = sum(image.image_id not in request.labels for image in possible)
    unlabelled = len(possible) - absent - len(tasks)
    return {**counts, "not in the allocation": absent, "without a label": unlabelled}


def check_request(
    request: LabelRequest, dataset: Dataset, tasks: Sequence[LabelTask], out: Path
) -> None:
    """Make sure, before anything is written, that the labels can be made.

    Raises:
        DatasetError: when no image has a label at first, a photo is missing, the held-out split or
            the truth does not fit, or labels from boxes would be kept among the files of the run.
        RecipeError: for a box method or a backbone that does not exist, or a held-out split
            without tags.
    """
    if not labelled_at_first(tasks):
        raise DatasetError(f"{dataset.name}: no image of split {dataset.split} gets a label")
    for task in tasks:
        # A full label is passed on without its photo, but a round also learns from it.
        needs_photo = request.num_rounds > 0 or task.kind != "full"
        if needs_photo and not dataset.has_photo(task.image):
            raise DatasetError(
                f"{request.source.root}: image {task.image.image_id} has no photo: "
                "pseudo-labels need the photos in place"
            )
    _check_held_out(request, dataset, tasks)
    _check_truth(request, dataset)
    find_method(request.recipe.boxes.method)
    _check_box_labels(request.box_labels, out)


def _choose_kinds(request: LabelRequest, dataset: Dataset) -> dict[int | str, str]:
    """Return the label kind of each image that gets a label, by image id."""
    possible = dataset.images[: request.source.max_images]
    if isinstance(request.labels, str):
        return {image.image_id: request.labels for image in possible}
    listed = [image.image_id for image in possible if image.image_id in request.labels]
    kind_of = {image_id: request.labels[image_id] for image_id in listed}
    if request.num_rounds > 0:
        return kind_of
    return {image_id: kind for image_id, kind in kind_of.items() if kind != NO_LABEL}


def _check_held_out(request: LabelRequest, dataset: Dataset, tasks: Sequence[LabelTask]) -> None:
    if request.held_out_split is None:
        return
    if not tagged(tasks):
        raise RecipeError(
            f"held-out split {request.held_out_split!r}: it measures the classifier of tags, and "
            "no image has tags: leave it out"
        )
    held_out = open_source(held_out_source(request))
    if held_out.categories != dataset.categories or not held_out.images:
        raise DatasetError(
            f"{request.source.root}: split {request.held_out_split!r} has no images of the "
            "same categories: give another --val-split"
        )


def _check_truth(request: LabelRequest, dataset: Dataset) -> None:
    if request.truth is None:
        return
    truth = open_source(request.truth)
    for category in dataset.categories.categories:
        index = truth.categories.class_index_of.get(category.category_id)
        if index is None or truth.categories.categories[index].name != category.name:
            raise DatasetError(
                f"{request.truth.root}: has no category {category.category_id} ({category.name}), "
                "which the labels have: give the truth of the same categories"
            )


def _check_box_labels(box_labels: Path | None, out: Path) -> None:
    if box_labels is None:
        return
    if box_labels.exists() and not box_labels.is_dir():
        raise DatasetError(f"{box_labels}: is a file: give --box-labels a folder")
    if box_labels.resolve().is_relative_to(out.resolve()):
        raise DatasetError(
            f"{box_labels}: lies in {out}, whose files are all written by one run: give "
            "--box-labels another folder"
        )
