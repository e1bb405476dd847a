"""See from how far the objects of a COCO file reach whether the sizes of its images are right.

Sizes may be those of photos as EXIF turns them or does not, and coordinates may be fractions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from annotools.errors import DatasetError
from annotools.formats.forms import Forms
from annotools.formats.instances import Instance
from annotools.formats.photos import read_photo_head
from annotools.records import Image

_BORDER_PIXELS = 1.0
"""How far points may reach over the border of an image before its size is doubted."""


def turn_sizes(
    images: Sequence[Image], of_image: Mapping[int | str, Sequence[Instance]], forms: Forms
) -> tuple[Image, ...]:
    """Return the images, turned where their objects lie in the photo as EXIF turns it, or does not.

    Some exporters write the size of the photo as it is stored beside what was drawn on it as EXIF
    turns it. An object that reaches out of its image, and would not of the other one, proves that.
    What is proven of one image holds for all of the file that were written so, unless an object of
    theirs speaks against it. Photos are looked at only where an object reaches out of its image.
    """
    proven = {
        image.image_id: size_wh
        for image in images
        if (size_wh := _fitting_size(image, of_image.get(image.image_id, ()))) != image.size_wh
    }
    # A size that was taken from the photo proves nothing of what the list has.
    is_proven = any(i.image_id in proven for i in images if not i.has_photo_size)
    turned = []
    for image in images:
        width, height = proven.get(image.image_id, image.size_wh)
        if is_proven and image.image_id not in proven and not image.has_photo_size:
            width, height = _other_size_if_it_fits(image, of_image.get(image.image_id, ()))
        if (width, height) != image.size_wh:
            image = replace(image, width=width, height=height)
            forms["objects fit the photo with its EXIF turn: width and height are swapped"] += 1
        turned.append(image)
    return tuple(turned)


def _fitting_size(image: Image, instances: Sequence[Instance]) -> tuple[int, int]:
    """Return the size of an image, or of its photo turned the other way if only that one fits."""
    if image.path is None or not instances:
        return image.size_wh
    if _fits(_reach(instances, image.size_wh), image.size_wh):
        return image.size_wh
    return _other_size_if_it_fits(image, instances)


def _other_size_if_it_fits(image: Image, instances: Sequence[Instance]) -> tuple[int, int]:
    """Return the size of an image's photo turned the other way if its objects fit, else its own."""
    if image.path is None:
        return image.size_wh
    try:
        head = read_photo_head(image.path)
    # Whoever needs the photo is told that it is missing or damaged.
    except DatasetError:
        return image.size_wh
    other_of = {head.upright_wh: head.stored_wh, head.stored_wh: head.upright_wh}
    other_wh = other_of.get(image.size_wh, image.size_wh)
    return other_wh if _fits(_reach(instances, other_wh), other_wh) else image.size_wh


def refuse_fractions(path: Path, of_image: Mapping[int | str, Sequence[Instance]]) -> None:
    """Refuse a file of which no object leaves the first pixel of its image."""
    for instances in of_image.values():
        if not _fits(_reach(instances, (0, 0)), (1, 1), border=0):
            return
    # Whole numbers may be those of objects of one pixel.
    if any(_has_fraction(x) for instances in of_image.values() for x in instances):
        raise DatasetError(
            f"{path}: no coordinate is above 1: these are fractions of the image: multiply them by "
            "its width and height"
        )


def _has_fraction(instance: Instance) -> bool:
    mask = instance.segmentation
    polygons = mask if isinstance(mask, list) and mask else [instance.bbox]
    numbers = (x for polygon in polygons if isinstance(polygon, list) for x in polygon)
    return any(type(number) is float and number % 1 != 0 for number in numbers)


def _reach(instances: Sequence[Instance], size_wh: tuple[int, int]) -> tuple[float, float]:
    """Return how far to the right and down objects reach, if that is far in their image at all."""
    right = down = 0.0
    shorter = min(size_wh)
    for instance in instances:
        mask = instance.segmentation
        try:
            if isinstance(mask, list) and mask:
                for polygon in mask:
                    # Most are far from the border, which one number shows.
                    if max(polygon) > shorter:
                        right, down = max(right, *polygon[::2]), max(down, *polygon[1::2])
            elif mask:
                down, right = max(down, mask["size"][0]), max(right, mask["size"][1])
            else:
                x, y, width, height = instance.bbox
                right, down = max(right, x + width), max(down, y + height)
        # What is no number is told where the object is read.
        except (TypeError, ValueError, LookupError):
            continue
    return right, down


def _fits(
    reach_wh: tuple[float, float], size_wh: tuple[int, int], border: float = _BORDER_PIXELS
) -> bool:
    return all(r <= s + border for r, s in zip(reach_wh, size_wh, strict=True))
