"""Compare Pascal VOC's masks with the boxes that were drawn apart from them.

Masks are what the reader of the format takes; `Annotations/NAME.xml` is held against them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.checks.problems import Problem, error_at, problem_of, warning_at
from annotools.errors import DatasetError
from annotools.formats.voc_boxes import VocObject, read_xml_boxes
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


def check_boxes(image: Image, label: FullLabel) -> Iterator[Problem]:
    """Hold the objects of an image's annotation file against the segments of its object map.

    Objects and segments pair up, first within a class where their boxes meet, then across classes
    where they overlap by `MIN_OVERLAP`. Nothing is said of an image that has no object map, or no
    folder of annotation files next to it, like SBD's, nor of a difficult object without a segment:
    the maps may have void in its place.
    """
    name = str(image.image_id)
    # A name may have folders of its own below that of the class maps.
    folder = image.label_paths[0].parents[1 + name.count("/")] / "Annotations"
    xml_path = folder / f"{name}.xml"
    if not xml_path.is_file():
        if folder.is_dir():
            yield warning_at(xml_path, "the annotation file is missing: masks alone are read")
        return
    try:
        objects = read_xml_boxes(xml_path)
    except DatasetError as error:
        yield problem_of(error, xml_path)
        return
    yield from _check_size(xml_path, image)
    if len(image.label_paths) < 2:
        return
    segments = [
        segment
        for segment in label.segments
        if VOC_CATEGORIES.by_id(segment.category_id).is_thing and not segment.is_group
    ]
    yield from _check_objects(xml_path, image, objects, segments)


def _check_size(xml_path: Path, image: Image) -> Iterator[Problem]:
    """Check the image size that an annotation file gives, if it gives one.

    The file is one that `read_xml_boxes` could read.
    """
    root = ElementTree.parse(xml_path).getroot()
    texts = [root.findtext(f"size/{key}") for key in ("width", "height")]
    given = tuple("none" if text is None else text.strip() for text in texts)
    if texts != [None, None] and given != (str(image.width), str(image.height)):
        yield error_at(
            xml_path,
            f"size is {given[0]} x {given[1]}, its image {image.width} x {image.height}: "
            "correct it",
        )


def _check_objects(
    xml_path: Path, image: Image, objects: Sequence[VocObject], segments: Sequence[Segment]
) -> Iterator[Problem]:
    object_path = image.label_paths[1]
    pairs = _pair_up(segments, objects)
    for n, thing in enumerate(objects):
        place = f"{xml_path}: object {n + 1}"
        # The reader refuses coordinates below 1, so only the far sides can lie outside of the
        # image.
        _, _, x1, y1 = thing.box_xyxy
        if x1 > image.width or y1 > image.height:
            yield error_at(
                place,
                f"box {_in_file(thing.box_xyxy)} reaches out of its image of "
                f"{image.width} x {image.height}: correct it",
            )
        if n in pairs:
            yield from _check_pair(place, thing, segments[pairs[n]])
        elif not thing.is_difficult:
            yield error_at(
                place,
                f"{_class_of(thing)} in box {_in_file(thing.box_xyxy)} has no segment in "
                f"{object_path}: add it there or drop the object",
            )
    for m, segment in enumerate(segments):
        if m not in pairs.values():
            yield error_at(
                f"{object_path}: segment {segment.segment_id}",
                f"{_class_of(segment)} in box {_in_file(segment.box_xyxy)} has no object in "
                f"{xml_path}: add it there or drop the segment",
            )


def _check_pair(place: str, thing: VocObject, segment: Segment) -> Iterator[Problem]:
    name = f"segment {segment.segment_id}"
    if thing.category_id != segment.category_id:
        yield error_at(
            place,
            f"is {_class_of(thing)}, but {name} in its box is {_class_of(segment)}: correct the "
            "wrong one",
        )
        return
    box, tight = thing.box_xyxy, segment.box_xyxy
    off = max(abs(a - b) for a, b in zip(box, tight, strict=True))
    # The reader takes masks alone, so a loose box spoils no label and is only a warning.
    if off > BOX_PIXELS:
        yield warning_at(
            place,
            f"box {_in_file(box)} is {off} pixels off that of {name}, {_in_file(tight)}, more "
            f"than {BOX_PIXELS}; the segment counts: correct the wrong one",
        )


def _pair_up(segments: Sequence[Segment], objects: Sequence[VocObject]) -> dict[int, int]:
    """Return places of objects with those of their segments, which may be of another class."""
    overlaps = _overlaps([o.box_xyxy for o in objects], [s.box_xyxy for s in segments])
    is_same = np.equal.outer(
        [thing.category_id for thing in objects], [segment.category_id for segment in segments]
    )
    same_class = _best_pairs(np.where(is_same, overlaps, 0))
    others = np.where(is_same | (overlaps < MIN_OVERLAP), 0, overlaps)
    # What has a partner of its own class is no longer free for one of another class.
    others[list(same_class)] = 0
    others[:, list(same_class.values())] = 0
    return same_class | _best_pairs(others)


def _best_pairs(overlaps: NDArray[np.float64]) -> dict[int, int]:
    """Return the pairs of rows and columns that overlap most together, each more than 0."""
    # Taking the best pair again and again could leave two without a partner that have one here.
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {row: column for row, column in pairs if overlaps[row, column] > 0}


def _overlaps(first: Sequence[BoxXYXY], second: Sequence[BoxXYXY]) -> NDArray[np.float64]:
    """Return intersections over unions of N and M boxes: (N, M)."""
    one = np.array(first, dtype=np.int64).reshape(-1, 1, 4)
    two = np.array(second, dtype=np.int64).reshape(1, -1, 4)
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    shared = sides.clip(min=0).prod(axis=2)  # (N, M)
    area_one, area_two = ((boxes[..., 2:] - boxes[..., :2]).prod(axis=2) for boxes in (one, two))
    return np.asarray(shared / (area_one + area_two - shared))


def _class_of(found: Segment | VocObject) -> str:
    return VOC_CATEGORIES.by_id(found.category_id).name


def _in_file(box_xyxy: BoxXYXY) -> str:
    """Return a box as annotation files have it: from 1, last pixel included."""
    x0, y0, x1, y1 = box_xyxy
    return f"{x0 + 1}, {y0 + 1}, {x1}, {y1}"
