"""Read a COCO results file: a bare JSON list of what a network found, each with its image."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.coco_entries import take_image_id
from annotools.formats.forms import OTHER_IDS, Forms, read_coco, same_ids
from annotools.formats.json_values import entries, take
from annotools.records import Image

Listed = tuple[str, dict[str, Any]]
"""An object of a list in a file, after its place for messages."""

OTHER_IMAGES = "a result is of another image and is left out"
"""What is told of results that nobody asked for."""


def read_results(
    path: Path,
    images: Sequence[Image],
    categories: CategorySet,
    forms: Forms,
    *,
    known: str = "the truth",
    may_be_others: bool = False,
) -> Mapping[int | str, Sequence[Listed]]:
    """Return the results of each image by its id, in the file's order.

    Args:
        path: a JSON list of objects with `image_id`, `category_id` and what else was found.
        images: that are asked for.
        categories: whose things the results may be of.
        forms: counts what had another form.
        known: where these images and categories are listed, for messages.
        may_be_others: whether results of other images are counted and left out.

    Raises:
        DatasetError: when the file is missing or no list, a result is of no known thing, or,
            unless allowed, of an unknown image.
    """
    content = read_coco(path, forms)
    if not isinstance(content, list):
        raise DatasetError(f"{path}: is not a list of results: give a file as COCO's loadRes takes")
    # As a value of an object, `entries` can name the place of each result.
    found = {"results": content}
    return group_objects(
        path, found, "results", images, categories, known, forms, may_be_others=may_be_others
    )


def group_objects(
    path: Path,
    content: Any,
    key: str,
    images: Sequence[Image],
    categories: CategorySet,
    known: str,
    forms: Forms,
    *,
    may_be_others: bool = False,
) -> defaultdict[int | str, list[Listed]]:
    """Return the objects of a list by the image that they are of.

    Args:
        path: of the file, for messages.
        content: of the file.
        key: of the list.
        images: that the objects may be of.
        categories: whose things the objects may be of.
        known: where these images and categories are listed, for messages.
        forms: counts what had another form.
        may_be_others: whether objects of other images are counted and left out.

    Raises:
        DatasetError: when the list is missing, a category is unknown, or, unless allowed, an image.
    """
    id_of = same_ids(image.image_id for image in images)
    thing_ids = {c.category_id for c in categories.categories if c.is_thing}
    of_image: defaultdict[int | str, list[Listed]] = defaultdict(list)
    for place, entry in entries(path, content, key):
        given = take_image_id(place, entry, "image_id")
        category_id = take(place, entry, "category_id", int)
        if given not in id_of and not may_be_others:
            raise DatasetError(f"{place}: image_id {given!r} is not in {known}: drop it")
        if category_id not in thing_ids:
            raise DatasetError(f"{place}: category_id {category_id} is not in {known}: drop it")
        if given not in id_of:
            forms[OTHER_IMAGES] += 1
            continue
        if id_of[given] != given:
            forms[OTHER_IDS] += 1
        of_image[id_of[given]].append((place, entry))
    return of_image
