"""Convert the label of one image to entries and files, and account for every object.

Each part of a conversion returns what it has of the image; the label kinds are joined from these.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from annotools.categories import CategorySet
from annotools.conversion.wanted import PARTS_OF, ImageTask, Wanted
from annotools.drops import DOUBTS
from annotools.formats import box_files, weak_json
from annotools.formats.coco_panoptic import panoptic_entry
from annotools.formats.panoptic_png import encode_segment_map
from annotools.formats.weak_json import Entry
from annotools.prices.actions import count_actions
from annotools.prices.image_content import measure_source
from annotools.records import LABEL_KINDS, Dataset, Drop, FullLabel, Image, Mark, WeakLabel
from annotools.weak_labels.annotators import (
    Annotator,
    annotate_boxes,
    annotate_weak,
)
from annotools.weak_labels.buy import read_source, take_kind
from annotools.weak_labels.coarse import outlines_of
from annotools.weak_labels.marks import mark
from annotools.weak_labels.outlines import MISSED, annotate_full

ALL_KINDS = "all"
"""Stands for the kind of a drop that no kind has."""

Counts = Counter[tuple[str, ...]]
"""Counts of some images, by what is counted and in which label kind.

`images`, `objects` of the source, `source drops`, `entries` and `written` objects are over the
images that have the kind; `images` and `objects` of `ALL_KINDS` over all images. `entries of part`
are by part, `actions` of the annotator by kind and action.
"""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The entries, files and account of one part of a conversion.

    `entries` go to the part's JSON file, `files` are contents by name; `num_entries` counts boxes,
    crops, marks or segments, wherever they go. `written` are the numbers of the objects that the
    part has; `drops` say by number why it lacks others.
    """

    num_entries: int
    written: frozenset[int]
    entries: Sequence[Entry] = ()
    files: dict[str, bytes] = field(default_factory=dict)
    drops: dict[int, Drop] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ImageOutputs:
    """All that is written for one image.

    Objects of the source, background left out, are in the result of a kind, or they are among its
    `drops`, or among those of `ALL_KINDS`, which no kind has.
    """

    parts: dict[str, Part]
    drops: dict[str, tuple[Drop, ...]]
    counts: Counts


@dataclass(frozen=True, kw_only=True)
class _Object:
    """An object of the source: `number` is the id of its segment, or counts boxes from 1."""

    number: int
    place: str
    category_id: int
    is_thing: bool
    is_group: bool

    def drop(self, reason: str) -> Drop:
        """Return why a result lacks the object."""
        return Drop(place=self.place, reason=reason)


@dataclass(frozen=True, kw_only=True)
class _Task:
    """An image, its label and what is wanted: all parts are made from these.

    `source` is the label that the dataset has; `files` are as an `ImageTask` has them.
    """

    image: Image
    source: FullLabel | WeakLabel
    categories: CategorySet
    wanted: Wanted
    files: Mapping[str, str]

    @property
    def annotator(self) -> Annotator:
        """Who makes the mistakes."""
        return self.wanted.annotator or Annotator()

    @property
    def full(self) -> FullLabel:
        """The full label; a dataset without masks is not asked for what needs one."""
        assert isinstance(self.source, FullLabel)
        return self.source

    @cached_property
    def objects(self) -> tuple[_Object, ...]:
        """The objects of the source, background left out."""
        what = "segment" if isinstance(self.source, FullLabel) else "box"
        return tuple(
            _Object(
                number=number,
                place=f"image {self.image.image_id}: {what} {number}",
                category_id=box.category_id,
                is_thing=self.categories.by_id(box.category_id).is_thing,
                is_group=box.is_group,
            )
            for number, box in self.source.objects.items()
            if box.category_id != self.categories.background_id
        )

    @property
    def unseen(self) -> dict[int, Drop]:
        """Why objects have no visible pixel, by number: only boxes have these."""
        return dict(self.source.unseen) if isinstance(self.source, FullLabel) else {}

    @cached_property
    def perfect_tags(self) -> WeakLabel:
        """The tags of an annotator without mistakes, laid out once for all that needs them."""
        crop_size_wh = self.wanted.crop_size_wh
        return take_kind(self.source, self.categories, "tags", crop_size_wh, self.image.size_wh)

    @cached_property
    def drawn(self) -> tuple[FullLabel, dict[int, Drop]]:
        """The full label that the annotator draws, and by number the objects that it lacks."""
        label = annotate_full(self.full, self.categories, self.annotator, self.wanted.seed)
        left = {segment.segment_id for segment in label.segments}
        missed = [
            thing.number for thing in self.objects if thing.number not in {*left, *self.unseen}
        ]
        # annotate_full puts its own drops behind the label's, in the order of the segments.
        drops = label.drops[len(self.full.drops) :]
        return label, {**self.unseen, **dict(zip(missed, drops, strict=True))}

    def objects_among(self, numbers: Iterable[int]) -> frozenset[int]:
        """Return the numbers of objects among these; the background's segment is no object."""
        return frozenset(numbers) & {thing.number for thing in self.objects}


