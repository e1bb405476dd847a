"""Write truths and made-up predictions as COCO panoptic files, for `evaluate.py` to score."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from convert import SPLIT
from PIL import Image as PillowImage

from annotools.formats import read_dataset
from annotools.formats.coco_panoptic import category_entries, panoptic_entry
from annotools.label_maps import build_label
from annotools.records import VOID, Dataset, FullLabel
from wsps.scoring.panoptic_files import ScoringTask, read_panoptic_task

BEND_PIXELS = 4
"""How far outlines of predictions are from those of the truth, at most."""


@dataclass(frozen=True, kw_only=True)
class Files:
    """Truths and predictions as COCO panoptic files, in folders with the same layout."""

    truth: Path
    prediction: Path

    def read(self) -> tuple[Dataset, Dataset]:
        """Return both datasets; PNGs are read when asked for."""
        return (
            read_dataset("coco-panoptic", self.truth, SPLIT),
            read_dataset("coco-panoptic", self.prediction, SPLIT),
        )

    def pair(self) -> ScoringTask:
        """Return the pairs as `annotools evaluate` reads them."""
        return read_panoptic_task(self.truth / "panoptic.json", self.prediction / "panoptic.json")


def write_files(dataset: Dataset, folder: Path, encode: Callable[[np.ndarray], bytes]) -> Files:
    """Write the labels of a dataset, and predictions of them, to a new folder."""
    files = Files(truth=folder / "truth", prediction=folder / "prediction")
    # hotcoco takes numbers alone for image ids.
    numbered = [(i, replace(i, image_id=n)) for n, i in enumerate(dataset.images, start=1)]
    for root, change in ((files.truth, None), (files.prediction, bend_and_merge)):
        (root / "panoptic").mkdir(parents=True)
        annotations = []
        for source_image, image in numbered:
            label = dataset.read_label(source_image)
            label = label if change is None else change(label, dataset)
            name = f"{Path(image.file_name).stem}.png"
            (root / "panoptic" / name).write_bytes(encode(label.segment_map))
            annotations.append(panoptic_entry(label, image, name))
        content = {
            "images": [
                {"id": i.image_id, "file_name": i.file_name, "width": i.width, "height": i.height}
                for _, i in numbered
            ],
            "annotations": annotations,
            "categories": category_entries(dataset.categories),
        }
        (root / "panoptic.json").write_text(json.dumps(content))
    return files


def bend_and_merge(label: FullLabel, dataset: Dataset) -> FullLabel:
    """Return a prediction: outlines in waves, no void, every other thing joined to its like."""
    height, width = label.segment_map.shape
    rows, columns = np.indices((height, width))
    bent = label.segment_map[
        np.clip(rows + (BEND_PIXELS * np.sin(columns / 50)).astype(int), 0, height - 1),
        np.clip(columns + (BEND_PIXELS * np.sin(rows / 30)).astype(int), 0, width - 1),
    ]
    largest = max(label.segments, key=lambda segment: segment.area)
    bent[bent == VOID] = largest.segment_id
    things = [s for s in label.segments if dataset.categories.by_id(s.category_id).is_thing]
    for first, second in zip(things[::2], things[1::2], strict=False):
        if first.category_id == second.category_id:
            bent[bent == first.segment_id] = second.segment_id
    return build_label(label.image_id, bent, {s.segment_id: s.category_id for s in label.segments})


def encode_with_pillow(segment_map: np.ndarray) -> bytes:
    """Return the PNG that Pillow writes by default."""
    rgb = np.stack([segment_map >> shift & 255 for shift in (0, 8, 16)], axis=-1)  # (H, W, 3)
    stream = io.BytesIO()
    PillowImage.fromarray(rgb.astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()
