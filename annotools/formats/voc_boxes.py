"""Read Pascal VOC's `Annotations/NAME.xml`: boxes drawn apart from the masks, or without any."""

import codecs
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.coco_entries import OUTSIDE, find_box, reaches_out
from annotools.formats.json_values import drop_impossible
from annotools.formats.pictures import MAX_PIXELS
from annotools.read_files import read_short
from annotools.records import Box, BoxXYXY, Drop, Segment

LABEL_MAP = "labelmap.txt"
"""The file in which datumaro lists the classes of a dataset in Pascal VOC's layout."""

MAX_XML_BYTES = 2**23
"""Some 30 000 objects; a longer file is taken for damage or malice."""

BELOW_ONE = "a side of its box is below 1, where VOC begins to count, and taken as 1"


_ENCODING = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z][\w.-]{0,40})["']""")
_OF_TEXT = re.compile("ascii|big5|cp|euc|gb|iso|koi8|latin|mac|shift|sjis|us-|utf-8|utf-16|windows")
"""The encodings of alphabets, Chinese, Japanese and Korean ones included, begin so."""


@dataclass(frozen=True, kw_only=True)
class XmlObject:
    """An object as an annotation file has it; `corners` are its texts, by `xmin` and so on."""

    place: str
    name: str
    corners: Mapping[str, str]
    is_difficult: bool


@dataclass(frozen=True, kw_only=True)
class XmlFile:
    """An annotation file: the texts of its image's width and height, and its objects.

    `counts_from_zero` is true of the files of datumaro, which CVAT exports with: there sides are
    borders between pixels, the first of which is 0.
    """

    file_name: str
    size_texts: tuple[str | None, str | None]
    objects: tuple[XmlObject, ...]
    counts_from_zero: bool


@dataclass(frozen=True, kw_only=True)
class VocObject:
    """An object of an annotation file with a category and a half-open box inside its image."""

    place: str
    category_id: int
    box_xyxy: BoxXYXY
    is_difficult: bool


@dataclass(frozen=True, kw_only=True)
class VocObjects:
    """The objects of an image, those that are impossible, and boxes taken as others than given."""

    objects: tuple[VocObject, ...]
    drops: tuple[Drop, ...]
    doubts: tuple[Drop, ...]


def read_xml(path: Path) -> XmlFile:
    """Return what an annotation file says, in its order.

    Raises:
        DatasetError: for a file that is missing, too long, not XML, not VOC's, or has entities.
    """
    root = _parse(path, read_short(path, MAX_XML_BYTES))
    if root.tag != "annotation":
        raise DatasetError(
            f"{path}: begins with <{root.tag[:40]}>, not with VOC's <annotation>: export it as "
            "Pascal VOC"
        )
    elements = enumerate(root.findall("object"), start=1)
    objects = tuple(_describe(f"{path}: object {n}", element) for n, element in elements)
    # Nothing else writes both a label map beside the folder and every side with a point.
    is_decimal = all("." in text for thing in objects for text in thing.corners.values())
    folders = path.absolute().parents[1:3] if objects and is_decimal else ()
    return XmlFile(
        file_name=root.findtext("filename", "").strip(),
        size_texts=(root.findtext("size/width"), root.findtext("size/height")),
        objects=objects,
        counts_from_zero=any((folder / LABEL_MAP).is_file() for folder in folders),
    )


def take_objects(
    xml: XmlFile, size_wh: tuple[int, int], categories: CategorySet, *, allow_missing: bool
) -> VocObjects:
    """Return the objects of an annotation file with categories and boxes, in its order.

    In the files boxes are 1-based and inclusive, some with fractions, but for those that count from
    zero. Sides are rounded and clipped
    to the image as `find_box` has it.

    Args:
        xml: the file.
        size_wh: width and height of its image in pixels.
        categories: among whose things are the names of the objects.
        allow_missing: list objects of unknown class or with an impossible box as drops.

    Raises:
        DatasetError: for such an object, unless allowed.
    """
    things = (c for c in categories.categories if c.is_thing)
    # Of two categories of one name the first is meant.
    id_of = {category.name: category.category_id for category in reversed(tuple(things))}
    objects, drops, doubts = [], [], []
    for thing in xml.objects:
        try:
            if not thing.name:
                raise DatasetError("has no name: give it that of its class")
            if thing.name not in id_of:
                raise DatasetError(f"{thing.name!r} is no class of the dataset: correct it")
            box_xyxy, reasons = _take_box(thing, size_wh, first=0 if xml.counts_from_zero else 1)
        except DatasetError as error:
            drops.append(drop_impossible(thing.place, error, allow_missing=allow_missing))
            continue
        doubts += [Drop(place=thing.place, reason=reason) for reason in reasons]
        objects.append(
            VocObject(
                place=thing.place,
                category_id=id_of[thing.name],
                box_xyxy=box_xyxy,
                is_difficult=thing.is_difficult,
            )
        )
    return VocObjects(objects=tuple(objects), drops=tuple(drops), doubts=tuple(doubts))


