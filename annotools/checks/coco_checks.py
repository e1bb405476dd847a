"""Find what is wrong with a COCO file, without the readers, which stop at the first problem.

Instances and panoptic files share their lists of images and categories and the boxes of their
objects; what is each format's own is in `annotools.checks.coco_mask_checks`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from annotools.checks.coco_file import ID_TYPES, CocoFile, CocoObject, Look, value_of
from annotools.checks.coco_mask_checks import (
    check_masks,
    check_one_label_an_image,
    check_segments,
    find_repeated,
)
from annotools.checks.problems import Problem, error_at, problem_of, warning_at
from annotools.errors import DatasetError
from annotools.formats.coco_entries import reaches_out
from annotools.formats.coco_layout import CocoFiles, find_instances, find_panoptic
from annotools.formats.forms import read_coco
from annotools.formats.other_formats import refuse_other_format
from annotools.formats.photo_places import plain_name
from annotools.formats.pictures import is_possible_size

_CLIPPED = ": it is clipped"

_NEEDED: dict[str, dict[str, tuple[type, ...]]] = {
    "images": {"id": ID_TYPES, "file_name": (str,), "width": (int,), "height": (int,)},
    "categories": {"id": (int,), "name": (str,)},
    "annotations": {"image_id": ID_TYPES},
}
_OF_PHOTO = ("width", "height")
"""What readers take from a photo where a list lacks it, and refuse where there is no photo."""

_KIND_NAMES = {int: "whole number", str: "text"}


Sizes = Mapping[int | str | None, tuple[int, int]]
"""Width and height in pixels by image id."""


def check_instances(root: Path, split: str, turned: Sizes, look: Look) -> Iterator[Problem]:
    """Yield what is wrong with the list of a split with instances, photos aside.

    Args:
        root: the dataset's folder, or the list.
        split: names the list.
        turned: sizes that the reader gives images instead of those that the list has.
        look: as `CocoFile` has it.
    """
    checks = (*COMMON_CHECKS, _check_annotation_ids, check_masks)
    yield from _check(find_instances, root, split, turned, look, checks)


def check_panoptic(root: Path, split: str, turned: Sizes, look: Look) -> Iterator[Problem]:
    """Yield what is wrong with a panoptic JSON and its PNG files, as `check_instances` does."""
    checks = (*COMMON_CHECKS, check_one_label_an_image, check_segments)
    yield from _check(find_panoptic, root, split, turned, look, checks)


def _check(
    find: Callable[[Path, str], CocoFiles],
    root: Path,
    split: str,
    turned: Sizes,
    look: Look,
    checks: tuple[Callable[[CocoFile], Iterator[Problem]], ...],
) -> Iterator[Problem]:
    try:
        files = find(root, split)
        path = files.path
        content = read_coco(path, Counter())
        refuse_other_format(path, content)
    except DatasetError as error:
        yield problem_of(error, root)
        return
    if not isinstance(content, dict):
        yield error_at(path, "is not an object with lists: give a COCO file")
        return
    coco = CocoFile(
        path=path,
        split=split,
        content=content,
        png_folders=files.png_folders,
        turned=turned,
        look=look,
    )
    for check in checks:
        yield from check(coco)


def _check_lists(coco: CocoFile) -> Iterator[Problem]:
    for key, needed in _NEEDED.items():
        listed = coco.content.get(key)
        if not isinstance(listed, list):
            yield error_at(coco.path, f"{key} is missing or not a list: give a COCO file")
            continue
        for number, entry in enumerate(listed):
            # Most have all that is needed, and there are many.
            if isinstance(entry, dict) and all(
                type(entry.get(name)) in kinds for name, kinds in needed.items()
            ):
                continue
            place = f"{coco.path}: {key}[{number}]"
            if isinstance(entry, dict):
                yield from _check_values(place, entry, needed)
            else:
                yield error_at(place, "is not an object: give a COCO file")


def _check_values(
    place: str, entry: dict[str, Any], needed: dict[str, tuple[type, ...]]
) -> Iterator[Problem]:
    for key, kinds in needed.items():
        if key in _OF_PHOTO and entry.get(key) is None:
            yield warning_at(place, f"{key} is missing: it can only be that of the photo")
        elif value_of(entry, key, *kinds) is None:
            names = " or ".join(_KIND_NAMES[kind] for kind in kinds)
            yield error_at(place, f"{key} is missing or not a {names}: correct the file")


def _check_sizes(coco: CocoFile) -> Iterator[Problem]:
    for place, entry in coco.list_entries("images"):
        width, height = (value_of(entry, key, int) for key in ("width", "height"))
        # A width or height that is missing or no number is reported by `_check_lists`.
        if None not in (width, height) and not is_possible_size(width, height):
            yield error_at(place, f"size {width} x {height}: give the photo's own")


def _check_file_names(coco: CocoFile) -> Iterator[Problem]:
    names = coco.list_values("images", "file_name", str)
    for place, file_name in names:
        if file_name is not None and not plain_name(file_name):
            yield error_at(place, f"file_name {file_name!r} names no photo: correct it")
    yield from find_repeated(names, "file_name")


def _check_ids(coco: CocoFile) -> Iterator[Problem]:
    for list_key in ("images", "categories"):
        yield from find_repeated(coco.list_values(list_key, "id", *ID_TYPES), "id")


def _check_annotation_ids(coco: CocoFile) -> Iterator[Problem]:
    """Yield warnings of the ids of an instances file's annotations, which the readers do not use.

    Other tools look annotations up by them; those of a panoptic file have none.
    """
    listed = coco.list_values("annotations", "id", *ID_TYPES)
    yield from find_repeated(listed, "id", warning_at)
    for place, annotation_id in listed:
        if annotation_id is None:
            yield warning_at(place, "id is missing or neither number nor text: give each its own")


def _check_any_object(coco: CocoFile) -> Iterator[Problem]:
    is_listed = isinstance(coco.content.get("annotations"), list)
    if is_listed and coco.list_entries("images") and not coco.objects:
        yield warning_at(coco.path, "no image has an annotation: export the labels again")


def _check_category_names(coco: CocoFile) -> Iterator[Problem]:
    # The readers know categories by their ids; people, and files of boxes, know them by names.
    yield from find_repeated(coco.list_values("categories", "name", str), "name", warning_at)


def _check_references(coco: CocoFile) -> Iterator[Problem]:
    image_ids = {image_id for _, image_id in coco.list_values("images", "id", *ID_TYPES)}
    category_ids = {category_id for _, category_id in coco.list_values("categories", "id", int)}
    for place, image_id in coco.list_values("annotations", "image_id", *ID_TYPES):
        if image_id is not None and image_id not in image_ids:
            yield error_at(place, f"image_id {image_id!r} is not in images: drop it")
    # Of a panoptic file, the segments have categories and not the annotations: `_NEEDED` has none.
    for described in coco.objects:
        category_id = value_of(described.entry, "category_id", int)
        if category_id is None:
            yield error_at(described.place, "category_id is missing or not a whole number")
        elif category_id not in category_ids:
            yield error_at(described.place, f"unknown category {category_id}: not in categories")


def _check_boxes(coco: CocoFile) -> Iterator[Problem]:
    for described in coco.objects:
        # Readers measure boxes in masks; where there are none, `check_masks` asks for boxes.
        if "bbox" in described.entry:
            for message in _find_faults(described, coco.size_of.get(described.image_id)):
                # The readers measure boxes in masks, and clip those that reach out.
                is_taken = described.has_mask or message.endswith(_CLIPPED)
                yield (warning_at if is_taken else error_at)(described.place, message)


def _find_faults(described: CocoObject, size_wh: tuple[int, int] | None) -> Iterator[str]:
    """Yield what is wrong with an object's box; None is an unknown size of its image."""
    box_xyxy = described.box_xyxy
    if box_xyxy is None:
        yield "bbox is not four numbers x, y, width, height: repair it"
        return
    x0, y0, x1, y1 = box_xyxy
    shown = described.entry["bbox"]
    if x1 <= x0 or y1 <= y0:
        yield f"bbox {shown} has no area: give width and height"
    if size_wh is None:
        return
    width, height = size_wh
    if reaches_out([x0, y0, x1 - x0, y1 - y0], size_wh):
        yield f"bbox {shown} reaches out of its image of {width} x {height}{_CLIPPED}"


COMMON_CHECKS: tuple[Callable[[CocoFile], Iterator[Problem]], ...] = (
    _check_lists,
    _check_sizes,
    _check_file_names,
    _check_ids,
    _check_category_names,
    _check_references,
    _check_any_object,
    _check_boxes,
)
"""The checks of both instances and panoptic files."""
