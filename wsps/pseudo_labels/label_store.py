"""Labels from boxes on disk: made once, though many trials and commands ask for them.

They depend on the photo and its boxes alone and take long to make.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from annotools.records import Box, Dataset, Image
from wsps.pseudo_labels.boxes import METHOD_VERSION, label_from_boxes
from wsps.pseudo_labels.records import PseudoLabel
from wsps.recipe import DEFAULT_BOX_METHOD


@dataclass(frozen=True, kw_only=True)
class BoxLabelStore:
    """A folder with one file a label; several processes may use it at the same time.

    `source` names the images: format, root and split, as `read_dataset` takes them; `method` is
    that of `label_from_boxes`.
    """

    folder: Path
    source: tuple[str, Path, str]
    method: str = DEFAULT_BOX_METHOD

    def label(self, dataset: Dataset, image: Image, boxes: Sequence[Box]) -> PseudoLabel:
        """Return the label from boxes of an image, from the folder if it is there.

        Raises:
            DatasetError: when the photo cannot be read.
            RecipeError: for an unknown method.
            OSError: when the label cannot be written.
        """
        path = self.folder / f"{self._key(image, boxes)}.npz"
        stored = _load_label(path)
        if stored is not None:
            return stored
        label = label_from_boxes(dataset.read_photo(image), boxes, dataset.categories, self.method)
        _save_label(label, path)
        return label

    def _key(self, image: Image, boxes: Sequence[Box]) -> str:
        """Name what a label from boxes depends on: the photo, its boxes and the method."""
        format_name, root, split = self.source
        source = [format_name, str(root), split, image.image_id, photo_stamp(root, image)]
        key = json.dumps([METHOD_VERSION, self.method, source, [asdict(box) for box in boxes]])
        return hashlib.sha256(key.encode()).hexdigest()[:20]


def photo_stamp(root: Path, image: Image) -> str:
    """Return a text that changes when the file does from which a photo is read or drawn."""
    path = root if image.path is None else image.path
    if not path.is_file():
        return image.file_name  # Reading reports what is missing.
    found = path.stat()
    return f"{image.file_name}\t{found.st_size}\t{found.st_mtime_ns}"


def _load_label(path: Path) -> PseudoLabel | None:
    """Return the label of a file, None where there is none or it is damaged."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return PseudoLabel(classes=arrays["classes"], instances=arrays["instances"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _save_label(label: PseudoLabel, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_path = path.with_name(f".{os.getpid()}.{path.name}")
    np.savez_compressed(partial_path, classes=label.classes, instances=label.instances)
    partial_path.replace(path)
