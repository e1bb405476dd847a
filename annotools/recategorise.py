"""Read a dataset in other categories: those of Pascal VOC, or few of its own."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial

from annotools.categories import (
    CategorySet,
    background_category,
    free_id,
    is_background_name,
)
from annotools.category_tables.coco import VOC_NAME_OF_COCO
from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import RecipeError
from annotools.label_maps import label_of_runs, replace_ids
from annotools.records import VOID, Dataset, Drop, FullLabel, Image, WeakLabel

VOC = "voc"
"""The target that stands for the categories of Pascal VOC."""


@dataclass(frozen=True, kw_only=True)
class _Translation:
    """How labels go over from one set of categories to another, which has a background.

    `new_id` gives the new category id of each old one that stays; all others join the background.
    `old_background_id` was background before, so that it is no loss. `is_chosen` is
    true of a list of categories, false of VOC's.
    """

    old: CategorySet
    new: CategorySet
    new_id: Mapping[int, int]
    old_background_id: int | None
    is_chosen: bool

    def drop(self, category_id: int, place: str) -> Drop:
        """Return what is lost of a category at a place."""
        name = self.old.by_id(category_id).name
        if self.is_chosen:
            # Who chose few knows it of all others: one reason makes one line.
            return Drop(place=f"{place} ({name})", reason="is in none of the categories chosen")
        return Drop(place=place, reason=f"category {name} has no VOC counterpart")

    def translate(self, category_ids: Iterable[int]) -> tuple[int, ...]:
        """Return the new ids, sorted, of those that stay."""
        return tuple(sorted({self.new_id[i] for i in category_ids if i in self.new_id}))


def recategorise(dataset: Dataset, target: str) -> Dataset:
    """Return the dataset with its labels in the target's categories.

    With the target `voc`, things that are VOC classes by name become these. Any other target is a
    list of the dataset's own category names with commas between them, such as `person,dog`: these
    keep id, colour and kind, and come in the dataset's order. Groups stay groups. All other
    segments, stuff included, join the background, which is one segment; those that were not
    background before are listed in the label's drops. Void stays void. Boxes of others are listed
    in the drops too, and other tags go. All images stay, those without any such object too.

    The background of a list is the dataset's own, else its stuff by the name of background, else a
    category that comes in front (id 0, or the smallest that is free). A name that has a comma
    itself is found as a whole. A dataset in VOC's own categories is `voc` as it is.

    Args:
        dataset: for `voc`, with categories named as COCO names them.
        target: `voc`, or names.

    Raises:
        RecipeError: when no category of the dataset is known to VOC, or one of the names is not
            the dataset's.
        DatasetError: when the background makes the set too large.

    Paper: Li, Arnab, Torr 2018, sec. 4.1.
    """
    if target == VOC and dataset.categories == VOC_CATEGORIES:
        return dataset
    if target == VOC:
        translation, rest = _translate_to_voc(dataset), "what is no VOC class is background"
    else:
        translation = _choose(dataset, target)
        kept = [c for c in translation.new.categories if c.category_id in translation.new_id]
        rest = f"all but {', '.join(c.name for c in kept)} is background"
    return replace(
        dataset,
        categories=translation.new,
        read_label=partial(_read_label, dataset.read_label, translation),
        read_weak=dataset.read_weak and partial(_read_weak, dataset.read_weak, translation),
        notes=(*dataset.notes, rest),
        # The source counts the polygons of all its objects, also of those that are background now.
        count_vertices=None,
    )


def _translate_to_voc(dataset: Dataset) -> _Translation:
    voc_id = {category.name: category.category_id for category in VOC_CATEGORIES.categories}
    new_id = {
        category.category_id: voc_id[VOC_NAME_OF_COCO[category.name]]
        for category in dataset.categories.categories
        if category.is_thing and category.name in VOC_NAME_OF_COCO
    }
    if not new_id:
        raise RecipeError(
            f"{dataset.name} has no thing with a VOC counterpart; it has "
            f"{_names(dataset.categories)}; known are {', '.join(VOC_NAME_OF_COCO)}"
        )
    return _Translation(
        old=dataset.categories,
        new=VOC_CATEGORIES,
        new_id=new_id,
        old_background_id=dataset.categories.background_id,
        is_chosen=False,
    )


def _choose(dataset: Dataset, text: str) -> _Translation:
    old = dataset.categories
    chosen = _find_names(dataset, text)
    background_id = old.background_id
    if background_id is None:
        stuff = (c for c in old.categories if not c.is_thing and is_background_name(c.name))
        background_id = next((c.category_id for c in stuff), None)
    kept = [c for c in old.categories if c.name in chosen or c.category_id == background_id]
    new_background_id = background_id
    if new_background_id is None:
        # Free among all of them, so that no id changes its meaning.
        new_background_id = free_id(old.class_index_of)
        kept.insert(0, background_category(new_background_id))
    return _Translation(
        old=old,
        new=CategorySet(categories=tuple(kept), background_id=new_background_id),
        new_id={c.category_id: c.category_id for c in kept if c.category_id != new_background_id},
        old_background_id=background_id,
        is_chosen=True,
    )


def _find_names(dataset: Dataset, text: str) -> set[str]:
    """Return the category names in a list with commas; of possible names the longest are taken."""
    known = {category.name for category in dataset.categories.categories}
    parts = text.split(",")
    found: set[str] = set()
    start = 0
    while start < len(parts):
        ends = range(len(parts), start, -1)
        end = next((e for e in ends if ",".join(parts[start:e]).strip() in known), start + 1)
        name = ",".join(parts[start:end]).strip()
        if name and name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            raise RecipeError(
                f"categories {text!r}: {dataset.name} has no category {name!r}{meant}; it has "
                f"{_names(dataset.categories)}; give some of these, or {VOC!r}"
            )
        found |= {name} - {""}
        start = end
    named = [c for c in dataset.categories.categories if c.name in found]
    if found and all(c.category_id == dataset.categories.background_id for c in named):
        raise RecipeError(
            f"categories {text!r}: the background alone leaves nothing to segment: name others of "
            f"{_names(dataset.categories)}"
        )
    if not found:
        raise RecipeError(
            f"categories {text!r}: name some of {_names(dataset.categories)}, or {VOC!r}"
        )
    return found


def _names(categories: CategorySet) -> str:
    return ", ".join(category.name for category in categories.categories)


def _read_label(
    read_source: Callable[[Image], FullLabel], translation: _Translation, image: Image
) -> FullLabel:
    label, new_category = read_source(image), translation.new_id
    joined = [s for s in label.segments if s.category_id not in new_category]
    kept = [s for s in label.segments if s.category_id in new_category]
    # The id of a segment that joins the background is free for the background.
    background = min((s.segment_id for s in joined), default=VOID)
    new_id = {s.segment_id: s.segment_id for s in kept}
    new_id |= {s.segment_id: background for s in joined}
    category_of = {s.segment_id: new_category[s.category_id] for s in kept}
    assert translation.new.background_id is not None
    # Where nothing joins, this entry is for void, which no label looks up.
    category_of[background] = translation.new.background_id
    drops = tuple(
        translation.drop(s.category_id, f"image {image.image_id!r}: segment {s.segment_id}")
        for s in joined
        if s.category_id != translation.old_background_id
    )
    kept_boxes = {n: b for n, b in label.own_boxes.items() if b.category_id in new_category}
    hidden = tuple(
        translation.drop(label.own_boxes[number].category_id, drop.place)
        for number, drop in label.unseen.items()
        if number not in kept_boxes
    )
    recategorised = label_of_runs(
        label.image_id,
        replace_ids(label.runs, new_id, default=VOID),
        category_of=category_of,
        groups=[s.segment_id for s in kept if s.is_group],
    )
    return replace(
        recategorised,
        drops=label.drops + drops + hidden,
        own_boxes={
            number: replace(box, category_id=new_category[box.category_id])
            for number, box in kept_boxes.items()
        },
        unseen={n: drop for n, drop in label.unseen.items() if n in kept_boxes},
        doubts=label.doubts,
    )


def _read_weak(
    read_source: Callable[[Image], WeakLabel], translation: _Translation, image: Image
) -> WeakLabel:
    weak, new_category = read_source(image), translation.new_id
    # Numbers are those of `WeakLabel.objects`, which counts the boxes from 1.
    drops = tuple(
        translation.drop(box.category_id, f"image {image.image_id!r}: box {number}")
        for number, box in enumerate(weak.boxes, start=1)
        if box.category_id not in new_category
    )
    return replace(
        weak,
        boxes=tuple(
            replace(box, category_id=new_category[box.category_id])
            for box in weak.boxes
            if box.category_id in new_category
        ),
        crops=tuple(
            replace(crop, category_ids=translation.translate(crop.category_ids))
            for crop in weak.crops
        ),
        tagged_category_ids=translation.translate(weak.tagged_category_ids),
        drops=weak.drops + drops,
    )
