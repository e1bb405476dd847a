"""Compare Pascal VOC's masks with the boxes that were drawn apart from them.

The reader of the format takes both, masks as labels and `Annotations/NAME.xml` as boxes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from annotools.categories import CategorySet
from annotools.checks.problems import Problem, error_at, warning_at
from annotools.formats import voc
from annotools.formats.voc_boxes import (
    VocObject,
    XmlFile,
    best_pairs,
    box_overlaps,
    pair_up,
    read_xml,
    take_objects,
)
from annotools.records import BoxXYXY, FullLabel, Image, Segment

BOX_PIXELS = 15
"""How far a side of a box may be off its segment's tight box, in pixels.

Masks end inside a void border of about 5 pixels, and boxes are as loose as hands are: of the 240
sides in 20 images of VOC 2007, 96 % are up to 8 pixels off and 234 up to 12. The other six, 20 to
134 pixels off, are where box and mask disagree on what belongs to the object.

Boxes of a file that counts from 0 are no further off than these. A mean over a dataset is not
compared either: in these images the middles of boxes lie 0.2 pixels left of and 0.3 above those of
their segments, each give or take 0.2, and where they lie elsewhere is not known. Such files show
where a box touches the left or upper border, as 8 of these 60 do: 0 is an error there.
"""

MIN_OVERLAP = 0.5
"""Least intersection over union of boxes of different classes to be taken for the same object."""


def check_boxes(image: Image, label: FullLabel, categories: CategorySet) -> Iterator[Problem]:
    """Hold the objects of an image's annotation file against the segments of its object map.

    Objects and segments pair up, first within a class where their boxes meet, then across classes
    where they overlap by `MIN_OVERLAP`. Nothing is said of an image that has no object map, or no
    folder of annotation files, nor of a difficult object without a segment: the maps may have void
    in its place.
    """
    xml_path = voc.xml_of(image)
    if xml_path is None:
        missing = _missing_file(image)
        if missing is not None:
            yield warning_at(missing, "the annotation file is missing: masks alone are read")
        return
    xml = read_xml(xml_path)  # The label's reader could read it.
    found = take_objects(xml, image.size_wh, categories, allow_missing=True)
    yield from (error_at(drop.place, drop.reason) for drop in found.drops)
    yield from _check_size(xml_path, xml, image)
    object_path = voc.object_map_of(image)
    # The segment of an object that cannot be read would be told to lack one.
    if object_path is None or found.drops:
        return
    segments = [
        segment
        for segment in label.segments
        if categories.by_id(segment.category_id).is_thing and not segment.is_group
    ]
    yield from _check_objects(xml_path, object_path, found.objects, segments, categories)


def _missing_file(image: Image) -> Path | None:
    """Return where an image's annotation file should be; None where others have none either."""
    name = str(image.image_id)
    # A name may have folders of its own below that of the class maps.
    folder = image.label_paths[0].parents[1 + name.count("/")] / "Annotations"
    return folder / f"{name}.xml" if folder.is_dir() else None


def _check_size(xml_path: Path, xml: XmlFile, image: Image) -> Iterator[Problem]:
    """Check the image size that an annotation file gives, if it gives one."""
    given = tuple("none" if text is None else text.strip() for text in xml.size_texts)
    if xml.size_texts != (None, None) and given != (str(image.width), str(image.height)):
        yield error_at(
            xml_path,
            f"size is {given[0]} x {given[1]}, its image {image.width} x {image.height}: "
            "correct it",
        )


def _check_objects(
    xml_path: Path,
    object_path: Path,
    objects: Sequence[VocObject],
    segments: Sequence[Segment],
    categories: CategorySet,
) -> Iterator[Problem]:
    pairs = _pair_up(segments, objects)
    for n, thing in enumerate(objects):
        if n in pairs:
            yield from _check_pair(thing, segments[pairs[n]], categories)
        elif not thing.is_difficult:
            name = _class_of(thing, categories)
            yield error_at(
                thing.place,
                f"{name} in box {_in_file(thing.box_xyxy)} has no segment in "
                f"{object_path}: add it there or drop the object",
            )
    for m, segment in enumerate(segments):
        if m not in pairs.values():
            name = _class_of(segment, categories)
            yield error_at(
                f"{object_path}: segment {segment.segment_id}",
                f"{name} in box {_in_file(segment.box_xyxy)} has no object in "
                f"{xml_path}: add it there or drop the segment",
            )


def _check_pair(thing: VocObject, segment: Segment, categories: CategorySet) -> Iterator[Problem]:
    name = f"segment {segment.segment_id}"
    if thing.category_id != segment.category_id:
        yield error_at(
            thing.place,
            f"is {_class_of(thing, categories)}, but {name} in its box is "
            f"{_class_of(segment, categories)}: correct the wrong one",
        )
        return
    box, tight = thing.box_xyxy, segment.box_xyxy
    off = max(abs(a - b) for a, b in zip(box, tight, strict=True))
    # Boxes and masks are both taken as they are, so a loose box spoils no other label.
    if off > BOX_PIXELS:
        yield warning_at(
            thing.place,
            f"box {_in_file(box)} is {off} pixels off that of {name}, {_in_file(tight)}, more "
            f"than {BOX_PIXELS}: correct the wrong one",
        )


def _pair_up(segments: Sequence[Segment], objects: Sequence[VocObject]) -> dict[int, int]:
    """Return places of objects with those of their segments, which may be of another class."""
    same_class = pair_up(objects, segments)
    is_same = np.equal.outer(
        [thing.category_id for thing in objects], [segment.category_id for segment in segments]
    )
    overlaps = box_overlaps(objects, segments)
    others = np.where(is_same | (overlaps < MIN_OVERLAP), 0, overlaps)
    # What has a partner of its own class is no longer free for one of another class.
    others[list(same_class)] = 0
    others[:, list(same_class.values())] = 0
    return same_class | best_pairs(others)


def _class_of(found: Segment | VocObject, categories: CategorySet) -> str:
    return categories.by_id(found.category_id).name


def _in_file(box_xyxy: BoxXYXY) -> str:
    """Return a box as annotation files have it: from 1, last pixel included."""
    x0, y0, x1, y1 = box_xyxy
    return f"{x0 + 1}, {y0 + 1}, {x1}, {y1}"
