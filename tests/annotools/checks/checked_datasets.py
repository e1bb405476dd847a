"""COCO datasets of one image, and what a check finds in a dataset."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from annotools.checks.dataset_checks import check_dataset

WIDTH, HEIGHT = 8, 6
SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]  # columns 1 to 3, rows 1 and 2
CAR, SKY = 3, 7


def write_photo(path: Path, width: int = WIDTH, height: int = HEIGHT, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((height, width, 3), value, dtype=np.uint8))


def image_entry(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT} | changes


def annotation(**changes: Any) -> dict[str, Any]:
    entry = {"id": 5, "image_id": 1, "category_id": CAR, "iscrowd": 0}
    return entry | {"segmentation": [SQUARE], "bbox": [1, 1, 3, 2]} | changes


def write_instances(root: Path, split: str = "val", **lists: Any) -> None:
    content = {
        "images": [image_entry()],
        "categories": [{"id": CAR, "name": "car"}],
        "annotations": [annotation()],
    } | lists
    folder = root / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"instances_{split}.json").write_text(json.dumps(content))


def write_panoptic(root: Path, **changes: Any) -> None:
    segments = [
        {"id": 300, "category_id": SKY, "area": 42, "bbox": [0, 0, 8, 6], "iscrowd": 0},
        {"id": 2, "category_id": CAR, "area": 6, "bbox": [1, 1, 3, 2], "iscrowd": 0},
    ]
    listed = {"image_id": 1, "file_name": "a.png", "segments_info": segments} | changes
    content = {
        "images": [image_entry()],
        "categories": [
            {"id": CAR, "name": "car", "isthing": 1, "color": [9, 9, 9]},
            {"id": SKY, "name": "sky", "isthing": 0, "color": [8, 8, 8]},
        ],
        "annotations": [listed],
    }
    folder = root / "annotations"
    (folder / "panoptic_val").mkdir(parents=True, exist_ok=True)
    (folder / "panoptic_val.json").write_text(json.dumps(content))
    red_green = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    red_green[..., 1:] = (1, 44)  # 300 = 44 + 256
    red_green[1:3, 1:4] = (0, 0, 2)
    cv2.imwrite(str(folder / "panoptic_val" / "a.png"), red_green)


def find(format_name: str, root: Path, *splits: str, against: tuple[str, ...] = ()) -> list[str]:
    """Severity, the end of the place and the message of each problem."""
    report = check_dataset(format_name, root, splits or ("val",), against)
    return [f"{p.severity} {Path(p.place).name}: {p.message}" for p in report.problems]


def only(problems: list[str], *parts: str) -> bool:
    return len(problems) == 1 and all(part in problems[0] for part in parts)
