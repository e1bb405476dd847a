"""Read a dataset in the categories of another: COCO as Pascal VOC would have annotated it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from annotools.categories import CategorySet
from annotools.category_tables.coco import VOC_NAME_OF_COCO
from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import RecipeError
from annotools.label_maps import build_label, look_up
from annotools.records import VOID, Dataset, Drop, FullLabel, Image, WeakLabel


def recategorise(dataset: Dataset, target: str) -> Dataset:
    """Return the dataset with its labels in the target's categories.

    With the target `voc`, things that are VOC classes by name become these, and groups stay
    groups. All other segments, stuff included, join the background, which is one segment; those
    that were not background before are listed in the label's drops. Void stays void. Boxes of
    other things are listed in the drops too, and other tags go. All images stay, those without a
    VOC object too. A dataset in VOC's own categories is returned as it is.

    Args:
        dataset: with categories named as COCO names them.
        target: `voc`.

    Raises:
        RecipeError: for an unknown target, or when no category of the dataset is known there.

    Paper: Li, Arnab, Torr 2018, sec. 4.1.
    """
    if target != "voc":
        raise RecipeError(f"unknown target {target!r} of categories: use 'voc'")
    if dataset.categories == VOC_CATEGORIES:
        return dataset
    voc_id = {category.name: category.category_id for category in VOC_CATEGORIES.categories}
    target_id = {
        category.category_id: voc_id[VOC_NAME_OF_COCO[category.name]]
        for category in dataset.categories.categories
        if category.is_thing and category.name in VOC_NAME_OF_COCO
    }
    if not target_id:
        names = ", ".join(category.name for category in dataset.categories.categories)
        raise RecipeError(
            f"{dataset.name} has no thing with a VOC counterpart; it has {names}; known are "
            f"{', '.join(VOC_NAME_OF_COCO)}"
        )
    return replace(
        dataset,
        categories=VOC_CATEGORIES,
        read_label=partial(_read_label, dataset.read_label, dataset.categories, target_id),
        read_weak=dataset.read_weak
        and partial(_read_weak, dataset.read_weak, dataset.categories, target_id),
        notes=(*dataset.notes, "what is no VOC class is background"),
        # The source counts the polygons of all its objects, also of those that are background now.
        count_vertices=None,
    )


def _read_label(
    read_source: Callable[[Image], FullLabel],
    categories: CategorySet,
    target_id: Mapping[int, int],
    image: Image,
) -> FullLabel:
    label = read_source(image)
    joined = [s for s in label.segments if s.category_id not in target_id]
    kept = [s for s in label.segments if s.category_id in target_id]
    # The id of a segment that joins the background is free for the background.
    background = min((s.segment_id for s in joined), default=VOID)
    new_id = {s.segment_id: s.segment_id for s in kept}
    new_id |= {s.segment_id: background for s in joined}
    category_of = {s.segment_id: target_id[s.category_id] for s in kept}
    assert VOC_CATEGORIES.background_id is not None
    # Where nothing joins, this entry is for void, which no label looks up.
    category_of[background] = VOC_CATEGORIES.background_id
    drops = tuple(
        _drop(categories, s.category_id, f"image {image.image_id!r}: segment {s.segment_id}")
        for s in joined
        if s.category_id != categories.background_id
    )
    kept_boxes = {n: b for n, b in label.own_boxes.items() if b.category_id in target_id}
    hidden = tuple(
        _drop(categories, label.own_boxes[number].category_id, drop.place)
        for number, drop in label.unseen.items()
        if number not in kept_boxes
    )
    recategorised = build_label(
        label.image_id,
        look_up(label.segment_map, new_id, default=VOID),
        category_of=category_of,
        groups=[s.segment_id for s in kept if s.is_group],
        drops=label.drops + drops + hidden,
    )
    return replace(
        recategorised,
        own_boxes={
            number: replace(box, category_id=target_id[box.category_id])
            for number, box in kept_boxes.items()
        },
        unseen={n: drop for n, drop in label.unseen.items() if n in kept_boxes},
        doubts=label.doubts,
    )


def _read_weak(
    read_source: Callable[[Image], WeakLabel],
    categories: CategorySet,
    target_id: Mapping[int, int],
    image: Image,
) -> WeakLabel:
    weak = read_source(image)
    # Numbers are those of `WeakLabel.objects`, which counts the boxes from 1.
    drops = tuple(
        _drop(categories, box.category_id, f"image {image.image_id!r}: box {number}")
        for number, box in enumerate(weak.boxes, start=1)
        if box.category_id not in target_id
    )
    return replace(
        weak,
        boxes=tuple(
            replace(box, category_id=target_id[box.category_id])
            for box in weak.boxes
            if box.category_id in target_id
        ),
        crops=tuple(
            replace(crop, category_ids=_translate(crop.category_ids, target_id))
            for crop in weak.crops
        ),
        tagged_category_ids=_translate(weak.tagged_category_ids, target_id),
        drops=weak.drops + drops,
    )


def _translate(category_ids: Iterable[int], target_id: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(sorted({target_id[i] for i in category_ids if i in target_id}))


def _drop(categories: CategorySet, category_id: int, place: str) -> Drop:
    name = categories.by_id(category_id).name
    return Drop(place=place, reason=f"category {name} has no VOC counterpart")
