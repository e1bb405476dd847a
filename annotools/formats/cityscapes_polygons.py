"""Read the polygons of Cityscapes: `NAME_gtFine_polygons.json`, the objects of an image."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw

from annotools.category_tables.cityscapes import LABEL_NAMES, LABELS_WITH_INSTANCES
from annotools.errors import DatasetError
from annotools.formats.coco_entries import take_size
from annotools.formats.json_values import entries, read_json, take
from annotools.formats.polygons import is_near_image
from annotools.records import BoxXYXY, Image

INSTANCES = 1000
"""Instance n of a label has the value `label id * 1000 + n`; values below 1000 are label ids."""

_LABEL_IDS_BY_NAME = {name: label_id for label_id, name in LABEL_NAMES.items()}


def read_polygon_size(path: Path) -> tuple[int, int]:
    """Return the width and height in pixels of the image that the polygons lie on.

    Raises:
        DatasetError: when they are missing or impossible, or the file cannot be read.
    """
    return _size_of(path, read_json(path, others="*_polygons.json"))


def read_objects(
    image: Image, path: Path
) -> Iterator[tuple[str, int, bool, list[tuple[float, float]]]]:
    """Yield place, label id, whether it is a group, and polygon of each object that is drawn.

    Deleted objects and labels with a negative id are not.

    Raises:
        DatasetError: when the file cannot be read, is of another size than the image, or has an
            unknown label or an impossible polygon.
    """
    content = read_json(path, others="*.json")
    if _size_of(path, content) != image.size_wh:
        raise DatasetError(f"{path}: is not of the size {image.width} x {image.height}: correct it")
    for place, entry in entries(path, content, "objects"):
        label_id, is_group = _find_label(place, take(place, entry, "label", str))
        if not entry.get("deleted") and label_id >= 0:
            yield place, label_id, is_group, _take_polygon(place, entry, image)


@dataclass(frozen=True, kw_only=True)
class DrawnObject:
    """A polygon and the value that the official tools draw it with; `place` is in its file."""

    place: str
    value: int
    label_id: int
    points: Sequence[tuple[float, float]]


def number_objects(image: Image, path: Path) -> Iterator[DrawnObject]:
    """Yield the objects with the values that cityscapesScripts' json2instanceImg gives them.

    Instances are numbered in the file's order. From the 1000th instance of a label on, which there
    runs into the next label's values, they have values of their own.

    Raises:
        DatasetError: as `read_objects`.
    """
    numbers: defaultdict[int, Iterator[int]] = defaultdict(itertools.count)
    spare = itertools.count((max(LABEL_NAMES) + 1) * INSTANCES)
    for place, label_id, is_group, points in read_objects(image, path):
        value = label_id
        if label_id in LABELS_WITH_INSTANCES and not is_group:
            number = next(numbers[label_id])
            value = label_id * INSTANCES + number if number < INSTANCES else next(spare)
        yield DrawnObject(place=place, value=value, label_id=label_id, points=points)


def box_around(drawn: Sequence[DrawnObject], size_wh: tuple[int, int]) -> BoxXYXY | None:
    """Return the box of all pixels of some polygons, as Pillow draws them, None without any.

    Args:
        drawn: the polygons of one object or group.
        size_wh: width and height of the image in pixels, where the box ends.
    """
    points = np.array([point for one in drawn for point in one.points])  # (P, 2)
    # Only the part of the image that the polygons need is drawn.
    left, top = np.floor(points.min(axis=0)).astype(int).clip(0, size_wh).tolist()
    right, bottom = (np.floor(points.max(axis=0)).astype(int) + 1).clip(0, size_wh).tolist()
    if left >= right or top >= bottom:
        return None
    canvas = Picture.new("1", (right - left, bottom - top))
    drawer = ImageDraw.Draw(canvas)
    for one in drawn:
        drawer.polygon([(x - left, y - top) for x, y in one.points], fill=1)
    filled = canvas.getbbox()
    if filled is None:
        return None
    x0, y0, x1, y1 = filled
    return x0 + left, y0 + top, x1 + left, y1 + top


def _size_of(path: Path, content: Any) -> tuple[int, int]:
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: is not an object: correct the file")
    return take_size(str(path), content, "imgWidth", "imgHeight")


def _find_label(place: str, name: str) -> tuple[int, bool]:
    """Return the label id of a name, and whether it is a group's: a label's with `group` behind."""
    # The whole name comes first: `polegroup` is a label of its own and no group of poles.
    if name in _LABEL_IDS_BY_NAME:
        return _LABEL_IDS_BY_NAME[name], False
    single = name.removesuffix("group")
    if single not in _LABEL_IDS_BY_NAME:
        raise DatasetError(f"{place}: label {name!r} is none of Cityscapes: correct it")
    return _LABEL_IDS_BY_NAME[single], True


def _take_polygon(place: str, entry: dict[str, Any], image: Image) -> list[tuple[float, float]]:
    polygon = entry.get("polygon")
    if not isinstance(polygon, list) or len(polygon) < 2:
        raise DatasetError(f"{place}: polygon is missing or not a list of points: correct it")
    for point in polygon:
        if not isinstance(point, list) or len(point) != 2:
            raise DatasetError(f"{place}: polygon has the point {point!r}, not x and y: correct it")
    for values, size in zip(zip(*polygon, strict=True), image.size_wh, strict=True):
        # Of numbers, the ends show whether all are near; the sum shows one that is none.
        are_numbers = set(map(type, values)) <= {int, float} and sum(values) == sum(values)
        suspects = (min(values), max(values)) if are_numbers else values
        for value in suspects:
            if not is_near_image(value, size):
                raise DatasetError(
                    f"{place}: polygon has the coordinate {value!r}, not one near the image: "
                    "correct it"
                )
    return [(x, y) for x, y in polygon]
