"""A shard converts some images: it writes their files, and lines for the JSON files.

A shard's lines are `part<TAB>JSON`, in the order of the images: entries under the name of their
part, what was dropped under `drop`, and a `tally` last. The first line says from which source
files the shard was made.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from annotools.conversion.image_outputs import ImageOutputs, convert_image, image_files
from annotools.conversion.wanted import PARTS_OF, Wanted
from annotools.files import open_whole, write_whole
from annotools.formats.source import Source, open_source
from annotools.records import Dataset, Image
from annotools.work_folder import STATE_FOLDER

SHARD_IMAGES = 16
"""Images in a shard: what a killed run loses, times its workers."""


ALL_KINDS = "all"
"""Stands for the kind of a drop that no kind has."""

_FORM = b"2"
"""Changes when the lines do, so that those of an older version are not read but made again."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts of some images.

    `counts` are by what is counted and in which label kind: `images`, `objects`, `source drops`,
    `entries` and `written` objects, over the images that have the kind; `images` and `objects` of
    `ALL_KINDS`, over all images; and `entries of part` by part. `actions` are by kind and action.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    actions: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, other: "Tally") -> None:
        """Add the counts of other images."""
        self.counts.update(other.counts)
        for kind, actions in other.actions.items():
            self.actions.setdefault(kind, Counter()).update(actions)


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Images that are converted together, each with what is wanted for it."""

    number: int
    images: tuple[tuple[Image, Wanted], ...]


def shard_path(out: Path, number: int) -> Path:
    """Return where the lines of a shard lie until they are put together."""
    return out / STATE_FOLDER / "shards" / f"{number:06d}.jsonl"


def make_shards(images: Sequence[Image], wanted: Wanted) -> tuple[Shard, ...]:
    """Return the shards of a conversion: `SHARD_IMAGES` images in each, fewer in the last."""
    # A worker is sent what is wanted of the shard's images, not the allocation of all images.
    shared: dict[tuple[str, ...], Wanted] = {}
    pairs = []
    for image in images:
        own = wanted.for_image(image)
        pairs.append((image, shared.setdefault(own.kinds, own)))
    starts = range(0, len(pairs), SHARD_IMAGES)
    return tuple(
        Shard(number=number, images=tuple(pairs[start : start + SHARD_IMAGES]))
        for number, start in enumerate(starts)
    )


@dataclass(frozen=True, kw_only=True)
class ShardMaker:
    """Makes the shards of one conversion; calling it makes one.

    It goes to a worker with every shard, so it holds nothing as long as the dataset.
    `keep_suffix` is for `image_files`.
    """

    source: Source
    out: Path
    keep_suffix: bool

    def __call__(self, shard: Shard) -> None:
        """Write the files of a shard's images, and its lines last.

        Raises:
            DatasetError: when a label cannot be read; then the shard has no lines.
            OSError: when a file cannot be written.
        """
        dataset = open_source(self.source)
        tally = Tally()
        with open_whole(shard_path(self.out, shard.number)) as file:
            _write_line(file, "source", self._fingerprint(dataset, shard))
            for image, wanted in shard.images:
                names = image_files(image, wanted, keep_suffix=self.keep_suffix)
                outputs = convert_image(image, dataset, wanted, names)
                for part in outputs.parts.values():
                    for name, content in part.files.items():
                        write_whole(self.out / name, content)
                _write_outputs(file, outputs)
                tally.add(_count(outputs))
            counts = [[*key, count] for key, count in tally.counts.items()]
            _write_line(file, "tally", {"counts": counts, "actions": tally.actions})

    def is_done(self, shard: Shard) -> bool:
        """Tell whether a shard is there, with all its files, and its source has not changed."""
        dataset = open_source(self.source)
        try:
            with shard_path(self.out, shard.number).open(encoding="utf-8") as file:
                head = file.readline()
        except OSError:
            return False
        if head != f'source\t"{self._fingerprint(dataset, shard)}"\n':
            return False
        return all(
            (self.out / name).is_file()
            for image, wanted in shard.images
            for name in image_files(image, wanted, keep_suffix=self.keep_suffix)
        )

    def _fingerprint(self, dataset: Dataset, shard: Shard) -> str:
        paths = [*self.source.root_files, *dataset.source_files]
        paths += [path for image, _ in shard.images for path in image.label_paths]
        digest = hashlib.sha256(_FORM)
        for path in paths:
            # A file that is missing is reported when its label is read.
            status = path.stat() if path.exists() else None
            found = (status.st_size, status.st_mtime_ns) if status else None
            digest.update(f"{path}\t{found}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def read_tally(text: str) -> Tally:
    """Return the counts in a shard's `tally` line."""
    content = json.loads(text)
    return Tally(
        counts=Counter({(what, kind): count for what, kind, count in content["counts"]}),
        actions={kind: Counter(counts) for kind, counts in content["actions"].items()},
    )


def _count(outputs: ImageOutputs) -> Tally:
    counts = Counter({("images", ALL_KINDS): 1, ("objects", ALL_KINDS): outputs.num_objects})
    num_entries = {part: made.num_entries for part, made in outputs.parts.items()}
    counts.update({("entries of part", part): number for part, number in num_entries.items()})
    for kind, num_written in outputs.num_written.items():
        counts["images", kind] = 1
        counts["objects", kind] = outputs.num_objects
        counts["source drops", kind] = len(outputs.source_drops)
        counts["entries", kind] = sum(num_entries[part] for part in PARTS_OF[kind])
        counts["written", kind] = num_written
    return Tally(
        counts=counts,
        actions={kind: Counter(actions) for kind, actions in outputs.actions.items()},
    )


def _write_outputs(file: IO[str], outputs: ImageOutputs) -> None:
    for part, made in outputs.parts.items():
        for entry in made.entries:
            _write_line(file, part, entry)
    for kind, drops in ((ALL_KINDS, outputs.source_drops), *outputs.drops.items()):
        for drop in drops:
            _write_line(file, "drop", {"kind": kind, **vars(drop)})


def _write_line(file: IO[str], part: str, content: Any) -> None:
    file.write(f"{part}\t{json.dumps(content, separators=(',', ':'))}\n")
