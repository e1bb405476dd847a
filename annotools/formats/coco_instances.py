"""Read COCO detection files: one JSON of masks or boxes for a split, and its folder of photos.

`ROOT/annotations/instances_SPLIT.json` holds masks, as polygons or run lengths (compressed or not),
or boxes alone, as annotation tools export rectangles; `ROOT/SPLIT/` holds the photos, and may be
absent where labels alone are wanted. `coco_layout` says where else both are looked for. What no
annotation covers is background.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotools.categories import (
    Category,
    CategorySet,
    background_category,
    distinct_colour,
    free_id,
    is_background_name,
)
from annotools.errors import DatasetError
from annotools.formats.coco_entries import (
    drop_without_photo,
    in_order,
    photo_remarks,
    read_images,
    take_colour,
    take_flag,
    take_image_id,
)
from annotools.formats.coco_layout import find_instances
from annotools.formats.coco_reach import refuse_fractions, turn_sizes
from annotools.formats.forms import Forms, form_remarks, read_coco
from annotools.formats.instances import Instance, Instances, give_labels
from annotools.formats.json_values import drop_impossible, entries, take
from annotools.formats.other_formats import refuse_other_format
from annotools.formats.photos import read_photo
from annotools.formats.without_masks import no_label
from annotools.records import Dataset, Drop, Image


def read(
    root: Path, split: str, allow_missing: bool = False, photos: Path | None = None
) -> Dataset:
    """Return the dataset of a split; masks and photos are decoded when asked for.

    The file's categories come by id. One with `isthing` 0 is stuff, all others are things. Where
    there is no stuff, one by the name of background is it, or a stuff category `background` is
    added in front (category id 0, or the smallest that is free); its annotations are no objects.
    Beside other stuff there is no background, and what no annotation covers is void. A category
    that no annotation has and that is the supercategory of all others carries the name of the
    project, and is left out. Images come by id. Labels are as `give_labels` makes them.

    Numbers may have the form of text, flags may be missing; remarks count what was taken so.

    Args:
        root: the dataset's folder, or the annotation file.
        split: names the annotation file and the photo folder.
        allow_missing: leave out images whose photo is missing, and annotations without a possible
            mask or, in a file of boxes, without a possible box, and list them as drops.
        photos: the folder of the photos, if it is not where it is looked for.

    Raises:
        DatasetError: for an annotation file that is missing, is not JSON, lacks a key or
            contradicts itself, and, unless allowed, for a photo that is missing from its folder
            or, in a file of boxes, an impossible box. `read_label` raises it for an impossible
            mask, unless allowed, and always in a file of boxes; `read_photo` for a photo that is
            damaged or of another size than the file says.
    """
    files = find_instances(root, split)
    path, forms = files.path, Counter[str]()
    content = read_coco(path, forms)
    refuse_other_format(path, content)
    categories = read_instance_categories(path, content, forms)
    images, found = read_images(path, content, files.photo_folders, forms, photos)
    listed = list(entries(path, content, "annotations"))
    if listed and "segments_info" in listed[0][1]:
        raise DatasetError(f"{path}: is a panoptic file: read it as coco-panoptic")
    may_lack_mask = allow_missing or holds_boxes_alone([entry for _, entry in listed])
    instances = group_instances(
        listed,
        categories,
        images,
        forms,
        may_lack_mask=may_lack_mask,
        allow_missing=allow_missing,
    )
    refuse_fractions(path, instances.of_image)
    images = turn_sizes(in_order(images), instances.of_image, forms)
    kept, drops = drop_without_photo(images, found.folder, allow_missing=allow_missing)
    empty = () if listed else (f"{path}: annotations is empty: no image has an object",)
    dataset = Dataset(
        name="coco-instances",
        split=split,
        categories=categories,
        images=kept,
        read_label=no_label,
        read_photo=read_photo,
        drops=drops,
        source_files=(path,),
        remarks=(
            *files.remarks,
            *photo_remarks(found, own_folder=root / split),
            *form_remarks(path, forms),
            *empty,
        ),
    )
    return give_labels(dataset, instances)


def holds_boxes_alone(annotations: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether there is an annotation and none has a mask, as tools export rectangles."""
    return len(annotations) > 0 and all(
        entry.get("segmentation") is None or entry["segmentation"] == [] for entry in annotations
    )


def list_categories(path: Path, content: Any) -> dict[int, tuple[str, dict[str, Any]]]:
    """Return the objects of the list `categories` by id, each after its place for messages.

    Raises:
        DatasetError: when the list is missing, or one lacks id or name or has the id of another.
    """
    listed: dict[int, tuple[str, dict[str, Any]]] = {}
    for place, entry in entries(path, content, "categories"):
        category_id = take(place, entry, "id", int)
        if not take(place, entry, "name", str).strip():
            raise DatasetError(f"{place}: name is empty: give the category one")
        if category_id in listed:
            raise DatasetError(f"{place}: id {category_id} is given twice: use another")
        listed[category_id] = (place, entry)
    return listed


