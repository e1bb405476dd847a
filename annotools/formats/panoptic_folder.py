"""A folder of label maps, one image two PNGs, as `annotools pseudo-label` leaves it.

- `semantic/NAME.png`: 8 bits, class indices, `IGNORE_INDEX` where unknown;
- `instances/NAME.png`: 16 bits, instance numbers from 1 up, 0 on stuff and where unknown;
- `manifest.json`: the category of each class index under `classes`, the name and the label kind
  of each image under `labels`.

NAME is the image's own, with its folders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.errors import DatasetError
from annotools.files import write_whole
from annotools.formats.json_values import check_inside, entries, read_json, take
from annotools.formats.pictures import decode_map
from annotools.formats.weak_json import name_without_suffix
from annotools.label_maps import build_label
from annotools.records import VOID, FullLabel, Image

MANIFEST_FILE = "manifest.json"

_MAX_INSTANCES = 2**16 - 1


@dataclass(frozen=True, kw_only=True)
class LabelFolder:
    """A finished folder: `name_of` and `kind_of` are by image id.

    `category_ids` are in the order of the class indices.
    """

    root: Path
    category_ids: tuple[int, ...]
    name_of: Mapping[int | str, str]
    kind_of: Mapping[int | str, str]

    def check_categories(self, categories: CategorySet) -> None:
        """Make sure that the maps mean these categories.

        Raises:
            DatasetError: when they do not.
        """
        if self.category_ids != tuple(categories.class_index_of):
            raise DatasetError(
                f"{self.root}: its classes are not those of this dataset: give the dataset that "
                "the labels were made from"
            )

    def read_label(self, image: Image, categories: CategorySet) -> FullLabel:
        """Return the maps of an image as segments; things without an instance are groups.

        Raises:
            DatasetError: when the folder does not have the image, or another one with its id, or
                its maps cannot be read or are of another size.
        """
        name = self.name_of.get(image.image_id)
        if name is None:
            raise DatasetError(f"{self.root}: has no label of image {image.image_id}")
        if name not in _possible_names(image):
            raise DatasetError(
                f"{self.root}: its image {image.image_id} is {name}, not {image.file_name}: give "
                "the split that the labels were made from"
            )
        classes, instances = read_maps(self.root, name)
        if classes.shape != (image.height, image.width):
            raise DatasetError(
                f"{self.root / map_files(name)[0]}: is {classes.shape[1]} x {classes.shape[0]} "
                f"pixels, its image {image.width} x {image.height}: make it again"
            )
        return _segments_of(image.image_id, classes, instances, categories)


def name_images(images: Sequence[Image], folder: Path) -> list[str]:
    """Return the name that the maps of each image get: its own without the suffix.

    Where that would give two images one name, all keep their suffix.

    Args:
        images: of one folder.
        folder: named in messages.

    Raises:
        DatasetError: when a name leaves the folder, or two images have the same.
    """
    for image in images:
        check_inside(f"image {image.image_id}", image.file_name, folder)
    possible = [_possible_names(image) for image in images]
    names, full_names = [short for short, _ in possible], [full for _, full in possible]
    if len(set(names)) == len(names):
        return names
    seen: set[str] = set()
    for image, name in zip(images, full_names, strict=True):
        if name in seen:
            raise DatasetError(
                f"image {image.image_id}: another image has the file name {name!r} too: "
                "give each its own"
            )
        seen.add(name)
    return full_names


def map_files(name: str) -> tuple[str, str]:
    """Return where the class map and the instance map of a name lie in the folder."""
    return f"semantic/{name}.png", f"instances/{name}.png"


def write_maps(
    folder: Path, name: str, classes: NDArray[np.uint8], instances: NDArray[np.int32]
) -> None:
    """Write the two maps of an image, each (H, W).

    Raises:
        DatasetError: for more instances than 16 bits can number.
        OSError: when a file cannot be written.
    """
    if instances.max() > _MAX_INSTANCES:
        raise DatasetError(f"{name}: more than {_MAX_INSTANCES} instances do not fit 16 bits")
    pictures: tuple[NDArray[np.integer], ...] = (classes, instances.astype(np.uint16))
    for file_name, picture in zip(map_files(name), pictures, strict=True):
        _, content = cv2.imencode(".png", picture)
        write_whole(folder / file_name, content.tobytes())


def read_maps(folder: Path, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the class map and the instance map of an image: (H, W) both.

    Raises:
        DatasetError: when a file is missing, damaged, or not such a map.
    """
    paths = [folder / file_name for file_name in map_files(name)]
    classes, instances = (decode_map(path) for path in paths)
    if classes.dtype != np.uint8 or classes.ndim != 2 or classes.shape != instances.shape:
        raise DatasetError(f"{paths[0]}: not an 8-bit class map of its instances: make it again")
    return classes, instances.astype(np.int32)


def describe_classes(categories: CategorySet) -> list[dict[str, Any]]:
    """Return what a manifest says under `classes`."""
    return [
        {
            "class_index": index,
            "category_id": category.category_id,
            "name": category.name,
            "is_thing": category.is_thing,
        }
        for index, category in enumerate(categories.categories)
    ]


def describe_labels(
    image_ids: Sequence[int | str], names: Sequence[str], kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what a manifest says under `labels`."""
    listed = zip(image_ids, names, kinds, strict=True)
    return [{"image_id": i, "name": name, "kind": kind} for i, name, kind in listed]


def read_label_folder(root: Path) -> LabelFolder:
    """Read the manifest of a finished folder.

    Raises:
        DatasetError: when it is missing or is not such a manifest.
    """
    path = root / MANIFEST_FILE
    content = read_json(path, "*.json")
    category_ids = [
        take(place, entry, "category_id", int) for place, entry in entries(path, content, "classes")
    ]
    name_of: dict[int | str, str] = {}
    kind_of: dict[int | str, str] = {}
    for place, entry in entries(path, content, "labels"):
        image_id = entry.get("image_id")
        if not isinstance(image_id, int | str):
            raise DatasetError(f"{place}: image_id is missing: correct the file")
        name_of[image_id] = take(place, entry, "name", str)
        kind_of[image_id] = take(place, entry, "kind", str)
        check_inside(place, name_of[image_id], root)
    return LabelFolder(
        root=root, category_ids=tuple(category_ids), name_of=name_of, kind_of=kind_of
    )


def _possible_names(image: Image) -> tuple[str, str]:
    """Return an image's name without and with its suffix."""
    full_name = str(PurePosixPath(image.file_name))
    return name_without_suffix(full_name), full_name


def _segments_of(
    image_id: int | str,
    classes: NDArray[np.uint8],
    instances: NDArray[np.int32],
    categories: CategorySet,
) -> FullLabel:
    """Return a segment for each class and instance number that occur together."""
    codes = instances * (IGNORE_INDEX + 1) + classes + 1  # 0 stays free for void.
    codes[classes == IGNORE_INDEX] = VOID
    category_of, groups = {}, []
    for code in np.unique(codes[codes != VOID]).tolist():
        instance, class_index = divmod(code - 1, IGNORE_INDEX + 1)
        if class_index >= len(categories):
            raise DatasetError(
                f"image {image_id}: its class map has {class_index}: use 0 to "
                f"{len(categories) - 1}, or {IGNORE_INDEX} for unknown"
            )
        category = categories.categories[class_index]
        category_of[code] = category.category_id
        if category.is_thing and instance == 0:
            groups.append(code)
    return build_label(image_id, codes, category_of, groups)
