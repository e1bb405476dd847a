"""Read the polygons of Cityscapes: `NAME_gtFine_polygons.json`, the objects of an image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotools.category_tables.cityscapes import LABEL_NAMES
from annotools.errors import DatasetError
from annotools.formats.coco_entries import take_size
from annotools.formats.json_values import entries, read_json, take
from annotools.formats.polygons import is_near_image
from annotools.records import Image

_LABEL_IDS_BY_NAME = {name: label_id for label_id, name in LABEL_NAMES.items()}


def read_polygon_size(path: Path) -> tuple[int, int]:
    """Return the width and height in pixels of the image that the polygons lie on.

    Raises:
        DatasetError: when they are missing or impossible, or the file cannot be read.
    """
    content = read_json(path, others="*_polygons.json")
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: is not an object: correct the file")
    return take_size(str(path), content, "imgWidth", "imgHeight")


def read_objects(
    image: Image, path: Path
) -> Iterator[tuple[str, int, bool, list[tuple[float, float]]]]:
    """Yield place, label id, whether it is a group, and polygon of each object that is drawn.

    Deleted objects and labels with a negative id are not.

    Raises:
        DatasetError: when the file cannot be read, is of another size than the image, or has an
            unknown label or an impossible polygon.
    """
    if read_polygon_size(path) != image.size_wh:
        raise DatasetError(f"{path}: is not of the size {image.width} x {image.height}: correct it")
    for place, entry in entries(path, read_json(path, others="*.json"), "objects"):
        label_id, is_group = _find_label(place, take(place, entry, "label", str))
        if not entry.get("deleted") and label_id >= 0:
            yield place, label_id, is_group, _take_polygon(place, entry, image)


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
        for value, size in zip(point, image.size_wh, strict=True):
            if not is_near_image(value, size):
                raise DatasetError(
                    f"{place}: polygon has the coordinate {value!r}, not one near the image: "
                    "correct it"
                )
    return [(x, y) for x, y in polygon]
