"""Assembly writes the JSON files of a conversion from its shards, line by line.

Memory does not grow with the number of images.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import IO

from annotools.conversion.account import Conversion, KindSummary, price_hours, reconcile
from annotools.conversion.image_outputs import ALL_KINDS, Counts
from annotools.conversion.shards import read_counts, shard_path
from annotools.conversion.wanted import PARTS_OF, ImageTask, Wanted
from annotools.drops import GAPS, LISTED_PLACES, DropList, drop_entry
from annotools.files import JsonList, open_whole
from annotools.formats.panoptic_folder import open_label_list
from annotools.formats.weak_json import open_weak_list
from annotools.prices.times import AnnotationTimes
from annotools.records import LABEL_KINDS, Dataset

DROPS_FILE = "drops.jsonl"

_VISIBLE = "what is visible of objects"
EXTENT_OF = dict.fromkeys(LABEL_KINDS, _VISIBLE) | {
    "boxes": "whole objects",
    "boxes+tags": "boxes of whole objects, tags of what is visible",
}
"""What a label kind is of; prices and counts are of whole objects."""

_UNNUMBERED = ("full", "tags")
"""Parts whose entries have no id: an image's label, a crop."""


def assemble(
    out: Path,
    dataset: Dataset,
    tasks: Sequence[ImageTask],
    wanted: Wanted,
    times: AnnotationTimes,
    num_shards: int,
    num_resumed: int,
) -> Conversion:
    """Write the JSON files of a conversion from its shards; they appear together or not at all.

    `drops.jsonl` is there where a reason has more than `LISTED_PLACES` places.

    Raises:
        AssertionError: when the numbers of what came in and went out do not agree.
        OSError: when a file cannot be written.
    """
    counts: Counts = Counter()
    drops = DropList()
    # All files are open at once and get their names when the block ends: all of them, or none.
    with ExitStack() as stack:
        drop_file = stack.enter_context(open_whole(out / DROPS_FILE))
        lists = {
            part: stack.enter_context(_open_list(out, part, dataset, tasks))
            for part in wanted.parts
            if any(name.endswith(".json") for name in wanted.files_of(part))
        }
        for drop in dataset.drops:
            _note_drop(drop_file, drops, drop_entry("images", drop))
        for gap in dataset.gaps:
            _note_drop(drop_file, drops, drop_entry(GAPS, gap))
        # Shards are read by number and not as workers finished: files do not depend on the workers.
        for number in range(num_shards):
            for part, text in _read_lines(shard_path(out, number)):
                if part == "drop":
                    _note_drop(drop_file, drops, json.loads(text))
                elif part == "counts":
                    counts.update(read_counts(text))
                elif part in _UNNUMBERED:
                    lists[part].add(text)
                elif part in lists:
                    lists[part].add_numbered(text)
        kinds = tuple(_summarise(kind, counts, drops, wanted, times) for kind in wanted.kinds)
        # Both checks raise inside the block, so that files which do not add up get no name.
        _check_lines(lists, counts, len(tasks))
        reconcile(kinds)
    if all(group.count <= LISTED_PLACES for group in drops.groups):
        (out / DROPS_FILE).unlink()
    return Conversion(
        num_images=len(tasks),
        num_resumed=num_resumed,
        num_objects=counts["objects", ALL_KINDS],
        kinds=kinds,
        drops=drops.groups,
    )


def _open_list(
    out: Path, part: str, dataset: Dataset, tasks: Sequence[ImageTask]
) -> AbstractContextManager[JsonList]:
    images = (task.image for task in tasks if part in task.wanted.parts)
    if part == "full":
        return open_label_list(out, dataset.categories, images)
    return open_weak_list(out, part, dataset, images)


def _read_lines(path: Path) -> Iterator[tuple[str, str]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            part, _, text = line.rstrip("\n").partition("\t")
            yield part, text


def _note_drop(file: IO[str], drops: DropList, entry: Mapping[str, str]) -> None:
    file.write(json.dumps(entry) + "\n")
    drops.add(**entry)


UNCOUNTED = "the labels do not tell how much there is to label"
"""Why a kind has no price, though its actions may have times."""


def _summarise(
    kind: str, counts: Counts, drops: DropList, wanted: Wanted, times: AnnotationTimes
) -> KindSummary:
    files = [name for part in PARTS_OF[kind] for name in wanted.files_of(part)]
    actions = {key[-1]: count for key, count in counts.items() if key[:2] == ("actions", kind)}
    hours, hours_missing = price_hours(actions, times)
    # Each kind has actions, and their counts are 0 where there is nothing to label.
    if counts["images", kind] and not actions:
        hours, hours_missing = None, UNCOUNTED
    return KindSummary(
        kind=kind,
        files=tuple(sorted(files, key=lambda name: "*" in name)),
        extent=EXTENT_OF[kind],
        images=counts["images", kind],
        objects=counts["objects", kind],
        entries=counts["entries", kind],
        written=counts["written", kind],
        # `drops` has what no kind can have once, under `all`, and so not in the count of this kind.
        dropped=counts["source drops", kind] + drops.count(kind),
        hours=hours,
        hours_missing=hours_missing,
    )


def _check_lines(lists: Mapping[str, JsonList], counts: Counts, num_images: int) -> None:
    """Make sure that the files hold what was counted where it was made."""
    found = counts["images", ALL_KINDS]
    assert found == num_images, f"{found} of {num_images} images in shards"
    for part, written in lists.items():
        # A full label is one entry an image, whatever segments it has.
        counted = counts[("images", "full") if part == "full" else ("entries of part", part)]
        if written.count != counted:
            raise AssertionError(f"{part}: {counted} entries made, {written.count} written")