def convert_image(asked: ImageTask, dataset: Dataset) -> ImageOutputs:
    """Convert the label of one image to all that is wanted of it.

    Args:
        asked: the image and what is wanted.
        dataset: that of the image; it can give the kinds that are wanted.

    Raises:
        DatasetError: when the label cannot be read.
    """
    task = _Task(
        image=asked.image,
        source=read_source(dataset, asked.image),
        categories=dataset.categories,
        wanted=asked.wanted,
        files=asked.files,
    )
    parts = {part: make(task) for part, make in _MAKERS.items() if part in asked.wanted.parts}
    num_source_drops = len(task.source.drops)
    # Objects that the reader dropped count too, so that the account begins with the whole source.
    num_objects = len(task.objects) + num_source_drops
    drops = {ALL_KINDS: task.source.drops, DOUBTS: task.source.doubts}
    counts: Counts = Counter({("images", ALL_KINDS): 1, ("objects", ALL_KINDS): num_objects})
    for part, made in parts.items():
        counts["entries of part", part] = made.num_entries
    for kind in (kind for kind in LABEL_KINDS if kind in asked.wanted.kinds):
        written, drops[kind] = _account(kind, parts, task.objects)
        counts["images", kind] = 1
        counts["objects", kind] = num_objects
        counts["source drops", kind] = num_source_drops
        counts["entries", kind] = sum(parts[part].num_entries for part in PARTS_OF[kind])
        counts["written", kind] = len(written)
    for kind, actions in _count_actions(task).items():
        for action, count in actions.items():
            counts["actions", kind, action] = count
    return ImageOutputs(parts=parts, drops=drops, counts=counts)


def _account(
    kind: str, parts: dict[str, Part], objects: Sequence[_Object]
) -> tuple[frozenset[int], tuple[Drop, ...]]:
    """Return the numbers of the objects that a kind has, and why it lacks others."""
    stuff = [thing for thing in objects if not thing.is_thing]
    if kind == "boxes":
        unboxed = [thing.drop("stuff has no box") for thing in stuff]
        return parts["boxes"].written, (*unboxed, *parts["boxes"].drops.values())
    if PARTS_OF[kind] == (kind,):
        return parts[kind].written, tuple(parts[kind].drops.values())
    # In boxes+tags things count by their boxes and stuff by its tags, whatever else has tags.
    boxes, tags = (parts[part] for part in PARTS_OF[kind])
    numbers = {thing.number for thing in stuff}
    untagged = [drop for number, drop in tags.drops.items() if number in numbers]
    return boxes.written | (tags.written & numbers), (*boxes.drops.values(), *untagged)


def _make_panoptic(task: _Task) -> Part:
    hurried, missed = task.drawn
    file = task.files["full"]
    entry = panoptic_entry(hurried, task.image, file.removeprefix("panoptic/"))
    return Part(
        entries=[entry],
        files={file: encode_segment_map(hurried.segment_map)},
        num_entries=len(entry["segments_info"]),
        written=task.objects_among(segment.segment_id for segment in hurried.segments),
        drops=missed,
    )