def pair_up(objects: Sequence[VocObject], segments: Sequence[Segment]) -> dict[int, int]:
    """Return the places of objects with those of the segments of their class that fit best.

    Boxes of a pair meet, and all pairs together overlap as much as possible.
    """
    is_same = np.equal.outer(
        [thing.category_id for thing in objects], [segment.category_id for segment in segments]
    )
    return best_pairs(np.where(is_same, box_overlaps(objects, segments), 0))


def best_pairs(overlaps: NDArray[np.float64]) -> dict[int, int]:
    """Return the pairs of rows and columns that overlap most together, each more than 0."""
    # Imported here, because it takes longer to load than most labels to read.
    from scipy.optimize import linear_sum_assignment

    # Taking the best pair again and again could leave two without a partner that have one here.
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {row: column for row, column in pairs if overlaps[row, column] > 0}


def box_overlaps(
    objects: Sequence[VocObject | Box], others: Sequence[Segment | Box]
) -> NDArray[np.float64]:
    """Return intersections over unions of the boxes of N objects and M others: (N, M)."""
    one = np.array([o.box_xyxy for o in objects], dtype=np.int64).reshape(-1, 1, 4)
    two = np.array([s.box_xyxy for s in others], dtype=np.int64).reshape(1, -1, 4)
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    shared = sides.clip(min=0).prod(axis=2)  # (N, M)
    area_one, area_two = ((boxes[..., 2:] - boxes[..., :2]).prod(axis=2) for boxes in (one, two))
    return np.asarray(shared / (area_one + area_two - shared))


def _parse(path: Path, data: bytes) -> ElementTree.Element:
    try:
        text = _decode(data)
    except (ValueError, LookupError) as error:
        raise DatasetError(f"{path}: not valid XML ({error}): save it as UTF-8") from error
    # Entities can refer to other files or grow without end; annotations have none.
    if any(word in text for word in ("<!DOCTYPE", "<!ENTITY")):
        raise DatasetError(f"{path}: declares a document type: remove it")
    try:
        # Of text the parser does not look at the encoding that it declares.
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DatasetError(f"{path}: not valid XML ({error}): download it again") from error


def _decode(data: bytes) -> str:
    """Return the text of an XML file.

    Raises:
        ValueError: for bytes that are not of its encoding.
        LookupError: for an encoding that is none of text.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    for start, encoding in ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")):
        if data.startswith(start):
            return data.decode(encoding)
    # Many files are in UTF-8 whatever they declare.
    with suppress(UnicodeDecodeError):
        return data.decode("utf-8-sig")
    declared = _ENCODING.match(data)
    name = declared[1].decode("ascii") if declared else "utf-8"
    # Other codecs of Python are slow on purpose, or hide what is looked for.
    if not _OF_TEXT.match(name.lower()):
        raise LookupError(f"unknown encoding {name}")
    return data.decode(name)


def _describe(place: str, element: ElementTree.Element) -> XmlObject:
    return XmlObject(
        place=place,
        name=element.findtext("name", "").strip(),
        corners={k: element.findtext(f"bndbox/{k}", "") for k in ("xmin", "ymin", "xmax", "ymax")},
        is_difficult=element.findtext("difficult", "0").strip() == "1",
    )


def _take_box(thing: XmlObject, size_wh: tuple[int, int], first: int) -> tuple[BoxXYXY, list[str]]:
    """Return the half-open box of an object, and in what it is not as the file has it.

    Args:
        thing: the object.
        size_wh: width and height of its image in pixels.
        first: 1 where pixels count from 1 and the last one belongs to the box; 0 where sides are
            borders between pixels, the first of which is 0.

    Raises:
        DatasetError: without the place, for an impossible one.
    """
    x0, y0, x1, y1 = (_number(thing, key) for key in ("xmin", "ymin", "xmax", "ymax"))
    if x0 > x1 or y0 > y1:
        raise DatasetError(f"box {x0:g}, {y0:g}, {x1:g}, {y1:g} ends before it begins: correct it")
    box_xyxy = find_box([x0 - first, y0 - first, x1 - x0 + first, y1 - y0 + first], size_wh)
    reasons = [BELOW_ONE] if min(x0, y0) < first else []
    # Whether it begins before the image is said by the other reason.
    return box_xyxy, [*reasons, OUTSIDE] if reaches_out([0, 0, x1, y1], size_wh) else reasons


def _number(thing: XmlObject, key: str) -> float:
    text = thing.corners[key]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # Written this way round, the comparison also refuses what is not a number.
    if not abs(value) <= MAX_PIXELS:
        raise DatasetError(f"{key} is {text!r}, not a number of pixels: correct it")
    return value
