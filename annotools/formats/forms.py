"""Forgive the form of a COCO file and not its meaning: what is taken as something else is counted.

Exporters write numbers as text, whole numbers with a point, null for a flag. Each is put into the
form that COCO has, right after the file was parsed, so that readers and checks see that form alone;
the dataset says in a remark how often it was done.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from annotools.formats.json_values import read_json

Forms = Counter[str]
"""How often something was taken that has an unusual form, by what that is, in words."""

OTHER_IDS = "image_id is text in one file and a number in the other"
"""The form of an id that is matched with another file's."""

_WHOLE = re.compile(r"-?[0-9]{1,20}")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")

_SHARED: ContextVar[dict[Path, tuple[Any, Forms]] | None] = ContextVar("_SHARED", default=None)
"""Content that was read, and its forms, by path; None where nobody shares any."""


@contextmanager
def share_content() -> Iterator[None]:
    """Within it `read_coco` reads a file once and gives every caller the same content.

    Whoever changes that content changes it for all of them.
    """
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def read_coco(path: Path, forms: Forms) -> Any:
    """Return the content of a COCO file in COCO's own form; what is no such form stays as it is.

    Args:
        path: of the file.
        forms: counts what had another form.

    Raises:
        DatasetError: when it cannot be read or is not JSON.
    """
    shared = _SHARED.get()
    if shared is None:
        return _read_coco(path, forms)
    if path not in shared:
        found: Forms = Counter()
        shared[path] = _read_coco(path, found), found
    content, found = shared[path]
    forms.update(found)
    return content


def _read_coco(path: Path, forms: Forms) -> Any:
    content = read_json(path, others="*.json")
    if isinstance(content, dict):
        for entry in _objects(content, "images"):
            for key in ("id", "width", "height"):
                _make_whole(entry, key, forms, keep_text=key == "id")
        _straighten_categories(content, forms)
        id_of = same_ids(entry.get("id") for entry in _objects(content, "images"))
        for entry in _objects(content, "annotations"):
            _straighten_annotation(entry, id_of, forms)
    # Results are a bare list.
    for entry in content if isinstance(content, list) else ():
        if isinstance(entry, dict):
            _make_whole(entry, "image_id", forms, keep_text=True)
            _make_whole(entry, "category_id", forms)
            make_number(entry, "score", forms)
            _straighten_box(entry, forms)
            entry["segmentation"] = _straighten_mask(entry.get("segmentation"), forms)
    return content


def form_remarks(path: Path, forms: Forms) -> tuple[str, ...]:
    """Return one remark for each form that was taken in a file."""
    return tuple(f"{path.name}: {count:,} times {form}" for form, count in forms.items())


def as_whole(value: Any) -> int | None:
    """Return the whole number that a value can only mean, None where it means something else.

    Whole numbers with a point and text of digits count; true and false do not.
    """
    if type(value) is int:
        return value
    # False of not-a-number and of infinity, which have no whole number.
    if type(value) is float and abs(value) <= 2**53 and value == int(value):
        return int(value)
    return int(value) if isinstance(value, str) and _WHOLE.fullmatch(value.strip()) else None


def make_number(entry: dict[str, Any], key: str, forms: Forms) -> None:
    """Put the number in the place of its text; what is no such text stays as it is."""
    value = entry.get(key)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        entry[key] = float(value)
        forms[f"{key} is text"] += 1


def same_ids(image_ids: Iterable[Any]) -> dict[int | str, int | str]:
    """Return the image id by each form in which something else may name it.

    A number may be given as text and the other way round; an id as it is comes first. What is
    neither number nor text is no id.
    """
    listed = [image_id for image_id in image_ids if type(image_id) in (int, str)]
    by_number: dict[int, list[int | str]] = {}
    for image_id in listed:
        number = as_whole(image_id)
        if number is not None:
            by_number.setdefault(number, []).append(image_id)
    same: dict[int | str, int | str] = {}
    for number, ids in by_number.items():
        # What two images could be meant by is nobody's id.
        if len(ids) == 1:
            same |= {number: ids[0], str(number): ids[0]}
    return same | {image_id: image_id for image_id in listed}


