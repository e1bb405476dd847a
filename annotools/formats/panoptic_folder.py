"""A label set is a folder of COCO panoptic files: full labels, pseudo-labels or predictions.

A folder has `panoptic.json`, `panoptic/NAME.png` and, from whoever wrote it, `manifest.json`. What
nobody knows is void; a thing region whose instances nobody knows is a group. Class and instance
maps become segments and come back as they were.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.errors import DatasetError
from annotools.files import JsonList, compact_json, write_json_lists, write_whole
from annotools.formats.coco_entries import image_entry
from annotools.formats.coco_panoptic import category_entries, panoptic_entry
from annotools.formats.json_values import check_inside
from annotools.formats.panoptic_png import decode_segment_map, encode_segment_map
from annotools.formats.weak_json import Entry
from annotools.label_maps import build_label, class_map, instance_map
from annotools.records import VOID, FullLabel, Image, SegmentMap

LABELS_FILE = "panoptic.json"

_NUM_CODES = IGNORE_INDEX + 1
_MAX_INSTANCES = 2**16 - 1


def label_files(name: str, *, with_maps: bool = False) -> list[str]:
    """Return the files of an image in a label set: its PNG and, if asked, those of its maps."""
    folders = ("panoptic", "semantic", "instances") if with_maps else ("panoptic",)
    return [f"{folder}/{name}.png" for folder in folders]


def name_images(images: Sequence[Image], folder: Path) -> list[str]:
    """Return the name that the files of each image get: its own without the suffix.

    Where that would give two images one name, all keep their suffix. Files get a suffix of their
    own behind the name, so that none is called `.` or `..`.

    Args:
        images: of one folder.
        folder: named in messages.

    Raises:
        DatasetError: when a name leaves the folder or cannot be that of a file, or two images have
            the same.
    """
    for image in images:
        _check_name(image, folder)
    paths = [PurePosixPath(image.file_name) for image in images]
    names = [str(path).removesuffix(path.suffix) for path in paths]
    if len(set(names)) == len(names):
        return names
    # Paths are compared and not texts, because `a//b` and `a/b` are the same file.
    seen: set[PurePosixPath] = set()
    for image, path in zip(images, paths, strict=True):
        if path in seen:
            raise DatasetError(
                f"image {image.image_id}: another image has the file name {image.file_name!r} "
                "too: give each its own"
            )
        seen.add(path)
    return list(map(str, paths))


def join_maps(classes: NDArray[np.uint8], instances: NDArray[np.int32]) -> SegmentMap:
    """Return a segment map with a segment for each class and instance number that occur together.

    Args:
        classes: (H, W) class indices, `IGNORE_INDEX` where unknown, which becomes void.
        instances: (H, W) instance numbers, 0 where there is none.

    Raises:
        DatasetError: for more instances than the ids of a panoptic PNG can number.
    """
    _check_count(instances)
    # Ids are one more than the pair's number, because 0 is void; the largest is below 2**24.
    segment_map: SegmentMap = instances.astype(np.int32) * _NUM_CODES + classes + 1
    segment_map[classes == IGNORE_INDEX] = VOID
    return segment_map


def part_maps(segment_map: SegmentMap) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the class map and the instance map that `join_maps` was given, instance 0 on void."""
    instances, classes = np.divmod(segment_map - 1, _NUM_CODES)
    is_void = segment_map == VOID
    classes[is_void], instances[is_void] = IGNORE_INDEX, 0
    return classes.astype(np.uint8), instances


def label_from_maps(
    image_id: int | str,
    classes: NDArray[np.uint8],
    instances: NDArray[np.int32],
    categories: CategorySet,
) -> FullLabel:
    """Return class and instance map as segments; a thing without an instance number is a group.

    Raises:
        DatasetError: for more instances than the ids of a panoptic PNG can number.
    """
    segment_map = join_maps(classes, instances)
    category_of, groups = {}, []
    for segment_id in np.unique(segment_map[segment_map != VOID]).tolist():
        instance, class_index = divmod(segment_id - 1, _NUM_CODES)
        category = categories.categories[class_index]
        category_of[segment_id] = category.category_id
        if category.is_thing and instance == 0:
            groups.append(segment_id)
    return build_label(image_id, segment_map, category_of, groups)


