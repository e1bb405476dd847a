"""Objects that are listed one by one, with a polygon, run lengths or a box, become labels.

COCO detection files and YOLO's have these in common. Where objects overlap, a full label resolves
it by one rule; boxes are those of whole objects.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from annotools.categories import CategorySet
from annotools.errors import DatasetError, name_place
from annotools.formats.coco_entries import OUTSIDE, find_box, reaches_out
from annotools.formats.coco_masks import (
    ColumnRuns,
    check_polygons,
    find_all_column_runs,
    tight_boxes,
)
from annotools.formats.json_values import drop_impossible
from annotools.formats.polygons import count_corners
from annotools.formats.stacked_masks import stack_masks
from annotools.formats.without_masks import give_weak
from annotools.label_maps import label_of_runs
from annotools.records import VOID, Box, BoxXYXY, Dataset, Drop, FullLabel, Image, WeakLabel

COVERED = "other objects cover it"
"""Why an object of a source has no segment."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An object as its file lists it, its mask not decoded; `place` names it in messages.

    `segmentation` is an empty list where there is no mask; `bbox` is what the file has, x, y, width
    and height in pixels if it is a box at all.
    """

    place: str
    category_id: int
    segmentation: Any
    bbox: Any
    is_crowd: bool

    def box(self, box_xyxy: BoxXYXY) -> Box:
        """Return the object as a box with these corners."""
        return Box(category_id=self.category_id, box_xyxy=box_xyxy, is_group=self.is_crowd)


@dataclass(frozen=True, kw_only=True)
class Instances:
    """The objects of a split by image id, in the order of their file.

    `allow_missing` makes impossible ones drops of their image; `drops_of` are those that were found
    when the file was read.
    """

    categories: CategorySet
    of_image: Mapping[int | str, Sequence[Instance]]
    allow_missing: bool
    drops_of: Mapping[int | str, Sequence[Drop]] = field(default_factory=dict)

    def only_of(self, image: Image) -> "Instances":
        """Return those of one image, for a worker."""
        image_id = image.image_id
        return replace(
            self,
            of_image={image_id: self.of_image.get(image_id, ())},
            drops_of={image_id: self.drops_of.get(image_id, ())},
        )

    @property
    def have_boxes_alone(self) -> bool:
        """Whether there is an object and none has a mask."""
        listed = (x.segmentation for found in self.of_image.values() for x in found)
        first = next(listed, None)
        return first == [] and all(mask == [] for mask in listed)


def give_labels(dataset: Dataset, instances: Instances) -> Dataset:
    """Return the dataset with labels made of its objects.

    Segments are numbered 1..N as the image's N objects come, and N + 1 is the background, where the
    categories have one. A pixel of several objects goes to a thing before stuff, to one that is not
    a crowd before a crowd, then to the smaller mask, then to the one that comes first. A thing
    keeps the box of its whole mask, also where nothing of it is left. All objects of a stuff
    category in an image are one segment, with the number of the first. A crowd is a group.

    Where objects have boxes and none has a mask, the dataset has `read_weak`, with boxes in whole
    pixels as `find_box` has it.

    Raises:
        DatasetError: in a file of boxes, for an impossible one, unless that is allowed.
    """
    if not instances.have_boxes_alone:
        return replace(
            dataset,
            read_label=partial(make_label, instances),
            count_vertices=partial(_count_vertices, instances),
            notes=(*dataset.notes, *_notes_of(instances.categories)),
        )
    # All boxes are looked at here, so that an impossible one is reported before any work.
    place = (*dataset.source_files, dataset.name)[0]
    return give_weak(dataset, find_boxes(instances, dataset.images), place)


def make_label(instances: Instances, image: Image) -> FullLabel:
    """Return the label of an image, made of its objects by the rules of `give_labels`.

    Raises:
        DatasetError: for an impossible object, unless that is allowed.
    """
    categories = instances.categories
    listed = dict(enumerate(instances.of_image.get(image.image_id, ()), start=1))
    masks, boxed, drops = _decode_all(instances, listed, image)
    stuff = {n for n in masks if not categories.by_id(listed[n].category_id).is_thing}
    # The first object of a stuff category stands for all of them.
    first_of: dict[int, int] = {}
    segment_of = {
        n: first_of.setdefault(listed[n].category_id, n) if n in stuff else n for n in masks
    }
    background = VOID if categories.background_id is None else len(listed) + 1
    # The last one is on top, so this goes from the weakest claim on a pixel to the strongest.
    order = sorted(
        masks, key=lambda n: (n in stuff, listed[n].is_crowd, masks[n].area, n), reverse=True
    )
    stacked = stack_masks(
        [masks[n] for n in order], [segment_of[n] for n in order], background, image.size_wh
    )
    category_of = {number: listed[number].category_id for number in masks}
    if categories.background_id is not None:
        category_of[background] = categories.background_id
    groups = [n for n in masks if listed[n].is_crowd and n not in stuff]
    label = label_of_runs(image.image_id, stacked, category_of, groups)
    label = _add_whole_objects(label, listed, masks, stuff, first_of, drops, image.height)
    without_mask = {
        n: Drop(place=listed[n].place, reason="it has a box and no mask", is_refused=True)
        for n in boxed
    }
    return replace(
        label,
        own_boxes={**label.own_boxes, **boxed},
        doubts=(*label.doubts, *(d for n in boxed for d in _doubts_of(listed[n], image))),
        unseen=dict(sorted({**label.unseen, **without_mask}.items())),
    )


def find_boxes(instances: Instances, images: Iterable[Image]) -> dict[int | str, WeakLabel]:
    """Return the listed boxes of each image by its id, whether there are masks or not.

    Raises:
        DatasetError: for an impossible box, unless that is allowed.
    """
    weak_label_of = {}
    for image in images:
        boxes: list[Box] = []
        doubts: list[Drop] = []
        drops = [*instances.drops_of.get(image.image_id, ())]
        for instance in instances.of_image.get(image.image_id, ()):
            if not instances.categories.by_id(instance.category_id).is_thing:
                drops.append(Drop(place=instance.place, reason="stuff has no box"))
                continue
            try:
                boxes.append(instance.box(find_box(instance.bbox, image.size_wh)))
            except DatasetError as error:
                drops.append(_drop_impossible(instances, instance, error))
                continue
            doubts += _doubts_of(instance, image)
        weak_label_of[image.image_id] = WeakLabel(
            image_id=image.image_id,
            boxes=tuple(boxes),
            has_boxes=True,
            drops=tuple(drops),
            doubts=tuple(doubts),
        )
    return weak_label_of


def _add_whole_objects(
    label: FullLabel,
    listed: Mapping[int, Instance],
    masks: Mapping[int, ColumnRuns],
    stuff: set[int],
    first_of: Mapping[int, int],
    drops: Sequence[Drop],
    height: int,
) -> FullLabel:
    """Return the label with the boxes of whole things, and with what has no segment."""
    visible = {segment.segment_id: segment.area for segment in label.segments}
    # A thing whose pixels are all visible has the box of its segment.
    partly = [n for n in masks if n not in stuff and visible.get(n) != masks[n].area]
    boxes = tight_boxes([masks[n] for n in partly], height)
    own_boxes = {
        number: listed[number].box(box_xyxy) for number, box_xyxy in zip(partly, boxes, strict=True)
    }
    covered = {
        number: Drop(place=listed[number].place, reason=COVERED)
        for number in masks
        if number not in visible
    }
    lost_stuff = [covered[number] for number in first_of.values() if number in covered]
    return replace(
        label,
        own_boxes=own_boxes,
        unseen={number: drop for number, drop in covered.items() if number not in stuff},
        drops=(*drops, *lost_stuff),
    )


def _decode_all(
    instances: Instances, listed: Mapping[int, Instance], image: Image
) -> tuple[dict[int, ColumnRuns], dict[int, Box], list[Drop]]:
    """Return the masks of an image by number, boxes of things without one, and what has neither."""
    masks: dict[int, ColumnRuns] = {}
    boxed: dict[int, Box] = {}
    drops = [*instances.drops_of.get(image.image_id, ())]
    drawn = [x.segmentation for x in listed.values() if x.segmentation != []]
    found = iter(find_all_column_runs(drawn, image.height, image.width))
    for number, instance in listed.items():
        try:
            if instance.segmentation == []:
                boxed[number] = _box_without_mask(instances, instance, image)
            else:
                masks[number] = _take_mask(next(found))
        except DatasetError as error:
            drops.append(_drop_impossible(instances, instance, error))
    return masks, boxed, drops


def _take_mask(found: ColumnRuns | DatasetError) -> ColumnRuns:
    if isinstance(found, DatasetError):
        raise found
    if not found.area:
        raise DatasetError("its mask has no pixel: draw it again or drop it")
    return found


def _box_without_mask(instances: Instances, instance: Instance, image: Image) -> Box:
    """Return the box of an object that has no mask beside others that have one."""
    is_thing = instances.categories.by_id(instance.category_id).is_thing
    if not instances.allow_missing or instance.bbox is None or not is_thing:
        box = "" if instance.bbox is None else ", or take its box alone"
        raise DatasetError(f"it has no mask: draw it{box}")
    return instance.box(find_box(instance.bbox, image.size_wh))


def _doubts_of(instance: Instance, image: Image) -> Iterator[Drop]:
    """Yield what is odd about a box that is taken all the same."""
    if reaches_out(instance.bbox, image.size_wh):
        yield Drop(place=instance.place, reason=OUTSIDE)


def _drop_impossible(instances: Instances, instance: Instance, error: DatasetError) -> Drop:
    return drop_impossible(instance.place, error, allow_missing=instances.allow_missing)


def _count_vertices(instances: Instances, image: Image) -> int | None:
    """Return the corners of an image's polygons, also where other objects cover them.

    None where an object is not made of polygons, as crowds are not: it was drawn as well, and a
    count without it would be too low.
    """
    listed = instances.of_image.get(image.image_id, ())
    if not all(x.segmentation and isinstance(x.segmentation, list) for x in listed):
        return None
    return sum(_count_corners(instances, instance, image) for instance in listed)


def _count_corners(instances: Instances, instance: Instance, image: Image) -> int:
    polygons = instance.segmentation
    try:
        with name_place(instance.place):
            check_polygons(polygons, image.height, image.width)
    except DatasetError:
        if instances.allow_missing:
            return 0
        raise
    return sum(count_corners(list(zip(p[::2], p[1::2], strict=True))) for p in polygons)


def _notes_of(categories: CategorySet) -> tuple[str, ...]:
    outside = "void" if categories.background_id is None else "background"
    return (
        f"pixels outside all annotations are {outside}",
        "where annotations overlap, the smaller mask is kept, and crowds give way, then stuff; "
        "boxes are those of whole objects",
    )
