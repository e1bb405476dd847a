"""Each module reads one dataset format: `READERS[name](root, split, allow_missing)` does it."""

from collections.abc import Callable
from pathlib import Path

from annotools.errors import DatasetError
from annotools.formats import cityscapes, coco_instances, coco_panoptic, scenes, voc
from annotools.records import Dataset

READERS: dict[str, Callable[[Path, str, bool], Dataset]] = {
    "cityscapes": cityscapes.read,
    "coco-instances": coco_instances.read,
    "coco-panoptic": coco_panoptic.read,
    "scenes": scenes.read,
    "voc": voc.read,
}


def read_dataset(format_name: str, root: Path, split: str, allow_missing: bool = False) -> Dataset:
    """Read one split of a dataset.

    Args:
        format_name: a key of `READERS`.
        root: the dataset's folder, or what else the format says.
        split: its name in the format, such as `train`.
        allow_missing: go on without images that lack a file, and list them in `drops`.

    Raises:
        DatasetError: for an unknown format, or what the format's reader finds wrong.
    """
    if format_name not in READERS:
        raise DatasetError(f"unknown format {format_name!r}: use {' or '.join(READERS)}")
    return READERS[format_name](root, split, allow_missing)