def _make_boxes(task: _Task) -> Part:
    perfect = take_kind(task.source, task.categories, "boxes", None, task.image.size_wh).boxes
    habits, seed = task.annotator.boxes, task.wanted.seed
    drawn_of = annotate_boxes(perfect, task.image.image_id, habits, task.image.size_wh, seed)
    things = [thing for thing in task.objects if thing.is_thing]
    pairs = list(zip(things, drawn_of, strict=False))  # The account notices one that is lost.
    box_format = task.wanted.box_format
    unmarked = {}
    if box_format == "yolo":
        reason = "YOLO files cannot mark a group"
        unmarked = {thing.number: thing.drop(reason) for thing in things if thing.is_group}
        pairs = [(thing, drawn) for thing, drawn in pairs if not thing.is_group]
    unboxed = {thing.number: thing.drop(MISSED) for thing, drawn in pairs if not drawn}
    boxes = tuple(box for _, drawn in pairs for box in drawn)
    files = {}
    if box_format == "voc":
        files[task.files["boxes"]] = box_files.voc_xml(task.image, boxes, task.categories)
    elif box_format == "yolo":
        files[task.files["boxes"]] = box_files.yolo_text(task.image, boxes, task.categories)
    return Part(
        entries=() if files else weak_json.box_entries(task.image, boxes),
        files=files,
        num_entries=len(boxes),
        written=frozenset(thing.number for thing, drawn in pairs if drawn),
        drops=unmarked | unboxed,
    )


def _make_tags(task: _Task) -> Part:
    perfect = task.perfect_tags
    given = annotate_weak(
        perfect, task.categories, task.annotator, task.image.size_wh, task.wanted.seed
    )
    # An object is written where its category is tagged in a crop that does have it.
    present = {i for crop in perfect.crops for i in crop.category_ids}
    tagged = {
        i
        for true, crop in zip(perfect.crops, given.crops, strict=True)
        for i in set(true.category_ids) & set(crop.category_ids)
    }
    missed = present - tagged
    untagged = {t.number: t.drop(MISSED) for t in task.objects if t.category_id in missed}
    # An object that nobody sees counts as tagged where another of its category is.
    hidden = {
        n: drop
        for n, drop in task.unseen.items()
        if task.full.own_boxes[n].category_id not in present
    }
    return Part(
        entries=weak_json.crop_entries(task.image, given.crops),
        num_entries=len(given.crops),
        written=frozenset(t.number for t in task.objects if t.category_id in tagged),
        drops={**untagged, **hidden},
    )


def _make_marks(kind: str, task: _Task) -> Part:
    weak = mark(task.full, task.categories, kind, task.annotator, task.wanted.seed)
    return _mark(task, weak.marks or ())


def _make_coarse(task: _Task) -> Part:
    hurried, missed = task.drawn
    outlines, drops = outlines_of(hurried, task.categories)
    outlined = {outline.segment_id for outline in outlines}
    without = [s.segment_id for s in hurried.segments if s.segment_id not in outlined]
    # outlines_of gives one drop for each segment without an outline, in the label's order.
    drop_of = dict(zip(without, drops, strict=True))
    # The background may lack an outline too, but is no object of the source.
    small = {number: drop_of[number] for number in without if number in task.objects_among(without)}
    return _mark(task, outlines, small | missed)


def _mark(task: _Task, marks: Sequence[Mark], drops: dict[int, Drop] | None = None) -> Part:
    """Return a part of marks, which say to which segment they belong."""
    groups = {thing.number for thing in task.objects if thing.is_group}
    return Part(
        entries=weak_json.mark_entries(task.image, marks, groups),
        num_entries=len(marks),
        written=task.objects_among(mark.segment_id for mark in marks),
        # Every segment gets a point and a scribble: only coarse outlines can be missing.
        drops={**task.unseen, **(drops or {})},
    )


def _count_actions(task: _Task) -> dict[str, dict[str, int]]:
    """Return how often the annotator does each action, by label kind."""
    # The annotator is paid for the work that there is, whatever mistakes are made in it.
    tags = task.perfect_tags if "tags" in task.wanted.parts else None
    return count_actions(measure_source(task.source, task.categories, tags), task.wanted.kinds)


_MAKERS: dict[str, Callable[[_Task], Part]] = {
    "full": _make_panoptic,
    "boxes": _make_boxes,
    "tags": _make_tags,
    "points": partial(_make_marks, "points"),
    "scribbles": partial(_make_marks, "scribbles"),
    "coarse": _make_coarse,
}
"""The function that makes each part."""
