"""Small label maps, polygons and photos in the folders of Cityscapes."""

import json

import cv2
import numpy as np

from annotools.formats import cityscapes

ROAD, SKY, CAR, PERSON = 7, 23, 26, 24
EGO_VEHICLE, PARKING = 1, 9
AACHEN = "aachen/aachen_000000_000019"


def write_png(path, rows, dtype=np.uint16):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.array(rows, dtype=dtype))


def write_label(root, rows, key=AACHEN, ending="instanceIds", folder="gtFine", split="train"):
    path = root / folder / split / f"{key}_{folder}_{ending}.png"
    write_png(path, rows, np.uint8 if ending == "labelIds" else np.uint16)
    return path


def write_polygons(root, objects, size=(6, 4), key=AACHEN):
    path = root / "gtFine" / "train" / f"{key}_gtFine_polygons.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"imgWidth": size[0], "imgHeight": size[1], "objects": objects}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_photo(root, key=AACHEN, shape=(2, 3, 3), split="train"):
    path = root / "leftImg8bit" / split / f"{key}_leftImg8bit.png"
    write_png(path, np.full(shape, 9), np.uint8)
    return path


def read_only_label(root, split="train"):
    dataset = cityscapes.read(root, split)
    (image,) = dataset.images
    return dataset.read_label(image)


def polygon(label, x0, y0, x1, y1, **others):
    """A rectangle with pixels x0..x1 and y0..y1, all included, as PIL draws it."""
    return {"label": label, "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], **others}
