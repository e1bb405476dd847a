"""Find what is wrong with the masks of a COCO file: run lengths, polygons or panoptic PNGs."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from annotools.checks.coco_extents import (
    Areas,
    check_box,
    check_reach,
    exact_extent,
    find_extent,
)
from annotools.checks.coco_file import ID_TYPES, CocoFile, CocoObject, list_objects, value_of
from annotools.checks.coco_overlaps import Mask, check_overlap
from annotools.checks.problems import Problem, error_at, problem_of
from annotools.errors import DatasetError
from annotools.formats.coco_instances import holds_boxes_alone
from annotools.formats.coco_masks import find_all_column_runs, tight_boxes
from annotools.formats.coco_panoptic import find_png_folder
from annotools.formats.json_values import check_inside, take
from annotools.formats.panoptic_png import read_runs
from annotools.formats.photo_places import plain_name
from annotools.label_maps import measure_runs
from annotools.progress import track
from annotools.records import VOID, BoxXYXY


def check_masks(coco: CocoFile) -> Iterator[Problem]:
    """Yield what is wrong with the masks of an instances file; those of one image are held.

    In a file of boxes, which has no mask at all, every object needs a box.
    """
    if holds_boxes_alone([entry for _, entry in coco.list_entries("annotations")]):
        for described in coco.objects:
            if "bbox" not in described.entry:
                yield error_at(described.place, "has neither mask nor bbox: add one of them")
        return
    of_image: defaultdict[int | str | None, list[CocoObject]] = defaultdict(list)
    for described in coco.objects:
        # A mask cannot be decoded without its image's size; that this is missing is said elsewhere.
        if described.image_id in coco.size_of:
            of_image[described.image_id].append(described)
    areas = Areas(coco=coco)
    for image_id, members in track(of_image.items(), "checking masks", len(of_image)):
        width, height = coco.size_of[image_id]
        listed_wh = coco.listed_size_of.get(image_id, (width, height))
        masks = []
        drawn = [described.entry.get("segmentation") for described in members]
        found = find_all_column_runs(drawn, height, width)
        coco.look(image_id)
        possible = [runs for runs in found if not isinstance(runs, DatasetError) and runs.area]
        tight = iter(tight_boxes(possible, height))
        for described, runs in zip(members, found, strict=True):
            if isinstance(runs, DatasetError):
                yield error_at(described.place, str(runs))
                continue
            if not runs.area:
                yield error_at(described.place, "its mask has no pixel: draw it again or drop it")
                continue
            extent = find_extent(described, runs.area, next(tight))
            yield from check_box(described, extent)
            yield from check_reach(described, extent, listed_wh, (width, height))
            areas.compare(described, extent)
            masks.append(Mask(described=described, runs=runs, box_xyxy=extent.tight))
        yield from check_overlap(f"{coco.path}: image {image_id}", masks)
    yield from areas.tell("annotations")


def check_one_label_an_image(coco: CocoFile) -> Iterator[Problem]:
    """Yield images of a panoptic file with several annotations or none."""
    listed = coco.list_values("annotations", "image_id", *ID_TYPES)
    yield from find_repeated(listed, "image_id")
    labelled = {image_id for _, image_id in listed}
    for _, image_id in coco.list_values("images", "id", *ID_TYPES):
        if image_id is not None and image_id not in labelled:
            place = f"{coco.path}: image {image_id!r}"
            yield error_at(place, "has no annotation: add its segments or drop the image")


def check_segments(coco: CocoFile) -> Iterator[Problem]:
    """Yield where a panoptic file and its PNGs contradict each other."""
    folder = find_png_folder(coco.png_folders, coco.content)
    areas = Areas(coco=coco)
    yield from find_repeated(coco.list_values("annotations", "file_name", str), "file_name")
    for place, entry in coco.list_entries("annotations"):
        members = list_objects(f"{place}: segments_info", entry.get("segments_info"))
        if not isinstance(entry.get("segments_info"), list):
            yield error_at(place, "segments_info is missing or not a list: give a panoptic file")
        # Ids are compared before the PNG is looked for, so that they are checked without it too.
        ids = [(p, value_of(e, "id", int)) for p, e in members]
        yield from find_repeated(ids, "segment id")
        try:
            file_name = take(place, entry, "file_name", str)
            check_inside(place, file_name, folder)
        except DatasetError as error:
            yield problem_of(error, place)
            continue
        image_id = value_of(entry, "image_id", *ID_TYPES)
        path = folder / plain_name(file_name)
        of_segment, problems = _measure_png(path, coco.size_of.get(image_id))
        yield from problems
        if of_segment is None:
            continue
        yield from _check_segment_ids(path, of_segment, members)
        for p, e in members:
            segment_id = value_of(e, "id", int)
            if segment_id in of_segment:
                described = CocoObject(place=p, image_id=image_id, entry=e, has_mask=True)
                extent = exact_extent(*of_segment[segment_id])
                yield from check_box(described, extent)
                areas.compare(described, extent)
    yield from areas.tell("segments")


def find_repeated(
    listed: Sequence[tuple[str, int | str | None]],
    name: str,
    report: Callable[[str, str], Problem] = error_at,
) -> Iterator[Problem]:
    """Yield the places whose value an earlier place has already; None is no value.

    Args:
        listed: places and their values.
        name: of the value, for messages.
        report: makes a problem of a place and a message.
    """
    first_of: dict[int | str, str] = {}
    for place, value in listed:
        if value is None:
            continue
        first = first_of.setdefault(value, place)
        if first != place:
            yield report(place, f"{name} {value!r} is that of {first} too: give each its own")


def _measure_png(
    path: Path, size_wh: tuple[int, int] | None
) -> tuple[dict[int, tuple[int, BoxXYXY]] | None, list[Problem]]:
    """Return area and tight box by segment id, None where there are none, and what is wrong."""
    try:
        runs = read_runs(path)
    except DatasetError as error:
        return None, [problem_of(error, path)]
    problems = []
    if size_wh is not None and size_wh != (runs.width, runs.height):
        given = "{} x {}".format(*size_wh)
        message = f"is {runs.width} x {runs.height} pixels, its image {given}: write it again"
        problems.append(error_at(path, message))
    return measure_runs(runs), problems


def _check_segment_ids(
    path: Path,
    of_segment: dict[int, tuple[int, BoxXYXY]],
    members: Sequence[tuple[str, dict[str, Any]]],
) -> Iterator[Problem]:
    listed = {value_of(entry, "id", int) for _, entry in members}
    for unlisted, (area, _) in of_segment.items():
        if unlisted not in listed:
            yield error_at(
                path, f"segment id {unlisted} ({area} pixels) is not in segments_info: add it"
            )
    for place, entry in members:
        segment_id = value_of(entry, "id", int)
        if segment_id is None or segment_id == VOID:
            yield error_at(place, f"id {entry.get('id')!r}: give a whole number above {VOID}")
        elif segment_id not in of_segment:
            yield error_at(place, f"segment id {segment_id} has no pixel in {path}: drop it")