def _objects(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    listed = content.get(key)
    return [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []


def _make_whole(entry: dict[str, Any], key: str, forms: Forms, *, keep_text: bool = False) -> None:
    value = entry.get(key)
    if type(value) is int or (keep_text and isinstance(value, str)):
        return
    number = as_whole(value)
    if number is not None:
        entry[key] = number
        forms[f"{key} is {'text' if isinstance(value, str) else 'a number with a point'}"] += 1


def _straighten_categories(content: dict[str, Any], forms: Forms) -> None:
    """Leave out categories that are listed again unchanged, as VGG's annotator does."""
    listed = content.get("categories")
    if not isinstance(listed, list):
        return
    kept: list[Any] = []
    first_of: dict[str, Any] = {}
    for entry in listed:
        if isinstance(entry, dict):
            for key in ("id", "isthing"):
                _make_whole(entry, key, forms)
            first = first_of.setdefault(repr(entry.get("id")), entry)
            if first is not entry and first == entry:
                forms["a category is listed again, the same"] += 1
                continue
        kept.append(entry)
    content["categories"] = kept


def _straighten_annotation(
    entry: dict[str, Any], id_of: Mapping[int | str, int | str], forms: Forms
) -> None:
    _make_whole(entry, "image_id", forms, keep_text=True)
    image_id = entry.get("image_id")
    if isinstance(image_id, int | str) and id_of.get(image_id, image_id) != image_id:
        entry["image_id"] = id_of[image_id]
        forms["image_id is text in one place and a number in the other"] += 1
    _make_whole(entry, "category_id", forms)
    # The entries of a panoptic file have segments, and flags and masks are theirs.
    if "segments_info" not in entry:
        _straighten_object(entry, forms)
    for segment in _objects(entry, "segments_info"):
        for key in ("id", "category_id", "iscrowd"):
            _make_whole(segment, key, forms)
        if segment.get("iscrowd", 0) is None:
            forms["iscrowd is null and taken as 0"] += 1
            segment["iscrowd"] = 0


def _straighten_object(entry: dict[str, Any], forms: Forms) -> None:
    for key in ("id", "area"):
        if entry.get(key) is None:
            forms[f"{key} is missing"] += 1
    flag = entry.get("iscrowd")
    if flag is None:
        forms[f"iscrowd is {'null' if 'iscrowd' in entry else 'missing'} and taken as 0"] += 1
        entry["iscrowd"] = 0
    else:
        _make_whole(entry, "iscrowd", forms)
    if "segmentation" in entry:
        entry["segmentation"] = _straighten_mask(entry["segmentation"], forms)
    _straighten_box(entry, forms)


def _straighten_box(entry: dict[str, Any], forms: Forms) -> None:
    bbox = entry.get("bbox")
    if isinstance(bbox, list) and bbox and isinstance(bbox[0], str):
        entry["bbox"] = _make_numbers(bbox, "bbox", forms)


def _make_numbers(values: list[Any], what: str, forms: Forms) -> list[Any]:
    """Return texts as the numbers they are, all of them or none."""
    try:
        numbers = [float(value) if isinstance(value, str) else value for value in values]
    except ValueError:
        return values
    forms[f"{what} has numbers as text"] += 1
    return numbers


def _straighten_mask(segmentation: Any, forms: Forms) -> Any:
    """Return a list of flat polygons for one flat polygon, or for polygons as lists of points.

    A list of nothing but empty polygons is an empty list, as is null: there is no mask.
    """
    if segmentation is None:
        return []
    # Most masks have their form by now, and there are many.
    if not isinstance(segmentation, list) or not segmentation or _is_flat(segmentation[0]):
        return segmentation
    if any(isinstance(part, list) and part and isinstance(part[0], str) for part in segmentation):
        return [
            _make_numbers(part, "segmentation", forms) if isinstance(part, list) else part
            for part in segmentation
        ]
    if not any(part != [] for part in segmentation):
        forms["segmentation is a list of empty polygons and taken as none"] += 1
        return []
    if len(segmentation) > 2 and all(type(value) in (int, float) for value in segmentation):
        forms["segmentation is one polygon without a list around it"] += 1
        return [segmentation]
    # Two numbers are no polygon, so a list of such pairs can only be the points of one.
    if _has_points(segmentation):
        forms["segmentation is a list of points"] += 1
        return [_flatten(segmentation)]
    if any(_has_points(part) for part in segmentation):
        forms["segmentation is a list of lists of points"] += 1
        return [_flatten(part) if _has_points(part) else part for part in segmentation]
    return segmentation


def _is_flat(part: Any) -> bool:
    return isinstance(part, list) and len(part) > 2 and type(part[0]) in (int, float)


def _has_points(part: Any) -> bool:
    is_long = isinstance(part, list) and len(part) > 2
    return is_long and all(isinstance(point, list) and len(point) == 2 for point in part)


def _flatten(points: list[list[Any]]) -> list[Any]:
    return [value for point in points for value in point]
