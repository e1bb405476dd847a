"""Read COCO detection files: one JSON of masks or boxes for a split, and its folder of photos.

`ROOT/annotations/instances_SPLIT.json` holds masks, as polygons or run lengths (compressed or not),
or boxes alone, as annotation tools export rectangles; `ROOT/SPLIT/` holds the photos, and may be
absent where labels alone are wanted. What no annotation covers is background.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import Category, CategorySet, distinct_colour
from annotools.errors import DatasetError, name_place
from annotools.formats.coco_entries import (
    drop_without_photo,
    find_box,
    read_images,
    take_flag,
    take_image_id,
)
from annotools.formats.coco_masks import check_polygons, find_pixels
from annotools.formats.json_values import entries, read_json, refuse_gaps, take
from annotools.formats.photos import read_photo
from annotools.formats.polygons import count_corners
from annotools.label_maps import build_label
from annotools.records import Box, Dataset, Drop, FullLabel, Image, WeakLabel


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An annotation, its mask not decoded; `number` is its place in the file's list.

    `segmentation` is an empty list where the annotation has no mask and may lack it; `bbox` is as
    the file has it.
    """

    number: int
    category_id: int
    segmentation: Any
    bbox: Any
    is_crowd: bool


@dataclass(frozen=True, kw_only=True)
class _Annotations:
    """The annotations of a file by image id, in the file's order."""

    path: Path
    background_id: int
    of_image: Mapping[int | str, tuple[Instance, ...]]


def read(root: Path, split: str, allow_missing: bool = False) -> Dataset:
    """Return the dataset of a split; masks and photos are decoded when asked for.

    Class index 0 is an added stuff category `background` (category id 0, or the smallest that is
    free); the file's categories follow by id, as things. Images come by id; those without
    annotations are all background.

    Segments of a label are numbered 1..N as the image's N annotations come in the file, and N + 1
    is the background. A pixel of several annotations goes to one that is not a crowd before a
    crowd, then to the one with the smaller mask, then to the one that comes first; an annotation
    that is left without pixels has no segment and is among the label's drops. A crowd is a group.

    Where annotations have boxes and none has a mask, the dataset has `read_weak`, with boxes in
    whole pixels as `find_box` has it.

    Args:
        root: the dataset's folder.
        split: names the annotation file and the photo folder; without the folder images have no
            path.
        allow_missing: leave out images whose photo is missing, and annotations without a mask or,
            in a file of boxes, without a possible box, and list them as drops.

    Raises:
        DatasetError: for an annotation file that is missing, is not JSON, lacks a key or
            contradicts itself, and, unless allowed, for a photo that is missing from its folder
            or, in a file of boxes, an impossible box. `read_label` raises it for an impossible
            mask, and always in a file of boxes; `read_photo` for a photo that is damaged or of
            another size than the file says.
    """
    path = root / "annotations" / f"instances_{split}.json"
    content = read_json(path, others="instances_*.json")
    categories = read_thing_categories(path, content)
    images = read_images(path, content, photo_folder=root / split)
    assert categories.background_id is not None
    listed = list(entries(path, content, "annotations"))
    has_boxes_alone = holds_boxes_alone([entry for _, entry in listed])
    annotations = _Annotations(
        path=path,
        background_id=categories.background_id,
        of_image=group_instances(
            listed, categories, images, may_lack_mask=allow_missing or has_boxes_alone
        ),
    )
    kept, drops = drop_without_photo(images)
    refuse_gaps(drops, allow_missing)
    dataset = Dataset(
        name="coco-instances",
        split=split,
        categories=categories,
        images=kept,
        read_label=partial(_read_label, annotations),
        read_photo=read_photo,
        count_vertices=partial(_count_vertices, annotations),
        drops=drops,
        source_files=(path,),
        notes=(
            "pixels outside all annotations are background",
            "where annotations overlap, the smaller mask is kept, and crowds give way",
        ),
    )
    if not has_boxes_alone:
        return dataset
    # All boxes are looked at here, so that an impossible one is reported before any work.
    weak_label_of = find_boxes(path, annotations.of_image, images, allow_missing=allow_missing)
    return replace(
        dataset,
        read_label=partial(_refuse_masks, path),
        read_weak=partial(_read_boxes, weak_label_of),
        count_vertices=None,
        notes=("there are boxes and no masks", "sides of boxes are rounded to whole pixels"),
    )


