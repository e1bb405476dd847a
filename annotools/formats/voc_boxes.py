"""Read the boxes of Pascal VOC's `Annotations/NAME.xml`, drawn apart from the masks."""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import DatasetError
from annotools.formats.json_values import read_short
from annotools.records import BoxXYXY

MAX_XML_BYTES = 2**20
"""An annotation is a few kilobytes; a longer file is taken for damage or malice."""

_MAX_COORDINATE = 2**27
_CATEGORY_ID_OF = {c.name: c.category_id for c in VOC_CATEGORIES.categories if c.is_thing}


@dataclass(frozen=True, kw_only=True)
class VocObject:
    """An object of an annotation file; its box is half-open, as everywhere inside the code."""

    category_id: int
    box_xyxy: BoxXYXY
    is_difficult: bool
    is_truncated: bool


def read_xml_boxes(path: Path) -> tuple[VocObject, ...]:
    """Return the objects of an annotation file, in its order.

    In the files boxes are 1-based and inclusive, some with fractions, which are rounded.

    Raises:
        DatasetError: for a file that is missing, too long, not XML, or has entities; for an
            object of unknown class or with an impossible box.
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
    elements = root.findall("object")
    return tuple(_read_object(f"{path}: object {n}", e) for n, e in enumerate(elements, start=1))


def _read_object(place: str, element: ElementTree.Element) -> VocObject:
    name = element.findtext("name", "").strip()
    if name not in _CATEGORY_ID_OF:
        raise DatasetError(f"{place}: {name!r} is no class of Pascal VOC: correct it")
    x0, y0, x1, y1 = (
        _read_coordinate(place, element, key) for key in ("xmin", "ymin", "xmax", "ymax")
    )
    if x0 > x1 or y0 > y1:
        raise DatasetError(f"{place}: box {x0}, {y0}, {x1}, {y1} ends before it begins: correct it")
    return VocObject(
        category_id=_CATEGORY_ID_OF[name],
        box_xyxy=(x0 - 1, y0 - 1, x1, y1),
        is_difficult=element.findtext("difficult", "0").strip() == "1",
        is_truncated=element.findtext("truncated", "0").strip() == "1",
    )


def _read_coordinate(place: str, element: ElementTree.Element, key: str) -> int:
    text = element.findtext(f"bndbox/{key}", "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # Written this way round, the comparison also refuses what is not a number.
    if not 1 <= value <= _MAX_COORDINATE:
        raise DatasetError(f"{place}: {key} is {text!r}, not a pixel counted from 1: correct it")
    return round(value)
