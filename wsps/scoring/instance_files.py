"""Read COCO files of masks for scoring: each mask as its file has it, overlaps included."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import float_info
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from annotools.categories import Category, CategorySet, distinct_colour
from annotools.errors import DatasetError, name_place
from annotools.formats.coco_entries import in_order, take_flag, take_image_id, take_size
from annotools.formats.coco_instances import (
    group_instances,
    list_categories,
    read_instance_categories,
)
from annotools.formats.coco_masks import find_column_runs, paint
from annotools.formats.coco_results import Listed, group_objects
from annotools.formats.forms import Forms, make_number, read_coco
from annotools.formats.instances import Instances
from annotools.formats.json_values import entries
from annotools.records import Image
from wsps.evaluation.coco_matching import PredictedMask, RunLengths, TrueMask
from wsps.evaluation.image_scores import ScoredMask
from wsps.scoring.remarks import file_remarks


@dataclass(frozen=True, kw_only=True)
class InstanceTruth:
    """The images of a file by id, its categories, all things, and its annotations by image id.

    `remarks` say what was taken in another form.
    """

    categories: CategorySet
    images: tuple[Image, ...]
    annotations_of: Mapping[int | str, Sequence[Listed]]
    remarks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DisjointTruth:
    """The images of a file by id, and its objects; `remarks` say what was in another form."""

    images: tuple[Image, ...]
    instances: Instances
    remarks: tuple[str, ...]


def read_truth(path: Path) -> InstanceTruth:
    """Return an instances file, whose masks are decoded by `true_mask`.

    Raises:
        DatasetError: when the file is missing or contradicts itself, or has no image or category.
    """
    forms: Forms = Counter()
    content = read_coco(path, forms)
    for _, entry in entries(path, content, "annotations"):
        make_number(entry, "area", forms)
    # COCOeval scores every category that is listed, whatever its name.
    things = (
        Category(category_id=i, name=e["name"], is_thing=True, colour=distinct_colour(n))
        for n, (i, (_, e)) in enumerate(sorted(list_categories(path, content).items()))
    )
    with name_place(f"{path}: categories"):
        categories = CategorySet(categories=tuple(things))
    images = _read_images(path, content)
    return InstanceTruth(
        categories=categories,
        images=images,
        annotations_of=group_objects(
            path, content, "annotations", images, categories, "this file", forms
        ),
        remarks=file_remarks(path, forms),
    )


def read_disjoint_truth(path: Path) -> DisjointTruth:
    """Return an instances file whose masks `make_label` makes disjoint; no photo is looked for.

    Raises:
        DatasetError: when the file is missing or contradicts itself, or has no image.
            `make_label` raises it for an impossible mask.
    """
    forms: Forms = Counter()
    content = read_coco(path, forms)
    categories = read_instance_categories(path, content, forms)
    images = _read_images(path, content)
    listed = list(entries(path, content, "annotations"))
    instances = group_instances(
        listed, categories, images, forms, may_lack_mask=False, allow_missing=False
    )
    return DisjointTruth(images=images, instances=instances, remarks=file_remarks(path, forms))


def true_mask(annotation: Listed, image: Image, categories: CategorySet) -> TrueMask:
    """Return an annotation with its mask; its area is the file's, else the mask's.

    Raises:
        DatasetError: when a value is impossible.
    """
    place, entry = annotation
    runs = _encode(place, entry, image)
    has_area = entry.get("area") is not None
    return TrueMask(
        class_index=categories.class_index_of[entry["category_id"]],
        runs=runs,
        area=_take_finite(place, entry, "area") if has_area else float(coco_mask.area(runs)),
        is_crowd=take_flag(place, entry, "iscrowd", default=False),
    )


def predicted_mask(result: Listed, image: Image, categories: CategorySet) -> PredictedMask:
    """Return a result with its mask.

    Raises:
        DatasetError: when a value is impossible.
    """
    place, entry = result
    return PredictedMask(
        class_index=categories.class_index_of[entry["category_id"]],
        runs=_encode(place, entry, image),
        score=_take_finite(place, entry, "score"),
    )


def scored_mask(result: Listed, image: Image) -> ScoredMask:
    """Return a result with its mask drawn.

    Raises:
        DatasetError: when a value is impossible.
    """
    place, entry = result
    return ScoredMask(
        category_id=entry["category_id"],
        score=_take_finite(place, entry, "score"),
        mask=_draw(place, entry, image).astype(bool),
    )


def _read_images(path: Path, content: Any) -> tuple[Image, ...]:
    """Return the images by id. No photo is read, so that one needs a size and no name."""
    images: dict[int | str, Image] = {}
    for place, entry in entries(path, content, "images"):
        image_id = take_image_id(place, entry, "id")
        if image_id in images:
            raise DatasetError(f"{place}: id {image_id} is given twice: use another")
        width, height = take_size(place, entry, "width", "height")
        images[image_id] = Image(
            image_id=image_id, file_name=str(entry.get("file_name")), width=width, height=height
        )
    if not images:
        raise DatasetError(f"{path}: images is empty: give the truth of some images")
    return in_order(images.values())


def _draw(place: str, entry: dict[str, Any], image: Image) -> NDArray[np.uint8]:
    """Return the mask of an entry: (H, W), 1 on its pixels."""
    with name_place(f"{place}: image {image.image_id!r}"):
        runs = find_column_runs(entry.get("segmentation"), image.height, image.width)
    flat = np.zeros(image.height * image.width, dtype=np.uint8)
    paint(flat, runs, 1)
    # Runs go down the columns.
    return flat.reshape((image.height, image.width), order="F")


def _encode(place: str, entry: dict[str, Any], image: Image) -> RunLengths:
    # pycocotools reads past the end of damaged text, so the mask is decoded here and encoded anew.
    runs: RunLengths = coco_mask.encode(_draw(place, entry, image))
    return runs


def _take_finite(place: str, entry: dict[str, Any], key: str) -> float:
    value: Any = entry.get(key)
    # The comparison is false of not-a-number, and whole numbers may be too large for a float.
    if type(value) not in (int, float) or not abs(value) <= float_info.max:
        raise DatasetError(f"{place}: {key} is missing or not a finite number: give one")
    return float(value)
