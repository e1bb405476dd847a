"""Look at a COCO file as it is: whatever is not an object where one belongs is passed over."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from annotools.formats.pictures import MAX_PIXELS, is_possible_size

ID_TYPES = (int, str)
"""An image has a number or a text as its id."""

NUMBERS = (int, float)
"""What JSON has as numbers; `isinstance` would take true and false for some."""

Look = Callable[[int | str | None], None]
"""Looks at the label of the image with an id."""

FloatBox = tuple[float, float, float, float]
"""Half-open box (x0, y0, x1, y1) in pixels, as a file has it, fractions included."""


@dataclass(frozen=True, kw_only=True)
class CocoObject:
    """An entry that describes one object of an image, which may have no usable id (None).

    Of an object that `has_mask` the readers measure box and area, and do not use the entry's.
    """

    place: str
    image_id: int | str | None
    entry: dict[str, Any]
    has_mask: bool

    @property
    def box_xyxy(self) -> FloatBox | None:
        """The entry's `bbox`, None where that is not four numbers that fit an image."""
        values = self.entry.get("bbox")
        if not isinstance(values, list) or len(values) != 4:
            return None
        for value in values:
            # False of not-a-number as well; larger whole numbers may not fit a float.
            if type(value) not in NUMBERS or not abs(value) <= MAX_PIXELS:
                return None
        x, y, width, height = map(float, values)
        return x, y, x + width, y + height


@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """The content of the file at `path` that describes a split, in COCO's own form.

    Of a panoptic file `png_folders` are where its PNGs may be. `turned` are the sizes that the
    reader gives images instead of those that the file has, by image id. `look` is called with the
    id of an image that has objects, while its masks are at hand.
    """

    path: Path
    split: str
    content: dict[str, Any]
    png_folders: tuple[Path, ...]
    turned: Mapping[int | str | None, tuple[int, int]]
    look: Look

    @cached_property
    def _listed(self) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        keys = ("images", "annotations", "categories")
        return {key: list_objects(f"{self.path}: {key}", self.content.get(key)) for key in keys}

    def list_entries(self, key: str) -> list[tuple[str, dict[str, Any]]]:
        """Return the objects of one of COCO's three lists, each after its place.

        There are none where there is no list.
        """
        return self._listed[key]

    def list_values(self, list_key: str, key: str, *kinds: type) -> list[tuple[str, Any]]:
        """Return a value of each object of a list, as `value_of` has it, after its place."""
        return [
            # `value_of` itself would be called for every entry of a long list.
            (place, value if type(value := entry.get(key)) in kinds else None)
            for place, entry in self.list_entries(list_key)
        ]

    @cached_property
    def size_of(self) -> dict[int | str | None, tuple[int, int]]:
        """Width and height in pixels by image id, as the reader has them."""
        sizes = dict(self.listed_size_of)
        sizes.update(self.turned)
        return sizes

    @cached_property
    def listed_size_of(self) -> dict[int | str | None, tuple[int, int]]:
        """Width and height in pixels by image id, of images that have an id and a possible size."""
        sizes: dict[int | str | None, tuple[int, int]] = {}
        for _, entry in self.list_entries("images"):
            image_id = value_of(entry, "id", *ID_TYPES)
            width, height = (value_of(entry, key, int) for key in ("width", "height"))
            if None not in (image_id, width, height) and is_possible_size(width, height):
                sizes[image_id] = (width, height)
        return sizes

    @cached_property
    def objects(self) -> list[CocoObject]:
        """The annotations of an instances file, the segments of a panoptic one."""
        objects = []
        for place, entry in self.list_entries("annotations"):
            image_id = value_of(entry, "image_id", *ID_TYPES)
            described = [(place, entry)]
            has_mask = entry.get("segmentation") not in (None, [])
            if "segments_info" in entry:
                described = list_objects(f"{place}: segments_info", entry["segments_info"])
                has_mask = True
            objects += [
                CocoObject(place=p, image_id=image_id, entry=e, has_mask=has_mask)
                for p, e in described
            ]
        return objects


def list_objects(place: str, listed: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the JSON objects in a list, each after its place; none where it is no list."""
    if not isinstance(listed, list):
        return []
    return [(f"{place}[{i}]", x) for i, x in enumerate(listed) if isinstance(x, dict)]


def value_of(entry: dict[str, Any], key: str, *kinds: type) -> Any:
    """Return a value that is of one of these types, None where it is missing or something else."""
    # `isinstance` would take true for the number 1, because bool is a subclass of int.
    value = entry.get(key)
    return value if type(value) in kinds else None
