"""COCO lists of instances in one line, for tests."""

import json
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image as Picture

from annotools.formats import coco_instances
from annotools.label_maps import build_label

PERSON, DOG = 1, 18
WIDTH, HEIGHT = 6, 4
SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]  # pixels of columns 1 and 2, rows 1 and 2
COLUMN_5 = [5, 0, 6, 0, 6, 4, 5, 4]


def image_entry(image_id=1, file_name="a.png", width=WIDTH, height=HEIGHT):
    return {"id": image_id, "file_name": file_name, "width": width, "height": height}


def annotation(segmentation, image_id=1, category_id=PERSON, iscrowd=0):
    return {
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
        "iscrowd": iscrowd,
    }


def run_lengths(rows):
    """Uncompressed, from nested lists of 0 and 1."""
    flat = np.array(rows).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    return {"size": list(np.shape(rows)), "counts": counts if flat[0] == 0 else [0, *counts]}


def write_dataset(root, annotations=(), images=None, categories=None, split="val", **others):
    names = {DOG: "dog", PERSON: "person"}
    content = {
        "images": [image_entry()] if images is None else images,
        "categories": [{"id": i, "name": name} for i, name in names.items()]
        if categories is None
        else categories,
        "annotations": annotations if isinstance(annotations, str) else list(annotations),
        **others,
    }
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def read_only_label(root, *segmentations, **settings):
    entries = [x if "image_id" in x else annotation(x) for x in segmentations]
    write_dataset(root, entries, **settings)
    dataset = coco_instances.read(root, "val")
    return dataset.read_label(dataset.images[0])


def write_photo(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels[:, :, ::-1])


def build_like(label, rows, category_of, groups=()):
    """The expected label, holding the map itself so that labels compare by their segments."""
    np.testing.assert_array_equal(label.segment_map, rows)
    expected = build_label(1, np.array(rows, dtype=np.int32), category_of, groups)
    return replace(
        expected,
        drops=label.drops,
        own_boxes=label.own_boxes,
        unseen=label.unseen,
    )


def without(entry, key):
    return {k: v for k, v in entry.items() if k != key}


GOOD = annotation([SQUARE])


def write_turned(path, orientation, width=WIDTH, height=HEIGHT):
    """A photo that is stored so wide and so high, and that EXIF turns."""
    exif = Picture.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.fromarray(np.zeros((height, width, 3), dtype=np.uint8)).save(path, exif=exif)
