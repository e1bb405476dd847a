"""Read boxes and tags that annotators gave, from JSON files, as a dataset without masks."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.coco_entries import (
    drop_without_photo,
    read_images,
    take_image_id,
)
from annotools.formats.coco_instances import group_instances, read_instance_categories
from annotools.formats.coco_panoptic import read_categories
from annotools.formats.forms import Forms, form_remarks, read_coco, same_ids
from annotools.formats.instances import find_boxes
from annotools.formats.json_values import entries, take
from annotools.formats.photo_places import check_given
from annotools.formats.photos import read_photo
from annotools.formats.weak_json import ALL_CATEGORIES
from annotools.formats.without_masks import give_weak, no_label
from annotools.records import (
    Dataset,
    Image,
    TaggedCrop,
    WeakLabel,
)


@dataclass(frozen=True, kw_only=True)
class GivenLabels:
    """The boxes or the tags of a file, by image id; images come in the file's order.

    Images without an entry have no box, or no tagged crop. `format_name` is that of the dataset
    that the labels were bought of, `remarks` are what was taken in another form.
    """

    path: Path
    format_name: str
    categories: CategorySet
    images: tuple[Image, ...]
    weak_of: Mapping[int | str, WeakLabel]
    remarks: tuple[str, ...] = ()


def read_weak(
    photos: Path, boxes: Path | None, tags: Path | None, allow_missing: bool = False
) -> Dataset:
    """Return images with the boxes and tags that annotators gave, as a dataset without masks.

    Boxes are in any COCO detection file: `bbox` counts, masks are not looked at. Tags are in a file
    as `annotools convert` writes it. An image has a label of the kind that the files with it give.

    Args:
        photos: the folder that names of photos are relative to.
        boxes: the file of boxes, None without one.
        tags: the file of tags, None without one.
        allow_missing: leave out images whose photo is missing, and impossible boxes, and list them
            as drops.

    Raises:
        DatasetError: when a file is missing or contradicts itself or the other, or, unless
            allowed, a photo is not there or a box is impossible.
    """
    check_given(photos)
    # Tags come first because the categories of the first file count: tags may be about stuff, which
    # a file of boxes need not list.
    sides = [] if tags is None else [read_tags(tags, photos)]
    sides += [] if boxes is None else [read_boxes(boxes, photos, allow_missing)]
    first, last = sides[0], sides[-1]
    if first is not last:
        _check_agreement(tags=first, boxes=last)
    images = {image.image_id: image for given in reversed(sides) for image in given.images}
    kept, drops = drop_without_photo(tuple(images.values()), photos, allow_missing=allow_missing)
    weak_of = dict(first.weak_of)
    for image_id, weak in last.weak_of.items():
        tagged = weak_of.get(image_id, weak)
        asked = tagged.tagged_category_ids
        weak_of[image_id] = replace(weak, crops=tagged.crops, tagged_category_ids=asked)

    dataset = Dataset(
        name=first.format_name,
        split="given",
        categories=first.categories,
        images=kept,
        read_label=no_label,
        read_photo=read_photo,
        drops=drops,
        source_files=tuple(given.path for given in sides),
        remarks=tuple(remark for given in sides for remark in given.remarks),
    )
    return give_weak(dataset, weak_of, first.path)


def read_boxes(path: Path, photos: Path | None = None, allow_missing: bool = False) -> GivenLabels:
    """Return the boxes of a COCO detection file.

    Without a list of all categories, those of the file are things, before them comes a background.

    Args:
        path: of the file.
        photos: the folder of the photos; None leaves images without a path.
        allow_missing: make impossible boxes drops of their image.

    Raises:
        DatasetError: when the file is missing or contradicts itself.
    """
    forms: Forms = Counter()
    content = _read_object(path, forms)
    if ALL_CATEGORIES in content:
        categories = read_categories(path, content, ALL_CATEGORIES)
    else:
        categories = read_instance_categories(path, content, forms)
    images = _read_images(path, content, photos, forms)
    listed = list(entries(path, content, "annotations"))
    instances = group_instances(
        listed, categories, images, forms, may_lack_mask=True, allow_missing=allow_missing
    )
    return GivenLabels(
        path=path,
        format_name=_format_of(content),
        categories=categories,
        images=images,
        weak_of=find_boxes(instances, images),
        remarks=form_remarks(path, forms),
    )


def read_tags(path: Path, photos: Path | None = None) -> GivenLabels:
    """Return the tags of a file that `annotools convert` wrote, or one like it.

    Args:
        path: of the file.
        photos: the folder of the photos; None leaves images without a path.

    Raises:
        DatasetError: when the file is missing or contradicts itself.
    """
    forms: Forms = Counter()
    content = _read_object(path, forms)
    listed = read_categories(path, content)
    if ALL_CATEGORIES in content:
        categories = read_categories(path, content, ALL_CATEGORIES)
    # A list with stuff is complete as it is; one of things alone lacks a background.
    elif listed.stuff_indices:
        categories = listed
    else:
        categories = read_instance_categories(path, content, forms)
    images = _read_images(path, content, photos, forms)
    image_of = {image.image_id: image for image in images}
    id_of = same_ids(image_of)
    crops_of: dict[int | str, list[TaggedCrop]] = {image_id: [] for image_id in image_of}
    for place, entry in entries(path, content, "crops"):
        given = take_image_id(place, entry, "image_id")
        if given not in id_of:
            raise DatasetError(f"{place}: image_id {given!r} is not in images: drop it")
        image_id = id_of[given]
        x, y, width, height = (take(place, entry, k, int) for k in ("x", "y", "width", "height"))
        tagged: Any = entry.get("category_ids")
        # A flag equals 0 or 1 and would pass for an id.
        is_list = isinstance(tagged, list) and all(type(i) is int for i in tagged)
        if not is_list or not set(tagged) <= set(listed.class_index_of):
            raise DatasetError(f"{place}: category_ids {tagged!r}: list ids of categories")
        image = image_of[image_id]
        if min(x, y) < 0 or min(width, height) < 1:
            raise DatasetError(f"{place}: {width} x {height} at {x}, {y} is no crop: correct it")
        if x + width > image.width or y + height > image.height:
            raise DatasetError(f"{place}: the crop leaves its image: correct it")
        crop = TaggedCrop(
            box_xyxy=(x, y, x + width, y + height), category_ids=tuple(sorted({*tagged}))
        )
        crops_of[image_id].append(crop)
    asked = tuple(sorted(listed.class_index_of))
    return GivenLabels(
        path=path,
        format_name=_format_of(content),
        categories=categories,
        images=images,
        weak_of={
            image_id: WeakLabel(image_id=image_id, crops=tuple(crops), tagged_category_ids=asked)
            for image_id, crops in crops_of.items()
        },
        remarks=form_remarks(path, forms),
    )


def _read_object(path: Path, forms: Forms) -> dict[str, Any]:
    content = read_coco(path, forms)
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: is not a JSON object: give a file of labels")
    return content


def _read_images(path: Path, content: Any, photos: Path | None, forms: Forms) -> tuple[Image, ...]:
    """Return the images in the file's order: what is drawn from them depends on it."""
    images, _ = read_images(path, content, (), forms, photos)
    return images