def read_instance_categories(path: Path, content: Any, forms: Forms) -> CategorySet:
    """Return the list `categories` of a file, as `read` says.

    Raises:
        DatasetError: when the list is missing or contradicts itself.
    """
    listed = list_categories(path, content)
    project_id = _find_project(content, listed)
    if project_id is not None:
        name = listed.pop(project_id)[1]["name"]
        forms[f"category {name!r} carries the name of the project alone and is left out"] += 1
    by_id = {i: listed[i] for i in sorted(listed)}
    stuff = {
        i
        for i, (place, entry) in by_id.items()
        if not take_flag(place, entry, "isthing", default=True)
    }
    named = [i for i, (_, entry) in by_id.items() if is_background_name(entry["name"])]
    background_id = None
    if stuff <= set(named[:1]):
        background_id = named[0] if named else free_id(by_id)
    rows = [
        Category(
            category_id=i,
            name=entry["name"],
            is_thing=i not in stuff,
            colour=_find_colour(place, entry, number, forms),
        )
        for number, (i, (place, entry)) in enumerate(
            (i, found) for i, found in by_id.items() if i != background_id
        )
    ]
    if background_id is not None:
        name = by_id[background_id][1]["name"] if named else "background"
        rows.insert(0, background_category(background_id, name))
    try:
        # The background that was added may be what makes the set too large.
        return CategorySet(categories=tuple(rows), background_id=background_id)
    except DatasetError as error:
        raise DatasetError(f"{path}: with the background, {error}") from error


def _find_colour(
    place: str, entry: dict[str, Any], number: int, forms: Forms
) -> tuple[int, int, int]:
    """Return a category's own colour, or that of its number where it has none that is one."""
    try:
        return take_colour(place, entry, default=distinct_colour(number))
    except DatasetError:
        forms["color is no red, green and blue in 0..255, and another is taken"] += 1
        return distinct_colour(number)


def group_instances(
    listed: Sequence[tuple[str, dict[str, Any]]],
    categories: CategorySet,
    images: Iterable[Image],
    forms: Forms,
    *,
    may_lack_mask: bool,
    allow_missing: bool,
) -> Instances:
    """Return the annotations of each image by its id, in the file's order.

    Those of the background are no objects, and are counted.

    Args:
        listed: the objects of the list, each after its place for messages.
        categories: whose categories the annotations are of.
        images: of the file.
        forms: counts what is taken in another form.
        may_lack_mask: whether an annotation without a mask is no error.
        allow_missing: make impossible annotations drops of their image; those of no image are
            counted.

    Raises:
        DatasetError: unless allowed, for an unknown image or category, or a mask that is missing.
    """
    image_ids = {image.image_id for image in images}
    of_image: defaultdict[int | str, list[Instance]] = defaultdict(list)
    drops_of: defaultdict[int | str, list[Drop]] = defaultdict(list)
    orphans = []
    for place, entry in listed:
        try:
            image_id, instance = _take_instance(
                place, entry, categories, image_ids, may_lack_mask=may_lack_mask
            )
        except DatasetError as error:
            drop = drop_impossible(place, error, allow_missing=allow_missing)
            given = entry.get("image_id")
            if isinstance(given, int | str) and given in image_ids:
                drops_of[given].append(drop)
            else:
                orphans.append(place)
            continue
        if instance.category_id == categories.background_id:
            forms["an annotation of the background is taken as no object"] += 1
        else:
            of_image[image_id].append(instance)
    if orphans:
        first = orphans[0].rpartition(": ")[2]
        forms[f"an annotation is of no listed image and is left out; the first is {first}"] = len(
            orphans
        )
    return Instances(
        categories=categories,
        of_image={image_id: tuple(found) for image_id, found in of_image.items()},
        allow_missing=allow_missing,
        drops_of=drops_of,
    )


def _take_instance(
    place: str,
    entry: dict[str, Any],
    categories: CategorySet,
    image_ids: set[int | str],
    *,
    may_lack_mask: bool,
) -> tuple[int | str, Instance]:
    """Return the image's id of an annotation, and the annotation."""
    image_id = take_image_id(place, entry, "image_id")
    category_id = take(place, entry, "category_id", int)
    if image_id not in image_ids:
        raise DatasetError(f"{place}: image_id {image_id!r} is not in images: drop it")
    if category_id not in categories.class_index_of:
        raise DatasetError(f"{place}: category_id {category_id} is not in categories: drop it")
    is_crowd = take_flag(place, entry, "iscrowd", default=False)
    segmentation = entry.get("segmentation", [])
    if segmentation == [] and not may_lack_mask:
        box = "" if entry.get("bbox") is None else ", take its box alone"
        raise DatasetError(f"{place}: segmentation is missing: draw the mask{box}")
    return image_id, Instance(
        # Messages name an annotation by its place: its id may be missing or repeated.
        place=place,
        category_id=category_id,
        segmentation=segmentation,
        bbox=entry.get("bbox"),
        is_crowd=is_crowd,
    )


def _find_project(
    content: dict[str, Any], listed: Mapping[int, tuple[str, dict[str, Any]]]
) -> int | None:
    """Return the category that no annotation has and all others lie under, None without one."""
    annotations = content.get("annotations")
    found = annotations if isinstance(annotations, list) else ()
    given = [entry.get("category_id") for entry in found if isinstance(entry, dict)]
    used = {category_id for category_id in given if type(category_id) is int}
    # As text, because the file may have anything here.
    above = {i: repr(entry.get("supercategory")) for i, (_, entry) in listed.items()}
    count_of = Counter(above.values())
    for category_id, (_, entry) in listed.items():
        name = repr(entry["name"])
        num_others = count_of[name] - (above[category_id] == name)
        if category_id not in used and num_others == len(listed) - 1 > 0:
            return category_id
    return None
