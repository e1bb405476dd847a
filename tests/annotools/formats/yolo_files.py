"""Small YOLO datasets, and the boxes that are read of them."""

import cv2
import numpy as np

from annotools.formats import yolo
from annotools.weak_labels.buy import read_source
from annotools.weak_labels.weaken import weaken

# Centre (10, 5), 8 x 4 pixels of 20 x 10.
BOX = "0 0.5 0.5 0.4 0.4\n"
BOX_XYXY = (6, 3, 14, 7)
# The rectangle from (2, 1) to (10, 5), and its pixels.
POLYGON = "1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
POLYGON_XYXY = (2, 1, 10, 5)
NAMES = "names: [cat, dog]\n"


def photo(path, size_wh=(20, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size_wh
    written = path.with_suffix(path.suffix.lower())
    assert cv2.imwrite(str(written), np.full((height, width, 3), 80, np.uint8))
    return written.rename(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def boxes_of(dataset):
    """The boxes of a dataset by image, with the names of their classes."""
    found = {}
    for image in dataset.images:
        label = read_source(dataset, image)
        weak = label if dataset.read_weak else weaken(label, dataset.categories, "boxes", None)
        found[image.file_name] = [
            (dataset.categories.by_id(box.category_id).name, box.box_xyxy) for box in weak.boxes
        ]
    return found


def read_one(root, lines, names=NAMES, size_wh=(20, 10), **options):
    """The dataset of one photo with these lines."""
    text(root / "data.yaml", f"train: images/train\n{names}")
    photo(root / "images" / "train" / "a.png", size_wh)
    text(root / "labels" / "train" / "a.txt", lines)
    return yolo.read(root, "train", **options)