def _format_of(content: Any) -> str:
    info = content.get("info")
    name = info.get("format") if isinstance(info, dict) else None
    return name if isinstance(name, str) else "coco-instances"


def _check_agreement(*, tags: GivenLabels, boxes: GivenLabels) -> None:
    """Make sure that two files are about the same categories and images, and boxes about things."""
    together = f"{boxes.path} and {tags.path}"
    for category in boxes.categories.categories:
        # A background that a reader added has no place in either file.
        if category.category_id == boxes.categories.background_id:
            continue
        index = tags.categories.class_index_of.get(category.category_id)
        name = "nothing" if index is None else tags.categories.categories[index].name
        if name != category.name:
            raise DatasetError(
                f"{together}: category {category.category_id} is {category.name!r} in one and "
                f"{name!r} in the other: give files of one dataset"
            )
    # Files of boxes often do not say what is stuff, of which they have no box.
    boxed = {box.category_id for weak in boxes.weak_of.values() for box in weak.boxes}
    for category in tags.categories.categories:
        if category.category_id in boxed and not category.is_thing:
            raise DatasetError(
                f"{boxes.path}: has boxes of {category.name!r}, which is stuff in {tags.path}: "
                "drop them, or make it a thing there"
            )
    image_of = {image.image_id: image for image in tags.images}
    id_of = {image.file_name: image.image_id for image in tags.images}
    for image in boxes.images:
        other = image_of.get(image.image_id, image)
        if id_of.get(image.file_name, image.image_id) != image.image_id:
            raise DatasetError(
                f"{together}: {image.file_name} is image {image.image_id!r} in one and image "
                f"{id_of[image.file_name]!r} in the other: give it the same id"
            )
        if (other.file_name, other.size_wh) != (image.file_name, image.size_wh):
            raise DatasetError(
                f"{together}: image {image.image_id!r} is {image.file_name} of {image.width} x "
                f"{image.height} pixels in one and {other.file_name} of {other.width} x "
                f"{other.height} in the other: give files of one dataset"
            )
