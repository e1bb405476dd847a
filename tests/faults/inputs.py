"""Tiny datasets without a fault, of each format: functions that write one into a folder."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.io
from numpy.typing import NDArray
from PIL import Image as Picture
from pycocotools import mask as coco_mask

from annotools.formats.panoptic_png import encode_segment_map

WIDTH, HEIGHT = 24, 16
CATEGORIES = [
    {"id": 7, "name": "road", "isthing": 0, "color": [1, 2, 3], "supercategory": "ground"},
    {"id": 1, "name": "person", "isthing": 1, "supercategory": "being"},
    {"id": 3, "name": "dog", "isthing": 1},
]


def write_json(path: Path, content: Any) -> None:
    """Write JSON, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_text(path: Path, content: str) -> None:
    """Write text, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def write_picture(path: Path, pixels: NDArray[Any]) -> None:
    """Write a PNG or a JPEG, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def photo(seed: int = 0) -> NDArray[np.uint8]:
    """A photo of noise, in which a damaged byte has something to damage."""
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return np.asarray(pixels, dtype=np.uint8)


def coco_instances(folder: Path) -> None:
    """Polygons, run lengths of both kinds and a crowd; no photo."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    mask[3:12, 5:15] = 1
    runs = coco_mask.encode(mask)
    written = {"size": runs["size"], "counts": runs["counts"].decode()}
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    listed = {"size": [HEIGHT, WIDTH], "counts": np.diff([0, *changes, flat.size]).tolist()}
    polygon = [[1, 1, 9, 1, 9, 8.5, 1, 8]]
    things = [
        (1, 1, polygon, [1, 1, 8, 7.5], 0),
        (1, 3, written, [5, 3, 10, 9], 0),
        (2, 1, listed, [5, 3, 10, 9], 1),
        (2, 3, [*polygon, [12, 2, 20, 2, 20, 10]], [1, 1, 19, 9], 0),
    ]
    write_json(
        folder / "data/annotations/instances_train.json",
        {
            "images": [_image(1, "a.jpg"), _image(2, "b.jpg")],
            "categories": CATEGORIES[1:],
            "annotations": [
                {"id": number, "image_id": image_id, "category_id": category_id, "area": 60.5}
                | {"segmentation": segmentation, "bbox": box, "iscrowd": crowd}
                for number, (image_id, category_id, segmentation, box, crowd) in enumerate(things)
            ],
        },
    )


def coco_panoptic(folder: Path) -> None:
    """Two images with stuff, things, a crowd and void; no photo."""
    write_panoptic(folder / "data/annotations/panoptic_train.json")


def write_panoptic(path: Path, *, scored: bool = False) -> None:
    """Write a COCO panoptic list and its PNGs, with scores where it is a prediction."""
    ids = np.full((HEIGHT, WIDTH), 1, dtype=np.int32)
    ids[2:9, 3:12], ids[8:14, 10:20], ids[:2] = 70_000, 256, 0
    score = {"score": 0.75} if scored else {}
    segments = [
        {"id": 1, "category_id": 7, "area": int((ids == 1).sum()), "bbox": [0, 2, 24, 14]},
        {"id": 70_000, "category_id": 1, "area": 60, "bbox": [3, 2, 9, 7], "iscrowd": 0} | score,
        {"id": 256, "category_id": 3, "area": 60, "bbox": [10, 8, 10, 6], "iscrowd": 0} | score,
    ]
    if not scored:
        segments[2]["iscrowd"] = 1
    annotations = []
    for image_id in (1, 2):
        name = f"{image_id}.png"
        (path.with_suffix("")).mkdir(parents=True, exist_ok=True)
        (path.with_suffix("") / name).write_bytes(encode_segment_map(ids))
        annotations.append({"image_id": image_id, "file_name": name, "segments_info": segments})
    images = [_image(1, "1.jpg"), _image(2, "2.jpg")]
    write_json(path, {"images": images, "categories": CATEGORIES, "annotations": annotations})


def voc(folder: Path) -> None:
    """A development kit with masks, boxes, lists and photos, and SBD beside it."""
    year, sbd = folder / "VOCdevkit/VOC2012", folder / "SBD/dataset"
    objects = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    objects[2:9, 3:12], objects[8:14, 12:20], objects[0] = 1, 2, 255
    classes = np.where(objects == 1, 15, np.where(objects == 2, 12, objects)).astype(np.uint8)
    for name in "abv":
        for kind, values in (("Class", classes), ("Object", objects)):
            path = year / f"Segmentation{kind}" / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = Picture.fromarray(values).convert("P")
            picture.putpalette([i % 251 for i in range(768)])
            picture.save(path)
        write_picture(year / "JPEGImages" / f"{name}.jpg", photo())
        write_text(year / "Annotations" / f"{name}.xml", _voc_xml(name))
    write_text(year / "ImageSets/Segmentation/train.txt", "a\nb\n")
    write_text(year / "ImageSets/Segmentation/val.txt", "v\n")
    write_text(sbd / "train.txt", "s\n")
    write_text(sbd / "val.txt", "t\n")
    for name in "st":
        write_picture(sbd / "img" / f"{name}.jpg", photo())
        kinds = np.array([[15], [12]], dtype=np.uint8)
        for part, key, fields in (
            ("cls", "GTcls", {"Segmentation": np.where(classes == 255, 0, classes)}),
            ("inst", "GTinst", {"Segmentation": objects % 255, "Categories": kinds}),
        ):
            path = sbd / part / f"{name}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            scipy.io.savemat(path, {key: fields}, do_compression=True)


def cityscapes(folder: Path) -> None:
    """A city with maps, one with polygons, and a photo of each."""
    ids = np.full((HEIGHT, WIDTH), 7, dtype=np.uint16)
    ids[2:9, 3:12], ids[8:14, 12:20], ids[0] = 26_000, 24, 0
    for city, part in (("aachen", "instanceIds"), ("ulm", "polygons")):
        key = f"{city}/{city}_000000_000019"
        write_picture(folder / f"data/leftImg8bit/train/{key}_leftImg8bit.png", photo())
        place = folder / f"data/gtFine/train/{key}_gtFine_{part}"
        if part == "instanceIds":
            write_picture(place.with_suffix(".png"), ids)
            continue
        objects = [
            {"label": "road", "polygon": [[0, 0], [23, 0], [23, 15], [0, 15]]},
            {"label": "car", "polygon": [[3, 2], [11, 2], [11, 8], [3, 8.5]], "deleted": 0},
            {"label": "persongroup", "polygon": [[12, 8], [19, 8], [19, 13]]},
        ]
        content = {"imgWidth": WIDTH, "imgHeight": HEIGHT, "objects": objects}
        write_json(place.with_suffix(".json"), content)


def yolo(folder: Path) -> None:
    """A box and a polygon, with a photo each."""
    write_text(
        folder / "data/data.yaml",
        "path: .\ntrain: images/train\nval: images/val\nnc: 2\nnames: [cat, dog]\n",
    )
    for name, lines in (
        ("a", "0 0.5 0.5 0.4 0.4\n1 0.2 0.3 0.2 0.2\n"),
        ("b", "1 0.4 0.4 0.1 0.1\n"),
    ):
        write_picture(folder / f"data/images/train/{name}.png", photo())
        write_text(folder / f"data/labels/train/{name}.txt", lines)


def yolo_polygons(folder: Path) -> None:
    """As `yolo`, but polygons alone."""
    yolo(folder)
    for name in "ab":
        lines = "1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n0 0.6 0.6 0.9 0.6 0.9 0.9\n"
        write_text(folder / f"data/labels/train/{name}.txt", lines)


def scenes(folder: Path) -> None:
    """A world of scenes that are as small as they can be."""
    write_text(
        folder / "world.toml",
        "seed = 3\nwidth = 32\nheight = 32\nnum_train = 2\nnum_val = 1\nmin_things = 2\n"
        "max_things = 3\ntexture = 1.0\nnoise = 6.0\ncontrast = 1.0\n",
    )


def _image(image_id: int, name: str) -> dict[str, Any]:
    return {"id": image_id, "file_name": name, "width": WIDTH, "height": HEIGHT}


def _voc_xml(name: str) -> str:
    def thing(kind: str, x0: int, y0: int, x1: int, y1: int) -> str:
        corners = f"<xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
        return (
            f"<object><name>{kind}</name><pose>Left</pose><truncated>0</truncated>"
            f"<difficult>0</difficult><bndbox>{corners}</bndbox></object>"
        )

    return (
        f"<annotation><folder>VOC2012</folder><filename>{name}.jpg</filename>"
        f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
        f"<segmented>1</segmented>{thing('person', 4, 3, 12, 9)}{thing('dog', 13, 9, 20, 14)}"
        "</annotation>"
    )
