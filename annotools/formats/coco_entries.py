"""COCO files of every kind share these: the list of images, and values that need a check."""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import floor
from pathlib import Path
from typing import Any

from annotools.errors import ALLOW_MISSING, DatasetError
from annotools.formats.forms import Forms
from annotools.formats.json_values import entries, take
from annotools.formats.photo_places import (
    PhotoFolder,
    choose_folder,
    describe_folder,
    is_there,
    plain_name,
)
from annotools.formats.photos import read_photo_head
from annotools.formats.pictures import MAX_PIXELS, is_possible_size
from annotools.records import BoxXYXY, Drop, Image

_HEX_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


def read_images(
    path: Path,
    content: Any,
    photo_folders: Sequence[Path],
    forms: Forms,
    photos: Path | None = None,
) -> tuple[tuple[Image, ...], PhotoFolder]:
    """Return the images of a COCO file in its order, and where their photos are.

    Where the file lacks an image's size, it is that of its photo, upright.

    Args:
        path: of the file, for messages.
        content: of the file.
        photo_folders: where photos may be, as `choose_folder` takes them; without a folder that
            has one, images have no path.
        forms: counts what is taken in another form.
        photos: the folder that the user gives.

    Raises:
        DatasetError: for an id given twice, an impossible size, a name that is none, or a photo
            that two images would have.
    """
    listed = list(entries(path, content, "images"))
    names = [take(place, entry, "file_name", str) for place, entry in listed]
    found = choose_folder(photo_folders, names, photos)
    images: dict[int | str, Image] = {}
    name_of_photo: dict[Path, str] = {}
    num_repeated = len(names) - len(set(names))
    if num_repeated:
        forms["file_name is that of another image too"] = num_repeated
    for (place, entry), name in zip(listed, names, strict=True):
        image_id = take_image_id(place, entry, "id")
        if image_id in images:
            raise DatasetError(f"{place}: id {image_id} is given twice: use another")
        file_name = plain_name(name)
        if not file_name:
            raise DatasetError(f"{place}: file_name {name!r} names no photo: correct it")
        if file_name != name:
            forms["file_name is written in a form of another system"] += 1
        photo = found.find(name)
        if photo is not None and name_of_photo.setdefault(photo, name) != name:
            raise DatasetError(
                f"{place}: {name!r} and {name_of_photo[photo]!r} are both found as {photo}: give "
                "--photos the folder in which both are"
            )
        width, height = _take_size(place, entry, photo, forms)
        is_listed = None not in (entry.get("width"), entry.get("height"))
        images[image_id] = Image(
            image_id=image_id,
            file_name=file_name,
            width=width,
            height=height,
            path=photo,
            has_photo_size=not is_listed,
        )
    return tuple(images.values()), found


def in_order(images: Iterable[Image]) -> tuple[Image, ...]:
    """Return images by id, those with a number before those with a text."""
    # Numbers and texts do not compare, so the first part of the key keeps them apart.
    return tuple(sorted(images, key=lambda i: (isinstance(i.image_id, str), i.image_id)))


def photo_remarks(found: PhotoFolder, own_folder: Path) -> tuple[str, ...]:
    """Return what a user should know of where photos are; nothing of the format's own place."""
    if found.folder is None:
        first = ", ".join(map(str, found.looked_in[:3]))
        count = len(found.looked_in)
        there = [folder for folder in found.looked_in if folder.is_dir()]
        has = "".join(f"; {folder} has {describe_folder(folder)}" for folder in there[:3])
        return (
            f"labels alone are read: no photo of the list is in {first}, ... ({count} folders{has}"
            "): give --photos the folder if there is one",
        )
    return () if found.folder == own_folder else (f"photos are in {found.folder}",)


def image_entry(image: Image) -> dict[str, Any]:
    """Return an image's object for the list `images`."""
    return {
        "id": image.image_id,
        "file_name": image.file_name,
        "width": image.width,
        "height": image.height,
    }


def take_size(place: str, entry: dict[str, Any], *keys: str) -> tuple[int, int]:
    """Return the width and height in pixels that an object has under two keys.

    Raises:
        DatasetError: when one is missing, or no picture can be of this size.
    """
    width, height = (take(place, entry, key, int) for key in keys)
    if not is_possible_size(width, height):
        raise DatasetError(f"{place}: size {width} x {height}: give the photo's own")
    return width, height


def _take_size(
    place: str, entry: dict[str, Any], photo: Path | None, forms: Forms
) -> tuple[int, int]:
    """Return the width and height that a list gives an image, or else its photo has."""
    lacking = [key for key in ("width", "height") if entry.get(key) is None]
    if not lacking:
        return take_size(place, entry, "width", "height")
    if photo is None or not is_there(photo):
        raise DatasetError(
            f"{place}: {lacking[0]} is missing and there is no photo that has it: correct the file "
            "or give --photos the folder of the photo"
        )
    forms["width or height is missing and taken from the photo"] += 1
    return read_photo_head(photo).upright_wh


def take_image_id(place: str, entry: dict[str, Any], key: str) -> int | str:
    """Return an image's id, a number or a text.

    Raises:
        DatasetError: when it is missing or something else.
    """
    if isinstance(entry.get(key), str):
        return take(place, entry, key, str)
    return take(place, entry, key, int)


