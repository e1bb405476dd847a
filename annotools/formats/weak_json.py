"""Write weak labels as COCO-like JSON: boxes, tags, points, scribbles, coarse regions.

Entries are plain dictionaries without an `id`: whoever writes the file numbers them.
"""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from annotools.files import JsonList, compact_json, write_json_lists
from annotools.formats.coco_entries import image_entry
from annotools.formats.coco_panoptic import category_entries
from annotools.records import (
    Box,
    Dataset,
    Image,
    Mark,
    Point,
    Scribble,
    TaggedCrop,
)

Entry = dict[str, Any]

BOXES_FILE = "boxes.json"

PARTS = {
    "boxes": (
        "Tight boxes of things, as COCO has them. The area is that of the box, for masks are not "
        "known; iscrowd marks a box around instances that are not told apart."
    ),
    "tags": (
        "Categories present in fixed crops, things and stuff alike; a category that a crop does "
        "not list has no pixel in it."
    ),
    "points": "One click inside each segment: column x, row y, in pixels.",
    "scribbles": "One stroke inside each segment: a polyline of [x, y] in pixels.",
    "coarse": "Coarse masks inside segments: polygons of [x, y] in pixels, border included.",
}
"""What can be in a file of weak labels, in words."""

ALL_CATEGORIES = "all_categories"
"""Key of the complete list of categories; `categories` has those that the file can label."""


def open_weak_list(
    folder: Path, part: str, dataset: Dataset, images: Iterable[Image]
) -> AbstractContextManager[JsonList]:
    """Open the file `PART.json` for its entries; it appears when the block ends.

    Args:
        folder: of the file.
        part: one of `PARTS`.
        dataset: whose categories are listed: all, and those that the part can have.
        images: those that were labelled, also those without an entry.

    Raises:
        OSError: when the file cannot be written.
    """
    every = category_entries(dataset.categories)
    possible = every
    if part == "boxes":
        possible = [entry for entry in every if entry["isthing"]]
    if part == "tags":
        background_id = dataset.categories.background_id
        possible = [entry for entry in every if entry["id"] != background_id]
    return write_json_lists(
        folder / f"{part}.json",
        head={"info": {"description": PARTS[part], "format": dataset.name}},
        lists={
            "categories": possible,
            ALL_CATEGORIES: every,
            "images": map(image_entry, images),
        },
        last="crops" if part == "tags" else "annotations",
    )


def write_boxes(
    folder: Path, dataset: Dataset, boxed: Iterable[tuple[Image, Iterable[Box]]]
) -> None:
    """Write the boxes of images as COCO detection; an image without a box is listed too.

    Raises:
        OSError: when the file cannot be written.
    """
    pairs = list(boxed)
    with open_weak_list(folder, "boxes", dataset, (image for image, _ in pairs)) as annotations:
        for image, boxes in pairs:
            for entry in box_entries(image, boxes):
                annotations.add_numbered(compact_json(entry))


def box_entries(image: Image, boxes: Iterable[Box]) -> list[Entry]:
    """Return COCO annotations: `bbox` is x, y, width, height in pixels, a group is `iscrowd`.

    `area` is that of the box: whoever draws boxes does not know the mask.
    """
    entries = []
    for box in boxes:
        x0, y0, x1, y1 = box.box_xyxy
        entries.append(
            {
                "image_id": image.image_id,
                "category_id": box.category_id,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": int(box.is_group),
            }
        )
    return entries


def crop_entries(image: Image, crops: Iterable[TaggedCrop]) -> list[Entry]:
    """Return one entry a tagged crop: its place and size in pixels, the categories in it."""
    entries = []
    for crop in crops:
        x0, y0, x1, y1 = crop.box_xyxy
        entries.append(
            {
                "image_id": image.image_id,
                "x": x0,
                "y": y0,
                "width": x1 - x0,
                "height": y1 - y0,
                "category_ids": list(crop.category_ids),
            }
        )
    return entries


def mark_entries(image: Image, marks: Iterable[Mark], groups: Collection[int]) -> list[Entry]:
    """Return one entry a mark, with the segment that it is on.

    A click has column `x` and row `y`, a stroke its `polyline`, a list of [x, y] in pixels, and a
    coarse region its `polygons`, each such a list.

    Args:
        image: the image.
        marks: its clicks, strokes or coarse regions.
        groups: segment ids that are groups.
    """
    return [
        {
            "image_id": image.image_id,
            "category_id": mark.category_id,
            "segment_id": mark.segment_id,
            "iscrowd": int(mark.segment_id in groups),
            **_place_of(mark),
        }
        for mark in marks
    ]


def _place_of(mark: Mark) -> Entry:
    if isinstance(mark, Point):
        return {"x": mark.x, "y": mark.y}
    if isinstance(mark, Scribble):
        return {"polyline": [[x, y] for x, y in mark.points_xy]}
    return {"polygons": [[[x, y] for x, y in polygon] for polygon in mark.polygons_xy]}
