"""What a conversion writes for one image: entries, files, and an account of every object."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from annotools.categories import CategorySet
from annotools.conversion.wanted import BOX_SUFFIXES, Wanted
from annotools.formats import box_files, weak_json
from annotools.formats.coco_panoptic import panoptic_entry
from annotools.formats.panoptic_png import encode_segment_map
from annotools.formats.weak_json import Entry
from annotools.prices.actions import count_actions
from annotools.prices.image_content import measure_content
from annotools.records import TAGGED_KINDS, Box, Drop, FullLabel, Image, Segment
from annotools.weak_labels.annotators import (
    Annotator,
    annotate_boxes,
    annotate_points,
    annotate_weak,
)
from annotools.weak_labels.coarse import outlines_of
from annotools.weak_labels.outlines import MISSED, annotate_full
from annotools.weak_labels.points import points_of
from annotools.weak_labels.scribbles import scribbles_of
from annotools.weak_labels.weaken import weaken


@dataclass(frozen=True, kw_only=True)
class ImageOutputs:
    """All that is written for one image.

    `entries` are by part, those of parts without a JSON file left out; `files` are contents by
    name. `num_entries` counts the boxes, crops, marks or segments by part. `num_objects` is how
    many objects the source has, background left out; of these `num_written` are in the result of
    each kind, and the rest are `source_drops`, which no kind has, or `drops` of that kind.
    `actions` are what the annotator does, by kind.
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
    name = name if keep_suffix else weak_json.name_without_suffix(name)
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
    with_tags = not set(TAGGED_KINDS).isdisjoint(wanted.kinds)
    content = measure_content(label, categories, wanted.crop_size_wh, with_tags=with_tags)
    outputs = ImageOutputs(
        num_objects=len(objects) + len(label.drops),
        source_drops=label.drops,
        actions=count_actions(content, wanted.kinds),
    )
    hurried = annotate_full(label, categories, wanted.annotator or Annotator(), wanted.seed)
    if "full" in wanted.parts:
        _add_panoptic(outputs, image, hurried, objects, names[0])
        outputs.drops["full"] = hurried.drops[len(label.drops) :]
    _add_boxes_and_tags(outputs, image, label, objects, categories, wanted, names)
    _add_points_and_scribbles(outputs, image, label, objects, categories, wanted)
    if "coarse" in wanted.parts:
        _add_coarse(outputs, image, hurried, objects, categories)
        outputs.drops["coarse"] += hurried.drops[len(label.drops) :]
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
    things = [s for s in objects if categories.by_id(s.category_id).is_thing]
    stuff = [s for s in objects if not categories.by_id(s.category_id).is_thing]
    unmarked = [s for s in things if s.is_group] if wanted.box_format == "yolo" else []
    boxed = [s for s in things if s not in unmarked]
    drawn = _draw_boxes(image, label, categories, wanted) if "boxes" in wanted.parts else ()
    if "boxes" in wanted.parts:
        boxes = tuple(box for drawn_boxes in drawn for box in drawn_boxes)
        _write_boxes(outputs, image, boxes, categories, wanted.box_format, names)
    num_boxed = sum(bool(boxes) for boxes in drawn)
    unboxed = [s for s, boxes in zip(boxed, drawn, strict=False) if not boxes]
    box_drops = _drops(image, unmarked, "YOLO files cannot mark a group")
    box_drops += _drops(image, unboxed, MISSED)
    given, missed = (
        _add_tags(outputs, image, label, categories, wanted)
        if "tags" in wanted.parts
        else (set(), set())
    )
    if "boxes" in wanted.kinds:
        outputs.num_written["boxes"] = num_boxed
        outputs.drops["boxes"] = _drops(image, stuff, "stuff has no box") + box_drops
    if "tags" in wanted.kinds:
        outputs.num_written["tags"] = sum(s.category_id in given for s in objects)
        untagged = [s for s in objects if s.category_id in missed]
        outputs.drops["tags"] = _drops(image, untagged, MISSED)
    if "boxes+tags" in wanted.kinds:
        outputs.num_written["boxes+tags"] = num_boxed + sum(s.category_id in given for s in stuff)
        untagged = [s for s in stuff if s.category_id in missed]
        outputs.drops["boxes+tags"] = box_drops + _drops(image, untagged, MISSED)


