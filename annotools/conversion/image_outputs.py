"""What a conversion writes for one image: entries, files, and an account of every object."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from annotools.categories import CategorySet
from annotools.costs import count_actions
from annotools.errors import RecipeError
from annotools.formats import writers
from annotools.formats.coco_panoptic import encode_segment_map, panoptic_entry
from annotools.formats.writers import Entry
from annotools.records import LABEL_KINDS, Box, Drop, FullLabel, Image, Segment, TaggedCrop
from annotools.weak_labels.coarse import outlines_of
from annotools.weak_labels.points import points_of
from annotools.weak_labels.scribbles import scribbles_of
from annotools.weak_labels.weaken import WEAK_KINDS, weaken

BOX_FORMATS = ("coco", "voc", "yolo")
"""COCO detection, one file; Pascal VOC XML or YOLO text, a file an image."""

PRICED_KINDS = ("full", *WEAK_KINDS)
"""The label kinds whose actions have a price."""

PARTS_OF = {kind: (kind,) for kind in LABEL_KINDS} | {"boxes+tags": ("boxes", "tags")}
"""The parts of a conversion, each with files of its own, that a label kind consists of."""

BOX_SUFFIXES = {"voc": ".xml", "yolo": ".txt"}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to convert to.

    `kinds` are some of `LABEL_KINDS`, `box_format` one of `BOX_FORMATS`, `crop_size_wh` the pixels
    of the tagged crops (None for the whole image), `seed` that of points and scribbles.

    Raises:
        RecipeError: for no kind, one given twice, an unknown kind or format of boxes.
    """

    kinds: tuple[str, ...]
    box_format: str = "coco"
    crop_size_wh: tuple[int, int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in LABEL_KINDS:
                raise RecipeError(f"unknown label kind {kind!r}: use {', '.join(LABEL_KINDS)}")
        if len(set(self.kinds)) != len(self.kinds) or not self.kinds:
            raise RecipeError(f"label kinds {self.kinds}: give one or more, each once")
        if self.box_format not in BOX_FORMATS:
            raise RecipeError(
                f"unknown format of boxes {self.box_format!r}: use {', '.join(BOX_FORMATS)}"
            )

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts to write, each once."""
        return tuple(dict.fromkeys(part for kind in self.kinds for part in PARTS_OF[kind]))


@dataclass(frozen=True, kw_only=True)
class ImageOutputs:
    """All that is written for one image.

    `entries` are by part, those of parts without a JSON file left out; `files` are contents by
    name. `num_entries` counts the boxes, crops, marks or segments by part. `num_objects` is how
    many objects the source has, background left out; of these `num_written` are in the result of
    each kind, and the rest are `source_drops`, which no kind has, or `drops` of that kind.
    `actions` are what the annotator does, by priced kind.
    """

    num_objects: int
    source_drops: tuple[Drop, ...]
    entries: dict[str, list[Entry]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    num_entries: dict[str, int] = field(default_factory=dict)
    num_written: dict[str, int] = field(default_factory=dict)
    drops: dict[str, tuple[Drop, ...]] = field(default_factory=dict)
    actions: dict[str, dict[str, int]] = field(default_factory=dict)


def image_files(image: Image, wanted: Wanted, *, keep_suffix: bool) -> tuple[str, ...]:
    """Return the names, relative to the output folder, of the files that this image gets.

    They are the image's own name with its folders, below `panoptic/` and `boxes/`; `keep_suffix`
    says whether the photo's suffix stays in front of the new one.
    """
    name = str(PurePosixPath(image.file_name))
    name = name if keep_suffix else writers.name_without_suffix(name)
    names = []
    if "full" in wanted.parts:
        names.append(f"panoptic/{name}.png")
    if "boxes" in wanted.parts and wanted.box_format in BOX_SUFFIXES:
        names.append(f"boxes/{name}{BOX_SUFFIXES[wanted.box_format]}")
    return tuple(names)


def convert_image(
    image: Image, label: FullLabel, categories: CategorySet, wanted: Wanted, names: tuple[str, ...]
) -> ImageOutputs:
    """Convert the label of one image to all that is wanted.

    Args:
        image: the image.
        label: its full label.
        categories: the dataset's.
        wanted: what to convert to.
        names: of the image's own files, from `image_files`.
    """
    objects = tuple(s for s in label.segments if s.category_id != categories.background_id)
    outputs = ImageOutputs(
        num_objects=len(objects) + len(label.drops),
        source_drops=label.drops,
        actions={
            kind: count_actions(label, categories, kind, wanted.crop_size_wh)
            for kind in wanted.kinds
            if kind in PRICED_KINDS
        },
    )
    if "full" in wanted.parts:
        _add_panoptic(outputs, image, label, objects, names[0])
    _add_boxes_and_tags(outputs, image, label, objects, categories, wanted, names)
    _add_marks(outputs, image, label, objects, categories, wanted)
    return outputs


def _add_panoptic(
    outputs: ImageOutputs, image: Image, label: FullLabel, objects: Iterable[Segment], name: str
) -> None:
    entry = panoptic_entry(label, image, name.removeprefix("panoptic/"))
    outputs.entries["full"] = [entry]
    outputs.files[name] = encode_segment_map(label.segment_map)
    object_categories = {segment.category_id for segment in objects}
    written = [e for e in entry["segments_info"] if e["category_id"] in object_categories]
    outputs.num_entries["full"] = len(entry["segments_info"])
    outputs.num_written["full"] = len(written)


def _add_boxes_and_tags(
    outputs: ImageOutputs,
    image: Image,
    label: FullLabel,
    objects: tuple[Segment, ...],
    categories: CategorySet,
    wanted: Wanted,
    names: tuple[str, ...],
) -> None:
    boxes: tuple[Box, ...] = ()
    crops: tuple[TaggedCrop, ...] = ()
    unmarked = [s for s in objects if s.is_group] if wanted.box_format == "yolo" else []
    if "boxes" in wanted.parts:
        boxes = weaken(label, categories, "boxes", None).boxes
        if wanted.box_format == "yolo":
            boxes = tuple(box for box in boxes if not box.is_group)
        _write_boxes(outputs, image, boxes, categories, wanted.box_format, names)
    if "tags" in wanted.parts:
        crops = weaken(label, categories, "tags", wanted.crop_size_wh).crops
        outputs.entries["tags"] = writers.crop_entries(image, crops)
        outputs.num_entries["tags"] = len(crops)
    tagged = {category_id for crop in crops for category_id in crop.category_ids}
    stuff = [s for s in objects if not categories.by_id(s.category_id).is_thing]
    group_drops = _drops(image, unmarked, "YOLO files cannot mark a group")
    if "boxes" in wanted.kinds:
        outputs.num_written["boxes"] = len(boxes)
        outputs.drops["boxes"] = _drops(image, stuff, "stuff has no box") + group_drops
    if "tags" in wanted.kinds:
        outputs.num_written["tags"] = sum(s.category_id in tagged for s in objects)
    if "boxes+tags" in wanted.kinds:
        outputs.num_written["boxes+tags"] = len(boxes) + sum(s.category_id in tagged for s in stuff)
        outputs.drops["boxes+tags"] = group_drops


def _write_boxes(
    outputs: ImageOutputs,
    image: Image,
    boxes: tuple[Box, ...],
    categories: CategorySet,
    box_format: str,
    names: tuple[str, ...],
) -> None:
    outputs.num_entries["boxes"] = len(boxes)
    if box_format == "voc":
        outputs.files[names[-1]] = writers.voc_xml(image, boxes, categories)
    elif box_format == "yolo":
        outputs.files[names[-1]] = writers.yolo_text(image, boxes, categories)
    else:
        outputs.entries["boxes"] = writers.box_entries(image, boxes)


def _add_marks(
    outputs: ImageOutputs,
    image: Image,
    label: FullLabel,
    objects: tuple[Segment, ...],
    categories: CategorySet,
    wanted: Wanted,
) -> None:
    """Add points, scribbles and coarse masks: what says itself to which segment it belongs."""
    groups = {segment.segment_id for segment in label.segments if segment.is_group}
    object_ids = {segment.segment_id for segment in objects}
    if "points" in wanted.parts:
        points = points_of(label, categories, wanted.seed)
        outputs.entries["points"] = writers.point_entries(image, points, groups)
    if "scribbles" in wanted.parts:
        scribbles = scribbles_of(label, categories, wanted.seed)
        outputs.entries["scribbles"] = writers.scribble_entries(image, scribbles, groups)
    if "coarse" in wanted.parts:
        outlines, drops = outlines_of(label, categories)
        outputs.entries["coarse"] = writers.outline_entries(image, outlines, groups)
        outlined = {outline.segment_id for outline in outlines}
        without = [s for s in label.segments if s.segment_id not in outlined]
        # The background may lack an outline too, but is no object of the source.
        outputs.drops["coarse"] = tuple(
            drop for s, drop in zip(without, drops, strict=True) if s.segment_id in object_ids
        )
    for kind in ("points", "scribbles", "coarse"):
        if kind in wanted.parts:
            marked = {entry["segment_id"] for entry in outputs.entries[kind]}
            outputs.num_entries[kind] = len(outputs.entries[kind])
            outputs.num_written[kind] = len(marked & object_ids)


def _drops(image: Image, segments: Iterable[Segment], reason: str) -> tuple[Drop, ...]:
    return tuple(
        Drop(place=f"image {image.image_id}: segment {segment.segment_id}", reason=reason)
        for segment in segments
    )
