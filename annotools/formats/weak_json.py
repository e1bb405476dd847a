"""Weak labels as entries of COCO-like JSON files: boxes, tags, points, scribbles, coarse regions.

Entries are plain dictionaries without an `id`: whoever writes the file numbers them.
"""

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import Any

from annotools.records import Box, Image, Outline, Point, Scribble, TaggedCrop

Entry = dict[str, Any]


def image_entry(image: Image) -> Entry:
    """Return an entry of `images`."""
    return {
        "id": image.image_id,
        "file_name": image.file_name,
        "width": image.width,
        "height": image.height,
    }


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


def point_entries(image: Image, points: Iterable[Point], groups: Collection[int]) -> list[Entry]:
    """Return one entry a click, with column `x` and row `y`.

    Args:
        image: the image.
        points: its clicks.
        groups: segment ids that are groups.
    """
    return [_segment_entry(image, point, groups) | {"x": point.x, "y": point.y} for point in points]


def scribble_entries(
    image: Image, scribbles: Iterable[Scribble], groups: Collection[int]
) -> list[Entry]:
    """Return one entry a stroke, with its `polyline` as a list of [x, y] in pixels.

    Args:
        image: the image.
        scribbles: its strokes.
        groups: segment ids that are groups.
    """
    return [
        _segment_entry(image, scribble, groups)
        | {"polyline": [[x, y] for x, y in scribble.points_xy]}
        for scribble in scribbles
    ]


def outline_entries(
    image: Image, outlines: Iterable[Outline], groups: Collection[int]
) -> list[Entry]:
    """Return one entry a coarse region, with its `polygons`, each a list of [x, y] in pixels.

    Args:
        image: the image.
        outlines: its coarse regions.
        groups: segment ids that are groups.
    """
    return [
        _segment_entry(image, outline, groups)
        | {"polygons": [[[x, y] for x, y in polygon] for polygon in outline.polygons_xy]}
        for outline in outlines
    ]


def name_without_suffix(file_name: str) -> str:
    """Return an image's relative name with its folders and without its last suffix.

    What a file gets as name from it still needs a suffix of its own, so it is never `.` or `..`.
    """
    path = PurePosixPath(file_name)
    return str(path)[: len(str(path)) - len(path.suffix)]


def _segment_entry(
    image: Image, mark: Point | Scribble | Outline, groups: Collection[int]
) -> Entry:
    return {
        "image_id": image.image_id,
        "category_id": mark.category_id,
        "segment_id": mark.segment_id,
        "iscrowd": int(mark.segment_id in groups),
    }
