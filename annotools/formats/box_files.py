"""Write the boxes of one image as a Pascal VOC or a YOLO file."""

import re
from collections.abc import Iterable
from xml.etree import ElementTree

from annotools.categories import Category, CategorySet
from annotools.records import Box, Image

# What XML 1.0 cannot hold, escaped or not.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def voc_xml(image: Image, boxes: Iterable[Box], categories: CategorySet) -> bytes:
    """Return the Pascal VOC annotation file of an image.

    Coordinates count from 1 and the last pixel belongs to the box. A group is `difficult`, the
    mark on which VOC's evaluation neither rewards nor punishes a detection; of other objects a
    label does not tell, and they lack the element. Characters that XML cannot hold become U+FFFD.
    """
    root = ElementTree.Element("annotation")
    _add(root, "filename", image.file_name)
    size = _add(root, "size")
    for tag, number in (("width", image.width), ("height", image.height), ("depth", 3)):
        _add(size, tag, number)
    # VOC says 1 here where an image has masks as well, and there are none in these files.
    _add(root, "segmented", 0)
    for box in boxes:
        x0, y0, x1, y1 = box.box_xyxy
        thing = _add(root, "object")
        _add(thing, "name", categories.by_id(box.category_id).name)
        if box.is_group:
            _add(thing, "difficult", 1)
        corners = _add(thing, "bndbox")
        for tag, number in (("xmin", x0 + 1), ("ymin", y0 + 1), ("xmax", x1), ("ymax", y1)):
            _add(corners, tag, number)
    ElementTree.indent(root)
    content = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return bytes(content) + b"\n"


def yolo_text(image: Image, boxes: Iterable[Box], categories: CategorySet) -> bytes:
    """Return the YOLO label file of an image, groups left out: the format cannot mark them.

    A line is the place of the category among the things, then centre x, centre y, width and
    height, as fractions of the image. Six decimals give whole pixels back up to sides of 250 000.
    """
    place_of = {
        categories.categories[i].category_id: n for n, i in enumerate(categories.thing_indices)
    }
    lines = []
    for box in boxes:
        if box.is_group:
            continue
        x0, y0, x1, y1 = box.box_xyxy
        numbers = (
            (x0 + x1) / 2 / image.width,
            (y0 + y1) / 2 / image.height,
            (x1 - x0) / image.width,
            (y1 - y0) / image.height,
        )
        lines.append(" ".join([str(place_of[box.category_id]), *(f"{n:.6f}" for n in numbers)]))
    return "".join(f"{line}\n" for line in lines).encode()


def yolo_classes(categories: CategorySet) -> bytes:
    """Return YOLO's list of class names, one thing a line, in the order that `yolo_text` counts."""
    names = (plain_name(categories.categories[i]) for i in categories.thing_indices)
    return "".join(f"{name}\n" for name in names).encode()


def plain_name(category: Category) -> str:
    """Return a category's name in one line, without what UTF-8 cannot hold."""
    return " ".join(category.name.split()).encode("utf-8", "replace").decode()


def _add(
    parent: ElementTree.Element, tag: str, value: str | int | None = None
) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, tag)
    if value is not None:
        child.text = _NOT_XML.sub("\ufffd", str(value))
    return child
