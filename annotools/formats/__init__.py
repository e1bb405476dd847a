"""Each module reads one dataset format: `READERS[name](root, split, allow_missing)` does it."""

from collections.abc import Callable
from pathlib import Path

from annotools.errors import DatasetError
from annotools.formats import cityscapes, coco_instances, coco_panoptic, scenes, voc, yolo
from annotools.formats.other_formats import CONVERTERS
from annotools.records import Dataset

READERS: dict[str, Callable[[Path, str, bool], Dataset]] = {
    "cityscapes": cityscapes.read,
    "coco-instances": coco_instances.read,
    "coco-panoptic": coco_panoptic.read,
    "scenes": scenes.read,
    "voc": voc.read,
    "yolo": yolo.read,
}

PHOTO_READERS: dict[str, Callable[[Path, str, bool, Path | None], Dataset]] = {
    "coco-instances": coco_instances.read,
    "coco-panoptic": coco_panoptic.read,
    "voc": voc.read,
    "yolo": yolo.read,
}
"""Those that take the folder of the photos from the user."""


def read_dataset(
    format_name: str,
    root: Path,
    split: str,
    allow_missing: bool = False,
    photos: Path | None = None,
) -> Dataset:
    """Read one split of a dataset.

    Args:
        format_name: a key of `READERS`.
        root: the dataset's folder, or what else the format says.
        split: its name in the format, such as `train`.
        allow_missing: go on without images that lack a file, and objects that are impossible, and
            list them as drops.
        photos: the folder of the photos, if it is not where the format has it.

    Raises:
        DatasetError: for an unknown format, or what the format's reader finds wrong.
    """
    if format_name not in READERS:
        raise DatasetError(
            f"unknown format {format_name!r}: use {' or '.join(READERS)}; or {CONVERTERS}"
        )
    if photos is None:
        return READERS[format_name](root, split, allow_missing)
    if format_name not in PHOTO_READERS:
        raise DatasetError(
            f"{photos}: {format_name} has photos in a place of its own: leave it out"
        )
    return PHOTO_READERS[format_name](root, split, allow_missing, photos)