def write_label(
    folder: Path,
    name: str,
    image: Image,
    label: FullLabel,
    scores: Mapping[int, float] | None = None,
) -> Entry:
    """Write the PNG of an image and return its entry in `panoptic.json`.

    The mark of the image brings it to disk, as it does with the maps of `write_maps`.

    Args:
        folder: of the label set.
        name: of the image's files.
        image: the image.
        label: its label.
        scores: of each segment in [0, 1] by segment id, for a prediction.

    Raises:
        OSError: when the file cannot be written.
    """
    png = encode_segment_map(label.segment_map)
    write_whole(folder / label_files(name)[0], png, flush=False)
    entry = panoptic_entry(label, image, f"{name}.png")
    if scores is not None:
        for segment, info in zip(label.segments, entry["segments_info"], strict=True):
            info["score"] = scores[segment.segment_id]
    return entry


def write_maps(folder: Path, name: str, label: FullLabel, categories: CategorySet) -> None:
    """Write the label's maps for other trainers: 8-bit class indices, 16-bit instance numbers.

    The class is `IGNORE_INDEX` where unknown; instances count from 1, 0 where there is none.

    Raises:
        DatasetError: for more instances than 16 bits can number.
        OSError: when a file cannot be written.
    """
    numbers = instance_map(label, categories)
    _check_count(numbers)
    _, classes, instances = label_files(name, with_maps=True)
    write_map(folder / classes, class_map(label, categories))
    write_map(folder / instances, numbers.astype(np.uint16))


def _check_count(instances: NDArray[np.integer]) -> None:
    if instances.max(initial=0) > _MAX_INSTANCES:
        raise DatasetError(f"more than {_MAX_INSTANCES} instances in an image: they do not fit")


def write_map(path: Path, numbers: NDArray[np.integer]) -> None:
    """Write an (H, W) map of 8 or 16 bits as a grey PNG, which a mark brings to disk.

    Raises:
        OSError: when the file cannot be written.
    """
    _, content = cv2.imencode(".png", numbers)
    write_whole(path, content.tobytes(), flush=False)


def read_written(folder: Path, image: Image, entry: Entry) -> FullLabel:
    """Return the label that `write_label` wrote.

    Args:
        folder: of the label set.
        image: the image.
        entry: what `write_label` returned, from a mark that agrees with the PNG.
    """
    infos = entry["segments_info"]
    return build_label(
        image.image_id,
        decode_segment_map(folder / "panoptic" / entry["file_name"]),
        {info["id"]: info["category_id"] for info in infos},
        [info["id"] for info in infos if info["iscrowd"]],
    )


def open_label_list(
    folder: Path, categories: CategorySet, images: Iterable[Image]
) -> AbstractContextManager[JsonList]:
    """Open `panoptic.json` for the images' entries; it appears when the block ends.

    Raises:
        OSError: when the file cannot be written.
    """
    return write_json_lists(
        folder / LABELS_FILE,
        head={"info": {"description": "Panoptic labels, as COCO has them."}},
        lists={"categories": category_entries(categories), "images": map(image_entry, images)},
        last="annotations",
    )


def write_label_set(
    folder: Path, categories: CategorySet, labelled: Iterable[tuple[Image, Entry]]
) -> None:
    """Write the `panoptic.json` of PNGs that are there by now.

    Args:
        folder: of the label set.
        categories: of the labels.
        labelled: each image with what `write_label` returned.

    Raises:
        OSError: when the file cannot be written.
    """
    listed = list(labelled)
    with open_label_list(folder, categories, (image for image, _ in listed)) as annotations:
        for _, entry in listed:
            annotations.add(compact_json(entry))


def _check_name(image: Image, folder: Path) -> None:
    place = f"image {image.image_id}"
    check_inside(place, image.file_name, folder)
    try:
        # JSON can hold halves of characters, and few of these can be in the name of a file.
        os.fsencode(image.file_name)
    except UnicodeEncodeError as error:
        raise DatasetError(
            f"{place}: file_name {image.file_name!r} is no possible name: correct it"
        ) from error
