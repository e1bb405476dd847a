"""Make boxes and image tags of a full label: the cheaper labels one could have bought instead."""

from math import ceil

from annotools.categories import CategorySet
from annotools.label_maps import ids_in_box
from annotools.records import Box, BoxXYXY, FullLabel, TaggedCrop, WeakLabel

WEAK_KINDS = ("boxes", "tags", "boxes+tags")
"""The label kinds that `weaken` gives."""


def crop_grid(width: int, height: int, crop_width: int, crop_height: int) -> tuple[BoxXYXY, ...]:
    """Return the fixed, overlapping crops that cover an image, column by column from the left.

    All crops have the same size, `crop_width` x `crop_height` pixels clipped to the image. Along
    each axis there are n = ceil(image / crop) of them, and the overlap of neighbours is
    ceil((n * crop - image) / (n - 1)). Where that rounding would leave the far border
    uncovered, the last crops move towards it, as little as closes every gap: the grid always
    covers the image, ends at its border and never exceeds it.

    Raises:
        ValueError: for an image or crop without pixels.

    Paper: Li, Arnab, Torr 2018, app. B.2 (15 crops an image); the rule is the released code's.
    """
    if min(width, height, crop_width, crop_height) < 1:
        raise ValueError(
            f"crops of {crop_width} x {crop_height} on an image of {width} x {height}: "
            "give at least one pixel a side"
        )
    crop_width, crop_height = min(crop_width, width), min(crop_height, height)
    return tuple(
        (x, y, x + crop_width, y + crop_height)
        for x in _crop_starts(width, crop_width)
        for y in _crop_starts(height, crop_height)
    )


def weaken(
    label: FullLabel,
    categories: CategorySet,
    kind: str,
    crop_size_wh: tuple[int, int] | None,
) -> WeakLabel:
    """Return what an annotator without mistakes gives when asked for a weak label.

    Boxes are tight, one for each thing, groups included and marked: they enclose the whole object,
    where the label knows it, also what others cover. A tag says that a
    crop holds at least one pixel of the category. `tags` asks about every category, things and
    stuff; `boxes+tags`, the paper's weak label, draws boxes on the things and asks about stuff
    only. The background of a background-only set is never asked about. Where that leaves
    nothing to ask, there are no crops.

    Args:
        label: the full label.
        categories: the dataset's.
        kind: one of `WEAK_KINDS`.
        crop_size_wh: width and height in pixels of the crops that are tagged, laid out by
            `crop_grid`; None for one crop, the whole image.

    Raises:
        ValueError: for another kind.

    Paper: Li, Arnab, Torr 2018, sec. 3.2 and 4.1.
    """
    if kind not in WEAK_KINDS:
        raise ValueError(f"no weak label kind {kind!r}: give one of {', '.join(WEAK_KINDS)}")
    has_boxes = kind != "tags"
    asked = () if kind == "boxes" else asked_categories(categories, stuff_only=has_boxes)
    return WeakLabel(
        image_id=label.image_id,
        boxes=_boxes(label, categories) if has_boxes else (),
        crops=_tagged_crops(label, asked, crop_size_wh) if asked else (),
        tagged_category_ids=asked,
        has_boxes=has_boxes,
    )


def asked_categories(categories: CategorySet, *, stuff_only: bool) -> tuple[int, ...]:
    """Return the ids, sorted, of the categories that tags can be about: never the background."""
    return tuple(
        sorted(
            category.category_id
            for category in categories.categories
            if category.category_id != categories.background_id
            and not (stuff_only and category.is_thing)
        )
    )


def _crop_starts(length: int, crop: int) -> list[int]:
    count = ceil(length / crop)
    if count == 1:
        return [0]
    overlap = ceil((count * crop - length) / (count - 1))
    # The second term is where a crop must start for it and those after it to reach the border.
    return [max(k * (crop - overlap), length - (count - k) * crop) for k in range(count)]


def _boxes(label: FullLabel, categories: CategorySet) -> tuple[Box, ...]:
    return tuple(
        box for box in label.objects.values() if categories.by_id(box.category_id).is_thing
    )


def _tagged_crops(
    label: FullLabel, asked: tuple[int, ...], crop_size_wh: tuple[int, int] | None
) -> tuple[TaggedCrop, ...]:
    runs = label.runs
    size_wh = runs.width, runs.height
    category_of = {segment.segment_id: segment.category_id for segment in label.segments}
    crops = []
    for box_xyxy in crop_grid(*size_wh, *(crop_size_wh or size_wh)):
        present = {category_of[segment_id] for segment_id in ids_in_box(runs, box_xyxy)}
        category_ids = tuple(sorted(present.intersection(asked)))
        crops.append(TaggedCrop(box_xyxy=box_xyxy, category_ids=category_ids))
    return tuple(crops)
