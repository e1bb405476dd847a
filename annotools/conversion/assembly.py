"""Assembly writes the JSON files of a conversion from its shards, line by line.

Memory does not grow with the number of images.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from annotools.conversion.manifest import (
    GAPS,
    LISTED_PLACES,
    DropGroup,
    DropList,
    KindSummary,
    price_hours,
    reconcile,
)
from annotools.conversion.shards import ALL_KINDS, Tally, read_tally, shard_path
from annotools.conversion.wanted import BOX_SUFFIXES, PARTS_OF, Wanted
from annotools.files import JsonList, open_whole, write_json_lists
from annotools.formats.coco_panoptic import category_entries
from annotools.formats.weak_json import image_entry
from annotools.prices.times import AnnotationTimes
from annotools.records import Dataset, Image

DROPS_FILE = "drops.jsonl"

_JSON_FILES = {
    "full": "panoptic.json",
    "boxes": "boxes.json",
    "tags": "tags.json",
    "points": "points.json",
    "scribbles": "scribbles.json",
    "coarse": "coarse.json",
}

_UNNUMBERED = ("full", "tags")
"""Parts whose entries have no id: an image's label, a crop."""

_DESCRIPTIONS = {
    "full": "Panoptic labels, as COCO has them.",
    "boxes": (
        "Tight boxes of things, as COCO has them. The area is that of the box, for masks are not "
        "known; iscrowd marks a box around instances that are not told apart."
    ),
    "tags": (
        "Categories present in fixed crops, things and stuff alike; a category that a crop does "
        "not list has no pixel in it."
    ),
    "points": "One click inside each segment: column x, row y, in pixels.",
    "scribbles": "One stroke inside each segment: a polyline of [x, y] in pixels.",
    "coarse": "Coarse masks inside segments: polygons of [x, y] in pixels, border included.",
}


def part_files(wanted: Wanted) -> dict[str, tuple[str, ...]]:
    """Return the files that each part has once, by part; those that every image has left out."""
    files: dict[str, tuple[str, ...]] = {part: (_JSON_FILES[part],) for part in wanted.parts}
    if "boxes" in files and wanted.box_format != "coco":
        files["boxes"] = ("classes.txt",) if wanted.box_format == "yolo" else ()
    return files


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """The account of the files: objects of the source, those in each kind, and those dropped."""

    num_objects: int
    kinds: tuple[KindSummary, ...]
    drops: tuple[DropGroup, ...]


def assemble(
    out: Path,
    dataset: Dataset,
    images: Sequence[Image],
    wanted: Wanted,
    times: AnnotationTimes,
    num_shards: int,
) -> Assembled:
    """Write the JSON files of a conversion from its shards; they appear together or not at all.

    `drops.jsonl` is there where a reason has more than `LISTED_PLACES` places.

    Raises:
        AssertionError: when the numbers of what came in and went out do not agree.
        OSError: when a file cannot be written.
    """
    tally, drops = Tally(), DropList()
    # All files are open at once and get their names when the block ends: all of them, or none.
    with ExitStack() as stack:
        drop_file = stack.enter_context(open_whole(out / DROPS_FILE))
        lists = {
            part: stack.enter_context(
                _open_list(out, part, dataset, _images_with(part, images, wanted))
            )
            for part in wanted.parts
            if part_files(wanted)[part] == (_JSON_FILES[part],)
        }
        for drop in dataset.drops:
            _note_drop(drop_file, drops, {"kind": "images", **vars(drop)})
        for gap in dataset.gaps:
            _note_drop(drop_file, drops, {"kind": GAPS, **vars(gap)})
        for number in range(num_shards):
            for part, text in _read_lines(shard_path(out, number)):
                if part == "drop":
                    _note_drop(drop_file, drops, json.loads(text))
                elif part == "tally":
                    tally.add(read_tally(text))
                elif part in _UNNUMBERED:
                    lists[part].add(text)
                elif part in lists:
                    lists[part].add_numbered(text)
        kinds = tuple(_summarise(kind, tally, drops, wanted, times) for kind in wanted.kinds)
        _check_lines(lists, tally, len(images))
        reconcile(kinds)
    if all(group.count <= LISTED_PLACES for group in drops.groups):
        (out / DROPS_FILE).unlink()
    return Assembled(
        num_objects=tally.counts["objects", ALL_KINDS], kinds=kinds, drops=drops.groups
    )


def _images_with(part: str, images: Sequence[Image], wanted: Wanted) -> Iterable[Image]:
    return (image for image in images if part in wanted.for_image(image).parts)


def _open_list(
    out: Path, part: str, dataset: Dataset, images: Iterable[Image]
) -> AbstractContextManager[JsonList]:
    every = category_entries(dataset.categories)
    listed = every
    if part == "boxes":
        listed = [entry for entry in every if entry["isthing"]]
    if part == "tags":
        background_id = dataset.categories.background_id
        listed = [entry for entry in every if entry["id"] != background_id]
    info = {"description": _DESCRIPTIONS[part]}
    lists: dict[str, Iterable[Any]] = {"categories": listed}
    if part != "full":
        # A panoptic file lists all categories anyhow; from the others, whoever reads the labels
        # gets back those of the dataset.
        info["format"] = dataset.name
        lists["all_categories"] = every
    return write_json_lists(
        out / _JSON_FILES[part],
        head={"info": info},
        lists=lists | {"images": map(image_entry, images)},
        last="crops" if part == "tags" else "annotations",
    )


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            part, _, text = line.rstrip("\n").partition("\t")
            yield part, text


def _note_drop(file: IO[str], drops: DropList, entry: Mapping[str, str]) -> None:
    file.write(json.dumps(entry) + "\n")
    drops.add(**entry)


def _summarise(
    kind: str, tally: Tally, drops: DropList, wanted: Wanted, times: AnnotationTimes
) -> KindSummary:
    parts = PARTS_OF[kind]
    files = [name for part in parts for name in part_files(wanted)[part]]
    if kind == "full":
        files.append("panoptic/*.png")
    if "boxes" in parts and wanted.box_format in BOX_SUFFIXES:
        files.append(f"boxes/*{BOX_SUFFIXES[wanted.box_format]}")
    actions = tally.actions.get(kind, Counter())
    return KindSummary(
        kind=kind,
        files=tuple(files),
        images=tally.counts["images", kind],
        objects=tally.counts["objects", kind],
        entries=tally.counts["entries", kind],
        written=tally.counts["written", kind],
        dropped=tally.counts["source drops", kind] + drops.count(kind),
        hours=price_hours(actions, times),
    )


def _check_lines(lists: Mapping[str, JsonList], tally: Tally, num_images: int) -> None:
    """Make sure that the files hold what was counted where it was made."""
    found = tally.counts["images", ALL_KINDS]
    assert found == num_images, f"{found} of {num_images} images in shards"
    for part, written in lists.items():
        # A full label is one entry an image, whatever segments it has.
        what = ("images", "full") if part == "full" else ("entries of part", part)
        counted = tally.counts[what]
        if written.count != counted:
            raise AssertionError(f"{part}: {counted} entries made, {written.count} written")
