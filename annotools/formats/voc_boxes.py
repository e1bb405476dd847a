"""Read Pascal VOC's `Annotations/NAME.xml`: boxes drawn apart from the masks, or without any."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.json_values import read_short
from annotools.records import BoxXYXY, Segment

MAX_XML_BYTES = 2**20
"""An annotation is a few kilobytes; a longer file is taken for damage or malice."""

_MAX_COORDINATE = 2**27


@dataclass(frozen=True, kw_only=True)
class XmlObject:
    """An object as an annotation file has it; `corners` are its texts, by `xmin` and so on."""

    place: str
    name: str
    corners: Mapping[str, str]
    is_difficult: bool
    is_truncated: bool

    @property
    def box_xyxy(self) -> BoxXYXY:
        """The box, half-open as everywhere inside the code.

        In the files boxes are 1-based and inclusive, some with fractions, which are rounded.

        Raises:
            DatasetError: for an impossible box.
        """
        x0, y0, x1, y1 = (self._coordinate(key) for key in ("xmin", "ymin", "xmax", "ymax"))
        if x0 > x1 or y0 > y1:
            raise DatasetError(
                f"{self.place}: box {x0}, {y0}, {x1}, {y1} ends before it begins: correct it"
            )
        return x0 - 1, y0 - 1, x1, y1

    def _coordinate(self, key: str) -> int:
        text = self.corners[key]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        # Written this way round, the comparison also refuses what is not a number.
        if not 1 <= value <= _MAX_COORDINATE:
            raise DatasetError(
                f"{self.place}: {key} is {text!r}, not a pixel counted from 1: correct it"
            )
        return round(value)


@dataclass(frozen=True, kw_only=True)
class XmlFile:
    """An annotation file: the texts of its image's width and height, and its objects."""

    file_name: str
    size_texts: tuple[str | None, str | None]
    objects: tuple[XmlObject, ...]


@dataclass(frozen=True, kw_only=True)
class VocObject:
    """An object of an annotation file with a category and a half-open box."""

    category_id: int
    box_xyxy: BoxXYXY
    is_difficult: bool
    is_truncated: bool


def read_xml(path: Path) -> XmlFile:
    """Return what an annotation file says, in its order.

    Raises:
        DatasetError: for a file that is missing, too long, not XML, or has entities.
    """
    data = read_short(path, MAX_XML_BYTES)
    try:
        text = data.decode("utf-8-sig")
        # Entities can refer to other files or grow without end; annotations have none.
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise DatasetError(f"{path}: declares a document type: remove it")
        root = ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise DatasetError(f"{path}: not valid XML ({error}): download it again") from error
    elements = enumerate(root.findall("object"), start=1)
    return XmlFile(
        file_name=root.findtext("filename", "").strip(),
        size_texts=(root.findtext("size/width"), root.findtext("size/height")),
        objects=tuple(_describe(f"{path}: object {n}", element) for n, element in elements),
    )


def read_xml_boxes(path: Path, categories: CategorySet) -> tuple[VocObject, ...]:
    """Return the objects of an annotation file, in its order.

    Raises:
        DatasetError: as `read_xml`, and for an object of unknown class or with an impossible box.
    """
    return tuple(to_voc_object(thing, categories) for thing in read_xml(path).objects)


def to_voc_object(thing: XmlObject, categories: CategorySet) -> VocObject:
    """Return an object with the category of its name.

    Raises:
        DatasetError: for an unknown class or an impossible box.
    """
    known = (c.category_id for c in categories.categories if c.is_thing and c.name == thing.name)
    category_id = next(known, None)
    if category_id is None:
        raise DatasetError(f"{thing.place}: {thing.name!r} is no class of the dataset: correct it")
    return VocObject(
        category_id=category_id,
        box_xyxy=thing.box_xyxy,
        is_difficult=thing.is_difficult,
        is_truncated=thing.is_truncated,
    )


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
    # Taking the best pair again and again could leave two without a partner that have one here.
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return {row: column for row, column in pairs if overlaps[row, column] > 0}


def box_overlaps(objects: Sequence[VocObject], segments: Sequence[Segment]) -> NDArray[np.float64]:
    """Return intersections over unions of the boxes of N objects and M segments: (N, M)."""
    one = np.array([o.box_xyxy for o in objects], dtype=np.int64).reshape(-1, 1, 4)
    two = np.array([s.box_xyxy for s in segments], dtype=np.int64).reshape(1, -1, 4)
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    shared = sides.clip(min=0).prod(axis=2)  # (N, M)
    area_one, area_two = ((boxes[..., 2:] - boxes[..., :2]).prod(axis=2) for boxes in (one, two))
    return np.asarray(shared / (area_one + area_two - shared))


def _describe(place: str, element: ElementTree.Element) -> XmlObject:
    return XmlObject(
        place=place,
        name=element.findtext("name", "").strip(),
        corners={k: element.findtext(f"bndbox/{k}", "") for k in ("xmin", "ymin", "xmax", "ymax")},
        is_difficult=element.findtext("difficult", "0").strip() == "1",
        is_truncated=element.findtext("truncated", "0").strip() == "1",
    )