def take_flag(place: str, entry: dict[str, Any], key: str, default: bool | None = None) -> bool:
    """Return a value of an object that is 0 or 1.

    Args:
        place: of the object, for messages.
        entry: the object.
        key: of the value.
        default: the value where there is none; None where there must be one.

    Raises:
        DatasetError: when it is missing or something else.
    """
    value = entry.get(key, default)
    # False as a default passes too, because it equals 0.
    if value not in (0, 1):
        raise DatasetError(f"{place}: {key} = {value!r}: give 0 or 1")
    return bool(value)


def take_score(place: str, entry: Mapping[str, Any], key: str) -> float | None:
    """Return a number in [0, 1] of an object, None where it has none.

    Raises:
        DatasetError: when it is something else.
    """
    score = entry.get(key)
    if score is None:
        return None
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    if not is_number or not 0 <= score <= 1:
        raise DatasetError(f"{place}: {key} = {score!r}: give a number in [0, 1]")
    return float(score)


BORDER_PIXELS = 0.5
"""How far a box may reach over the border of its image before its side rounds to beyond it."""

OUTSIDE = "its box reaches out of its image and is clipped to it"
"""What is told of a box that `find_box` clips."""


def find_box(bbox: Any, size_wh: tuple[int, int]) -> BoxXYXY:
    """Return the box of an entry's `bbox`, in whole pixels, clipped to its image.

    Each side goes to the nearest border between pixels; a box that is thinner than that keeps the
    pixel in which its middle lies. On 2016 objects of COCO this gives 90 % of the sides of the
    tight boxes of their masks; all pixels that a box touches would give 45 %.

    Args:
        bbox: what the file has: x, y, width and height in pixels, with fractions or without.
        size_wh: width and height of the image in pixels.

    Raises:
        DatasetError: without the place in the file, for anything else, a box without an area, or
            one outside of its image.
    """
    x, y, width, height = take_bbox(bbox)
    if width <= 0 or height <= 0:
        raise DatasetError("bbox has no area: give width and height above 0")
    (x0, x1), (y0, y1) = (
        _whole_side(start, length, size)
        for start, length, size in zip((x, y), (width, height), size_wh, strict=True)
    )
    if x0 >= x1 or y0 >= y1:
        raise DatasetError("bbox has no pixel in its image: correct it")
    return x0, y0, x1, y1


def take_bbox(bbox: Any) -> tuple[float, float, float, float]:
    """Return an entry's `bbox`: x, y, width and height in pixels, with fractions or without.

    Raises:
        DatasetError: without the place in the file, when it is something else.
    """
    # The comparison is false of not-a-number; larger whole numbers may not fit a float.
    is_usable = isinstance(bbox, list) and all(
        type(value) in (int, float) and abs(value) <= MAX_PIXELS for value in bbox
    )
    if not is_usable or len(bbox) != 4:
        raise DatasetError("bbox is missing or not four numbers x, y, width, height: give them")
    x, y, width, height = bbox
    return x, y, width, height


def reaches_out(bbox: Sequence[float], size_wh: tuple[int, int]) -> bool:
    """Tell whether `find_box` clips a box; what rounds to a border of the image is not clipped.

    Args:
        bbox: x, y, width and height in pixels.
        size_wh: width and height of the image in pixels.
    """
    x, y, width, height = bbox
    beyond = max(x + width - size_wh[0], y + height - size_wh[1])
    return min(x, y) < -BORDER_PIXELS or beyond >= BORDER_PIXELS


def take_colour(
    place: str, entry: dict[str, Any], default: tuple[int, int, int]
) -> tuple[int, int, int]:
    """Return the value `color` of a category, RGB in 0..255, or the default where there is none.

    It is three numbers, or a text such as `#1c1f9b`, as COCO-annotator has it.

    Raises:
        DatasetError: when it is something else.
    """
    colour = entry.get("color")
    if colour is None:
        return default
    if isinstance(colour, str) and _HEX_COLOUR.fullmatch(colour):
        colour = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    is_list = isinstance(colour, list | tuple) and len(colour) == 3
    if not is_list or any(type(x) is not int or not 0 <= x <= 255 for x in colour):
        raise DatasetError(f"{place}: color = {colour!r}: give red, green and blue in 0..255")
    red, green, blue = colour
    return red, green, blue


def drop_without_photo(
    images: Sequence[Image], folder: Path | None, *, allow_missing: bool
) -> tuple[tuple[Image, ...], tuple[Drop, ...]]:
    """Part the images whose photo is missing, as drops, from the others.

    Images without a path have no photo to miss.

    Args:
        images: of a list.
        folder: where their photos are, None where nobody looked.
        allow_missing: whether a photo may be missing.

    Raises:
        DatasetError: for the first photo that is missing, unless that is allowed.
    """
    kept, drops = [], []
    for image in images:
        if image.path is None or is_there(image.path):
            kept.append(image)
        else:
            drops.append(Drop(place=str(image.path), reason="the photo is missing"))
    if drops and not allow_missing:
        has = "" if folder is None else f"; {folder} has {describe_folder(folder)}"
        raise DatasetError(
            f"{drops[0].place}: {drops[0].reason} ({len(drops)} of {len(images)} are{has}): "
            "download it again, give --photos its folder, or leave such images out "
            f"{ALLOW_MISSING}"
        )
    return tuple(kept), tuple(drops)


def _whole_side(start: float, length: float, size: int) -> tuple[int, int]:
    """Return the first pixel of a stretch and the first one after it, clipped to 0..size."""
    # `round` takes halves to the even number, and would so widen some boxes and narrow others.
    first, end = floor(start + 0.5), floor(start + length + 0.5)
    if first == end:
        first = floor(start + length / 2)
        end = first + 1
    return max(first, 0), min(end, size)
