"""Which images of a split get which label, and whether they can.

An image of the kind `NO_LABEL` gets one from the first round on.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from annotools.errors import DatasetError, RecipeError
from annotools.formats.panoptic_folder import name_images
from annotools.formats.source import Source, open_source
from annotools.records import NO_LABEL, TAGGED_KINDS, Dataset
from wsps.pseudo_labels.boxes import unknown_method
from wsps.pseudo_labels.label_images import ImageTask
from wsps.pseudo_labels.methods import METHODS
from wsps.pseudo_labels.request import LabelRequest
from wsps.recipe import TRAINABLE_KINDS, Recipe


def make_tasks(request: LabelRequest, dataset: Dataset, out: Path) -> list[ImageTask]:
    """Return the images that get a label, each with its kind and the name of its maps.

    Raises:
        DatasetError: when two images would have the same file, or a name leaves the folder.
        RecipeError: when the allocation does not fit the dataset or the segmenter.
    """
    kind_of = _choose_kinds(request, dataset)
    images = [image for image in dataset.images if image.image_id in kind_of]
    return [
        ImageTask(image=image, name=name, kind=kind_of[image.image_id])
        for image, name in zip(images, name_images(images, out), strict=True)
    ]


def check_request(request: LabelRequest, dataset: Dataset, tasks: Sequence[ImageTask]) -> None:
    """Make sure, before anything is written, that the labels can be made.

    Raises:
        DatasetError: when no image has a label at first, a photo is missing, or the held-out
            split does not fit.
        RecipeError: for a box method or a backbone that does not exist, a held-out split without
            tags, rounds without a weak label, or other crops than those of the allocation.
    """
    _check_kinds(request, dataset, tasks)
    _check_photos(request, dataset, tasks)
    _check_held_out(request, dataset, tasks)
    if request.recipe.box_method not in METHODS:
        raise unknown_method(request.recipe.box_method)
    _check_networks(request.recipe)


def check_folders(out: Path, box_labels: Path | None) -> None:
    """Make sure that labels from boxes are not kept among the files that a run writes or removes.

    Raises:
        DatasetError: when they would be, or their folder is a file.
    """
    if box_labels is None:
        return
    if box_labels.exists() and not box_labels.is_dir():
        raise DatasetError(f"{box_labels}: is a file: give --box-labels a folder")
    if box_labels.resolve().is_relative_to(out.resolve()):
        raise DatasetError(
            f"{box_labels}: lies in {out}, whose files are all written by one run: give "
            "--box-labels another folder"
        )


def labelled_at_first(tasks: Sequence[ImageTask]) -> list[ImageTask]:
    """Return the images whose label does not have to wait for a network."""
    return [task for task in tasks if task.kind != NO_LABEL]


def tagged(tasks: Sequence[ImageTask]) -> list[ImageTask]:
    """Return the images that have tags."""
    return [task for task in tasks if task.kind in TAGGED_KINDS]


def held_out_source(request: LabelRequest) -> Source:
    """Return where the held-out split is; there is one."""
    assert request.held_out_split is not None
    return replace(request.source, split=request.held_out_split, max_images=None)


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
    listed = [image.image_id for image in possible if image.image_id in stored.kind_of]
    kind_of = {image_id: stored.kind_of[image_id] for image_id in listed}
    if request.recipe.refinement.rounds > 0:
        return kind_of
    return {image_id: kind for image_id, kind in kind_of.items() if kind != NO_LABEL}


def _check_kinds(request: LabelRequest, dataset: Dataset, tasks: Sequence[ImageTask]) -> None:
    labels = request.labels
    if not labelled_at_first(tasks):
        if isinstance(labels, str):
            raise DatasetError(f"{dataset.name}: split {dataset.split} has no image to label")
        raise RecipeError(
            f"{labels.path}: no image has a label in split {dataset.split}: plan with one of "
            f"{', '.join(TRAINABLE_KINDS)}"
        )
    if not isinstance(labels, str) and tagged(tasks):
        labels.check_crops(request.recipe.tags.crop_size_wh)
    if request.recipe.refinement.rounds > 0 and all(task.kind == "full" for task in tasks):
        raise RecipeError(
            "every image has a full label, and a round changes none: leave out --rounds"
        )


def _check_photos(request: LabelRequest, dataset: Dataset, tasks: Sequence[ImageTask]) -> None:
    trains = request.recipe.refinement.rounds > 0
    for task in tasks:
        if (trains or task.kind != "full") and not dataset.has_photo(task.image):
            raise DatasetError(
                f"{request.source.root}: image {task.image.image_id} has no photo: "
                "pseudo-labels need the photos in place"
            )


def _check_held_out(request: LabelRequest, dataset: Dataset, tasks: Sequence[ImageTask]) -> None:
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


def _check_networks(recipe: Recipe) -> None:
    """Build the backbone now: the first network of a round may be hours away."""
    if recipe.refinement.rounds > 0:
        from wsps.networks.backbone import build_backbone

        build_backbone(recipe.backbone, recipe.backbone_weights)
