"""What can be wrong with the masks of a COCO file: run lengths and polygons, or panoptic PNGs."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotools.checks.coco_file import CocoFile, CocoObject, image_id_of, list_objects, whole_number
from annotools.checks.problems import Problem, error_at, problem_of, warning_at
from annotools.errors import DatasetError
from annotools.formats.coco_instances import find_pixels
from annotools.formats.files import check_inside, decode_map, take
from annotools.label_maps import measure_segments
from annotools.records import VOID, BoxXYXY

TIGHT_PIXELS = 1.0
"""How far a side of a box may lie from its mask, or from its polygons, which may lose a pixel."""


def check_masks(coco: CocoFile) -> Iterator[Problem]:
    """Yield what is wrong with the masks of an instances file; those of one image are held."""
    of_image: defaultdict[int | str | None, list[CocoObject]] = defaultdict(list)
    for described in coco.objects:
        if described.image_id in coco.size_of:
            of_image[described.image_id].append(described)
    for image_id, members in of_image.items():
        width, height = coco.size_of[image_id]
        masks = []
        for described in members:
            try:
                mask = find_pixels(described.entry.get("segmentation"), height, width)
            except DatasetError as error:
                yield error_at(described.place, str(error))
                continue
            masks.append(mask)
            yield from _check_mask(described, mask, height)
        yield from _check_overlap(f"{coco.path}: image {image_id}", masks)


def check_one_label_an_image(coco: CocoFile) -> Iterator[Problem]:
    """Yield images of a panoptic file with several annotations or none."""
    listed = [(p, image_id_of(e, "image_id")) for p, e in coco.list_entries("annotations")]
    yield from find_repeated(listed, "image_id")
    labelled = {image_id for _, image_id in listed}
    for place, entry in coco.list_entries("images"):
        if image_id_of(entry, "id") not in labelled:
            yield error_at(place, "has no annotation: add its segments or drop the image")


def check_segments(coco: CocoFile) -> Iterator[Problem]:
    """Yield where a panoptic file and its PNGs contradict each other."""
    folder = coco.path.with_suffix("")
    for place, entry in coco.list_entries("annotations"):
        members = list_objects(f"{place}: segments_info", entry.get("segments_info"))
        if not isinstance(entry.get("segments_info"), list):
            yield error_at(place, "segments_info is missing or not a list: give a panoptic file")
        ids = [(p, whole_number(e.get("id"))) for p, e in members]
        yield from find_repeated(ids, "segment id")
        try:
            file_name = take(place, entry, "file_name", str)
            check_inside(place, file_name, folder)
        except DatasetError as error:
            yield problem_of(error, place)
            continue
        size_wh = coco.size_of.get(image_id_of(entry, "image_id"))
        yield from _check_png(folder / file_name, size_wh, members)


def find_repeated(listed: Sequence[tuple[str, int | str | None]], name: str) -> Iterator[Problem]:
    """Yield the places whose value an earlier place has already; None is no value.

    Args:
        listed: places and their values.
        name: of the value, for messages.
    """
    first_of: dict[int | str, str] = {}
    for place, value in listed:
        if value is None:
            continue
        first = first_of.setdefault(value, place)
        if first != place:
            yield error_at(place, f"{name} {value!r} is that of {first} too: give each its own")


def _check_mask(described: CocoObject, mask: NDArray[np.int64], height: int) -> Iterator[Problem]:
    """Check a mask: (P,), its pixels' places in the image read column by column, in order."""
    if not len(mask):
        yield warning_at(described.place, "its mask is empty: drop it or draw it again")
        return
    polygons = described.entry["segmentation"]
    if isinstance(polygons, list):
        xs = [x for polygon in polygons for x in polygon[::2]]
        ys = [y for polygon in polygons for y in polygon[1::2]]
        if _is_tight(described, (min(xs), min(ys), max(xs), max(ys))):
            return
    columns, rows = np.divmod(mask, height)
    tight = (int(columns[0]), int(rows.min()), int(columns[-1]) + 1, int(rows.max()) + 1)
    yield from _check_tight(described, tight)


def _check_overlap(place: str, masks: Sequence[NDArray[np.int64]]) -> Iterator[Problem]:
    if not masks:
        return
    num_twice = int((np.bincount(np.concatenate(masks)) > 1).sum())
    if num_twice:
        yield warning_at(
            place,
            f"overlapping annotations claim {num_twice} pixels twice or more: "
            "the one with the smaller mask gets them",
        )


def _check_tight(described: CocoObject, tight: BoxXYXY) -> Iterator[Problem]:
    if described.box_xyxy is not None and not _is_tight(described, tight):
        x0, y0, x1, y1 = tight
        yield error_at(
            described.place,
            f"bbox {described.entry['bbox']} is not tight: its mask fills "
            f"{[x0, y0, x1 - x0, y1 - y0]}",
        )


def _is_tight(described: CocoObject, tight: tuple[float, float, float, float]) -> bool:
    box = described.box_xyxy
    return box is not None and (
        max(abs(a - b) for a, b in zip(box, tight, strict=True)) <= TIGHT_PIXELS
    )


def _check_png(
    path: Path, size_wh: tuple[int, int] | None, members: Sequence[tuple[str, dict[str, Any]]]
) -> Iterator[Problem]:
    try:
        pixels = decode_map(path)
    except DatasetError as error:
        yield problem_of(error, path)
        return
    if pixels.ndim != 3 or pixels.dtype != np.uint8:
        yield error_at(path, "is not an RGB PNG with 8 bits a colour: write the ids as RGB")
        return
    height, width = pixels.shape[:2]
    if size_wh not in (None, (width, height)):
        yield error_at(path, f"is {width} x {height} pixels, its image {size_wh}: write it again")
    segment_map = pixels.astype(np.int32) @ np.array([1, 256, 256**2], dtype=np.int32)
    yield from _check_segment_ids(path, measure_segments(segment_map), members)


def _check_segment_ids(
    path: Path,
    measured: dict[int, tuple[int, BoxXYXY]],
    members: Sequence[tuple[str, dict[str, Any]]],
) -> Iterator[Problem]:
    listed = {whole_number(entry.get("id")) for _, entry in members}
    for unlisted, (area, _) in measured.items():
        if unlisted not in listed:
            yield error_at(
                path, f"segment id {unlisted} ({area} pixels) is not in segments_info: add it"
            )
    for place, entry in members:
        segment_id = whole_number(entry.get("id"))
        if segment_id is None or segment_id == VOID:
            yield error_at(place, f"id {entry.get('id')!r}: give a whole number above {VOID}")
        elif segment_id not in measured:
            yield error_at(place, f"segment id {segment_id} has no pixel in {path}: drop it")
        else:
            described = CocoObject(place=place, image_id=None, entry=entry)
            yield from _check_tight(described, measured[segment_id][1])