def holds_boxes_alone(annotations: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether there is an annotation and none has a mask, as tools export rectangles."""
    return len(annotations) > 0 and all(
        entry.get("segmentation") is None or entry["segmentation"] == [] for entry in annotations
    )


def read_thing_categories(path: Path, content: Any) -> CategorySet:
    """Return the list `categories` of a file as things, by id, after an added background.

    Raises:
        DatasetError: when the list is missing or contradicts itself.
    """
    names = {}
    for place, entry in entries(path, content, "categories"):
        category_id = take(place, entry, "id", int)
        if category_id in names:
            raise DatasetError(f"{place}: id {category_id} is given twice: use another")
        names[category_id] = take(place, entry, "name", str)
    background_id = next(number for number in itertools.count() if number not in names)
    rows = [(background_id, "background", (0, 0, 0))]
    rows += [(i, names[i], distinct_colour(n)) for n, i in enumerate(sorted(names))]
    categories = tuple(
        Category(category_id=i, name=name, is_thing=i != background_id, colour=colour)
        for i, name, colour in rows
    )
    try:
        # The background that was added may be what makes the set too large.
        return CategorySet(categories=categories, background_id=background_id)
    except DatasetError as error:
        raise DatasetError(f"{path}: with the background, {error}") from error


def group_instances(
    listed: Sequence[tuple[str, dict[str, Any]]],
    categories: CategorySet,
    images: tuple[Image, ...],
    *,
    may_lack_mask: bool,
) -> dict[int | str, tuple[Instance, ...]]:
    """Return the annotations of each image by its id, in the file's order.

    Args:
        listed: the objects of the list, each after its place for messages.
        categories: whose things the annotations are of.
        images: of the file.
        may_lack_mask: whether an annotation without a mask is no error.

    Raises:
        DatasetError: for an unknown image or category, or a mask that is missing.
    """
    image_ids = {image.image_id for image in images}
    thing_ids = {category.category_id for category in categories.categories if category.is_thing}
    of_image: defaultdict[int | str, list[Instance]] = defaultdict(list)
    for number, (place, entry) in enumerate(listed):
        image_id = take_image_id(place, entry, "image_id")
        category_id = take(place, entry, "category_id", int)
        if image_id not in image_ids:
            raise DatasetError(f"{place}: image_id {image_id!r} is not in images: drop it")
        if category_id not in thing_ids:
            raise DatasetError(f"{place}: category_id {category_id} is not in categories: drop it")
        is_crowd = take_flag(place, entry, "iscrowd", default=False)
        # Exporters write null as well as an empty list for no mask.
        segmentation = entry.get("segmentation", [])
        if segmentation is None and may_lack_mask:
            segmentation = []
        if segmentation == [] and not may_lack_mask:
            raise DatasetError(f"{place}: segmentation is missing: add it, a box is no mask")
        of_image[image_id].append(
            Instance(
                # Messages name an annotation by its place: its id may be missing or repeated.
                number=number,
                category_id=category_id,
                segmentation=segmentation,
                bbox=entry.get("bbox"),
                is_crowd=is_crowd,
            )
        )
    return {image_id: tuple(instances) for image_id, instances in of_image.items()}


def find_boxes(
    path: Path,
    instances_of: Mapping[int | str, Sequence[Instance]],
    images: Iterable[Image],
    *,
    allow_missing: bool,
) -> dict[int | str, WeakLabel]:
    """Return the boxes of each image by its id, whether there are masks or not.

    Args:
        path: of the file, for messages.
        instances_of: what `group_instances` gives.
        images: of the file.
        allow_missing: make impossible boxes drops of their image.

    Raises:
        DatasetError: for an impossible box, unless allowed.
    """
    weak_label_of = {}
    for image in images:
        boxes, drops = [], []
        for instance in instances_of.get(image.image_id, ()):
            place = f"{path}: annotations[{instance.number}]"
            try:
                box_xyxy = find_box(instance.bbox, image.size_wh)
            except DatasetError as error:
                if not allow_missing:
                    raise DatasetError(f"{place}: {error}, or allow missing ones") from error
                drops.append(Drop(place=place, reason=str(error)))
                continue
            box = Box(
                category_id=instance.category_id, box_xyxy=box_xyxy, is_group=instance.is_crowd
            )
            boxes.append(box)
        weak_label_of[image.image_id] = WeakLabel(
            image_id=image.image_id, boxes=tuple(boxes), has_boxes=True, drops=tuple(drops)
        )
    return weak_label_of


def _read_boxes(weak_label_of: Mapping[int | str, WeakLabel], image: Image) -> WeakLabel:
    return weak_label_of[image.image_id]


def _refuse_masks(path: Path, image: Image) -> FullLabel:
    raise DatasetError(
        f"{path}: image {image.image_id!r} has boxes and no masks: ask for boxes or tags, or draw "
        "the masks"
    )


def _read_label(annotations: _Annotations, image: Image) -> FullLabel:
    instances = annotations.of_image.get(image.image_id, ())
    pixels_of = [_decode(annotations.path, instance, image) for instance in instances]
    background = len(instances) + 1
    # COCO's run lengths go down the columns, so the map is painted that way and turned once.
    column_major = np.full(image.width * image.height, background, dtype=np.int32)
    # The last painted is on top, so this goes from the weakest claim on a pixel to the strongest.
    claims = sorted((x.is_crowd, len(pixels_of[i]), i) for i, x in enumerate(instances))
    for _, _, i in reversed(claims):
        column_major[pixels_of[i]] = i + 1
    # Several times as fast as a copy of NumPy's transposed view.
    turned = cv2.transpose(column_major.reshape(image.width, image.height))
    label = build_label(
        image.image_id,
        np.asarray(turned, dtype=np.int32),
        category_of={i: x.category_id for i, x in enumerate(instances, start=1)}
        | {background: annotations.background_id},
        groups=[i for i, x in enumerate(instances, start=1) if x.is_crowd],
    )
    visible = {segment.segment_id for segment in label.segments}
    drops = tuple(
        Drop(
            place=f"{annotations.path}: annotations[{x.number}]",
            reason="other objects cover it" if len(pixels_of[i]) else "its mask has no pixel",
        )
        for i, x in enumerate(instances)
        if i + 1 not in visible
    )
    return replace(label, drops=drops)


def _count_vertices(annotations: _Annotations, image: Image) -> int | None:
    """Return the corners of an image's polygons, also where other objects cover them.

    None where an annotation is not made of polygons, as crowds are not: it was drawn as well, and
    a count without it would be too low.
    """
    instances = annotations.of_image.get(image.image_id, ())
    if not all(x.segmentation and isinstance(x.segmentation, list) for x in instances):
        return None
    return sum(_count_corners(annotations.path, x, image) for x in instances)


def _count_corners(path: Path, instance: Instance, image: Image) -> int:
    polygons = instance.segmentation
    with name_place(f"{path}: annotations[{instance.number}]"):
        check_polygons(polygons, image.height, image.width)
    return sum(count_corners(list(zip(p[::2], p[1::2], strict=True))) for p in polygons)


def _decode(path: Path, instance: Instance, image: Image) -> NDArray[np.int64]:
    if instance.segmentation == []:
        return np.zeros(0, dtype=np.int64)
    with name_place(f"{path}: annotations[{instance.number}]"):
        return find_pixels(instance.segmentation, image.height, image.width)
