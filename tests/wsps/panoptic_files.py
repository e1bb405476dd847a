"""COCO panoptic files of random or given labels, for tests of what reads them."""

import json
from pathlib import Path

import numpy as np

from annotools.categories import CategorySet
from annotools.formats.coco_panoptic import category_entries
from annotools.formats.panoptic_png import encode_segment_map
from annotools.label_maps import build_label
from annotools.records import FullLabel


def random_label(
    generator: np.random.Generator,
    categories: CategorySet,
    image_id: int | str,
    crowds: bool,
    like: FullLabel | None = None,
) -> FullLabel:
    """Blocks of random segments, void among them; with `like` most blocks are as there."""
    ids = generator.integers(0, 12, size=(6, 8)) * 1001
    segment_map = ids.repeat(3, axis=0).repeat(3, axis=1).astype(np.int32)
    chosen = generator.choice(list(categories.class_index_of), size=12)
    category_of = {1001 * i: int(chosen[i]) for i in range(1, 12)}
    if like is not None:
        keep = generator.random(segment_map.shape) < 0.9
        same = {s.segment_id: s.category_id for s in like.segments}
        segment_map = np.where(keep, like.segment_map, segment_map).astype(np.int32)
        category_of |= {i: same[i] for i in list(same)[:-2]}
    groups = [i for i in category_of if crowds and generator.random() < 0.4]
    return build_label(image_id, segment_map, category_of, groups)


def write_panoptic(
    path: Path,
    labels: list[FullLabel],
    categories: CategorySet | None,
    scores: dict[int | str, dict[int, float]] | None = None,
) -> Path:
    """Write JSON and PNGs; segments are listed from the largest id to the smallest."""
    folder = path.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    annotations = []
    for label in labels:
        file_name = f"{label.image_id}.png"
        (folder / file_name).write_bytes(encode_segment_map(label.segment_map))
        segments = [
            {"id": s.segment_id, "category_id": s.category_id, "area": s.area}
            | {"bbox": [0, 0, 1, 1], "iscrowd": int(s.is_group)}
            | ({"score": scores[label.image_id][s.segment_id]} if scores else {})
            for s in reversed(label.segments)
        ]
        annotations.append(
            {"image_id": label.image_id, "file_name": file_name, "segments_info": segments}
        )
    content = {"annotations": annotations}
    if categories is not None:
        content["categories"] = category_entries(categories)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_random_pair(
    folder: Path, categories: CategorySet, seed: int, num_images: int = 5, scored: bool = False
) -> tuple[Path, Path]:
    """Write `truth.json` with crowds and `prediction.json` without; return truth, prediction."""
    generator = np.random.default_rng(seed)
    ids = range(1, num_images + 1)
    truths = [random_label(generator, categories, i, crowds=True) for i in ids]
    predictions = [
        random_label(generator, categories, t.image_id, crowds=False, like=t) for t in truths
    ]
    scores = {
        p.image_id: {s.segment_id: float(generator.random()) for s in p.segments}
        for p in predictions
    }
    return (
        write_panoptic(folder / "truth.json", truths, categories),
        write_panoptic(folder / "prediction.json", predictions, None, scores if scored else None),
    )