def _draw_boxes(
    image: Image, label: FullLabel, categories: CategorySet, wanted: Wanted
) -> tuple[tuple[Box, ...], ...]:
    """Return the boxes drawn for each thing that the format of boxes can hold."""
    boxes = weaken(label, categories, "boxes", None).boxes
    if wanted.box_format == "yolo":
        boxes = tuple(box for box in boxes if not box.is_group)
    habits = (wanted.annotator or Annotator()).boxes
    size_wh = (image.width, image.height)
    return annotate_boxes(boxes, image.image_id, habits, size_wh, wanted.seed)


def _add_tags(
    outputs: ImageOutputs, image: Image, label: FullLabel, categories: CategorySet, wanted: Wanted
) -> tuple[set[int], set[int]]:
    """Return the categories present that some crop has a tag of, and those that none has."""
    perfect = weaken(label, categories, "tags", wanted.crop_size_wh)
    annotator, size_wh = wanted.annotator or Annotator(), (image.width, image.height)
    crops = annotate_weak(perfect, categories, annotator, size_wh, wanted.seed).crops
    outputs.entries["tags"] = weak_json.crop_entries(image, crops)
    outputs.num_entries["tags"] = len(crops)
    present = {category_id for crop in perfect.crops for category_id in crop.category_ids}
    given = {
        category_id
        for true, crop in zip(perfect.crops, crops, strict=True)
        for category_id in set(true.category_ids) & set(crop.category_ids)
    }
    return given, present - given


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
        outputs.files[names[-1]] = box_files.voc_xml(image, boxes, categories)
    elif box_format == "yolo":
        outputs.files[names[-1]] = box_files.yolo_text(image, boxes, categories)
    else:
        outputs.entries["boxes"] = weak_json.box_entries(image, boxes)


def _add_points_and_scribbles(
    outputs: ImageOutputs,
    image: Image,
    label: FullLabel,
    objects: tuple[Segment, ...],
    categories: CategorySet,
    wanted: Wanted,
) -> None:
    groups = {segment.segment_id for segment in label.segments if segment.is_group}
    if "points" in wanted.parts:
        habits = (wanted.annotator or Annotator()).points
        points = points_of(label, categories, wanted.seed)
        size_wh = (image.width, image.height)
        points = annotate_points(points, image.image_id, habits, size_wh, wanted.seed)
        _add_marks(outputs, "points", weak_json.point_entries(image, points, groups), objects)
    if "scribbles" in wanted.parts:
        scribbles = scribbles_of(label, categories, wanted.seed)
        entries = weak_json.scribble_entries(image, scribbles, groups)
        _add_marks(outputs, "scribbles", entries, objects)


def _add_coarse(
    outputs: ImageOutputs,
    image: Image,
    label: FullLabel,
    objects: tuple[Segment, ...],
    categories: CategorySet,
) -> None:
    groups = {segment.segment_id for segment in label.segments if segment.is_group}
    object_ids = {segment.segment_id for segment in objects}
    outlines, drops = outlines_of(label, categories)
    _add_marks(outputs, "coarse", weak_json.outline_entries(image, outlines, groups), objects)
    outlined = {outline.segment_id for outline in outlines}
    without = [s for s in label.segments if s.segment_id not in outlined]
    # The background may lack an outline too, but is no object of the source.
    outputs.drops["coarse"] = tuple(
        drop for s, drop in zip(without, drops, strict=True) if s.segment_id in object_ids
    )


def _add_marks(
    outputs: ImageOutputs, kind: str, entries: list[Entry], objects: tuple[Segment, ...]
) -> None:
    """Add entries that say themselves to which segment they belong."""
    object_ids = {segment.segment_id for segment in objects}
    outputs.entries[kind] = entries
    outputs.num_entries[kind] = len(entries)
    outputs.num_written[kind] = len({entry["segment_id"] for entry in entries} & object_ids)


def _drops(image: Image, segments: Iterable[Segment], reason: str) -> tuple[Drop, ...]:
    return tuple(
        Drop(place=f"image {image.image_id}: segment {segment.segment_id}", reason=reason)
        for segment in segments
    )
