"""Look at a COCO file as it is: whatever is not an object where one belongs is passed over."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from annotools.formats.pictures import MAX_PIXELS


@dataclass(frozen=True, kw_only=True)
class CocoObject:
    """An entry that describes one object of an image, which may have no usable id (None)."""

    place: str
    image_id: int | str | None
    entry: dict[str, Any]

    @property
    def box_xyxy(self) -> tuple[float, float, float, float] | None:
        """The entry's `bbox`, None where that is not four numbers that fit an image."""
        values = self.entry.get("bbox")
        if not isinstance(values, list) or len(values) != 4:
            return None
        for value in values:
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            # False of not-a-number as well; larger whole numbers may not fit a float.
            if not (is_number and abs(value) <= MAX_PIXELS):
                return None
        x, y, width, height = map(float, values)
        return x, y, x + width, y + height


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """The content of the file at `path` that describes a split."""

    path: Path
    split: str
    content: dict[str, Any]

    def list_entries(self, key: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the objects of a list, each after its place; none where there is no list."""
        return list_objects(f"{self.path}: {key}", self.content.get(key))

    @cached_property
    def size_of(self) -> dict[int | str | None, tuple[int, int]]:
        """Width and height in pixels by image id, of images that have an id and a possible size."""
        sizes: dict[int | str | None, tuple[int, int]] = {}
        for _, entry in self.list_entries("images"):
            image_id = image_id_of(entry, "id")
            width, height = whole_number(entry.get("width")), whole_number(entry.get("height"))
            if image_id is None or width is None or height is None:
                continue
            if is_possible_size(width, height):
                sizes[image_id] = (width, height)
        return sizes

    @cached_property
    def objects(self) -> list[CocoObject]:
        """The annotations of an instances file, the segments of a panoptic one."""
        objects = []
        for place, entry in self.list_entries("annotations"):
            image_id = image_id_of(entry, "image_id")
            described = [(place, entry)]
            if "segments_info" in entry:
                described = list_objects(f"{place}: segments_info", entry["segments_info"])
            objects += [CocoObject(place=p, image_id=image_id, entry=e) for p, e in described]
        return objects


def list_objects(place: str, listed: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the JSON objects in a list, each after its place; none where it is no list."""
    if not isinstance(listed, list):
        return []
    return [(f"{place}[{i}]", x) for i, x in enumerate(listed) if isinstance(x, dict)]


def whole_number(value: Any) -> int | None:
    """Return a value that is a whole number, None for any other."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def image_id_of(entry: dict[str, Any], key: str) -> int | str | None:
    """Return an image's id, a number or a text, None where it is missing or something else."""
    value = entry.get(key)
    return value if isinstance(value, str) else whole_number(value)


def text_of(entry: dict[str, Any], key: str) -> str | None:
    """Return a value that is a text, None where it is missing or something else."""
    value = entry.get(key)
    return value if isinstance(value, str) else None


def is_possible_size(width: int, height: int) -> bool:
    """Tell whether a picture may have this size in pixels."""
    return min(width, height) > 0 and width * height <= MAX_PIXELS
