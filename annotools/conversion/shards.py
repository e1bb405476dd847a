"""A shard converts some images: it writes their files, and lines for the JSON files.

A shard's lines are `part<TAB>JSON`, in the order of the images: entries under the name of their
part, what was dropped under `drop`, and the `counts` last. Its mark says from which source files it
was made, and what its lines and its images' files hold.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from annotools.conversion.image_outputs import Counts, convert_image
from annotools.conversion.wanted import ImageTask
from annotools.drops import drop_entry
from annotools.files import compact_json, digest, open_whole, stamp, write_whole
from annotools.formats.source import Source, open_source
from annotools.records import Dataset
from annotools.work_folder import STATE_FOLDER, files_done, mark_done, read_done

SHARD_IMAGES = 16
"""Images in a shard: what a killed run loses, times its workers."""

_FORM = 4
"""Changes when the lines do, so that those of an older version are not read but made again."""


@dataclass(frozen=True, kw_only=True)
class Shard:
    """Images that are converted together."""

    number: int
    tasks: tuple[ImageTask, ...]


def shard_path(out: Path, number: int) -> Path:
    """Return where the lines of a shard lie until they are put together."""
    return out / _lines_file(number)


def make_shards(tasks: Sequence[ImageTask]) -> tuple[Shard, ...]:
    """Return the shards of a conversion: `SHARD_IMAGES` images in each, fewer in the last."""
    starts = range(0, len(tasks), SHARD_IMAGES)
    return tuple(
        Shard(number=number, tasks=tuple(tasks[start : start + SHARD_IMAGES]))
        for number, start in enumerate(starts)
    )


def make_shard(source: Source, out: Path, shard: Shard) -> None:
    """Write the files of a shard's images, its lines, and its mark last.

    Raises:
        DatasetError: when a label cannot be read; then the shard has no mark.
        OSError: when a file cannot be written.
    """
    dataset = open_source(source)
    total: Counts = Counter()
    # Stamps are taken before the labels are read, so that a change meanwhile shows later.
    key = _fingerprint(source, dataset, shard)
    written = [_lines_file(shard.number)]
    with open_whole(shard_path(out, shard.number)) as file:
        for task in shard.tasks:
            outputs = convert_image(task, dataset)
            for part, made in outputs.parts.items():
                for name, content in made.files.items():
                    write_whole(out / name, content, flush=False)
                    written.append(name)
                for entry in made.entries:
                    _write_line(file, part, entry)
            for kind, drops in outputs.drops.items():
                for drop in drops:
                    _write_line(file, "drop", drop_entry(kind, drop))
            total.update(outputs.counts)
        _write_line(file, "counts", [[*names, count] for names, count in total.items()])
    # The disk is waited for once: here, and not at each file.
    mark_done(out, _item(shard.number), key, len(shard.tasks), written)


def is_done(source: Source, out: Path, shard: Shard) -> bool:
    """Tell whether a shard is there, with all its files, and its source has not changed."""
    key = _fingerprint(source, open_source(source), shard)
    return read_done(out, _item(shard.number), key) is not None


def written_files(out: Path, shard: Shard) -> dict[str, str]:
    """Return the SHA-256 of each file that a shard wrote for good, by its name."""
    found = files_done(out, _item(shard.number))
    return {name: told for name, told in found.items() if name != _lines_file(shard.number)}


def read_counts(text: str) -> Counts:
    """Return the counts in a shard's last line."""
    return Counter({tuple(key): count for *key, count in json.loads(text)})


def _item(number: int) -> str:
    return f"shards/{number:06d}"


def _lines_file(number: int) -> str:
    return f"{STATE_FOLDER}/shards/{number:06d}.jsonl"


def _fingerprint(source: Source, dataset: Dataset, shard: Shard) -> str:
    paths = [*source.root_files, *dataset.source_files]
    paths += [path for task in shard.tasks for path in task.image.label_paths]
    # A file that is missing is reported when its label is read.
    stamps = [[path, stamp(path) if path.exists() else None] for path in paths]
    return digest(_FORM, source.allow_missing, stamps)


def _write_line(file: IO[str], part: str, content: Any) -> None:
    file.write(f"{part}\t{compact_json(content)}\n")
