"""Dataset formats, one module each: `READERS[format](root, split)` gives a dataset."""

from collections.abc import Callable
from pathlib import Path

from annotools.errors import DatasetError
from annotools.formats import coco_instances, scenes
from annotools.records import Dataset

READERS: dict[str, Callable[[Path, str], Dataset]] = {
    "coco-instances": coco_instances.read,
    "scenes": scenes.read,
}


def read_dataset(format_name: str, root: Path, split: str) -> Dataset:
    """Read one split of a dataset.

    Raises:
        DatasetError: for an unknown format, or what the format's reader finds wrong.
    """
    if format_name not in READERS:
        raise DatasetError(f"unknown format {format_name!r}: use {' or '.join(READERS)}")
    return READERS[format_name](root, split)
