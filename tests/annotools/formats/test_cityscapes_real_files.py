import csv
import itertools
import json
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageDraw

from annotools.category_tables.cityscapes import CITYSCAPES_CATEGORIES
from annotools.formats import cityscapes
from tests.annotools.formats.cityscapes_files import read_only_label
from tests.real_data import DATA, real_data

THINGS = [c for c in CITYSCAPES_CATEGORIES.categories if c.is_thing]


def test_real_segments_are_those_of_the_official_converter(tmp_path):
    root = real_data("cityscapes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

        convert2panoptic(str(root / "gtFine"), str(tmp_path), setNames=["train"])
    official = json.loads((tmp_path / "cityscapes_panoptic_train.json").read_text())
    dataset = cityscapes.read(root, "train")

    assert len(dataset.images) == len(official["annotations"]) == 22
    num_instances = 0
    for image, annotation in zip(dataset.images, official["annotations"], strict=True):
        label = dataset.read_label(image)
        found = {
            (s.segment_id, s.category_id, s.area, *s.box_xyxy, int(s.is_group))
            for s in label.segments
        }
        assert image.image_id == annotation["image_id"]
        assert found == {
            (s["id"], s["category_id"], s["area"], x, y, x + width, y + height, s["iscrowd"])
            for s in annotation["segments_info"]
            for x, y, width, height in [s["bbox"]]
        }
        num_instances += sum(s.segment_id >= 1000 for s in label.segments) + len(label.drops)
    assert num_instances == 310


def test_real_polygons_are_drawn_as_the_official_tool_does(tmp_path):
    root = real_data("cityscapes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cityscapesscripts.helpers.annotation import Annotation
        from cityscapesscripts.preparation.json2instanceImg import createInstanceImage

    for path in sorted((root / "gtFine" / "train" / "jena").glob("*_polygons.json")):
        (tmp_path / "gtFine" / "train" / "jena").mkdir(parents=True, exist_ok=True)
        copy = tmp_path / "gtFine" / "train" / "jena" / path.name
        copy.write_bytes(path.read_bytes())
        annotation = Annotation()
        annotation.fromJsonFile(str(path))
        official = np.array(createInstanceImage(annotation, "ids"))
        drawn = read_only_label(tmp_path).segment_map
        shipped_path = path.with_name(path.name.replace("polygons.json", "instanceIds.png"))
        shipped = cv2.imread(str(shipped_path), cv2.IMREAD_UNCHANGED)

        np.testing.assert_array_equal(drawn[drawn > 0], official[drawn > 0])
        assert set(np.unique(official[drawn == 0]) // 1000) == {0}
        # Pillow has changed which pixels of an outline it fills since the maps were published.
        assert (drawn[drawn > 0] == shipped[drawn > 0]).mean() > 0.995
        copy.unlink()


def instance_boxes(label):
    return [s.box_xyxy for s in label.segments if s.segment_id >= 1000]


def test_real_boxes_are_those_of_the_paper_s_code():
    dataset = cityscapes.read(real_data("cityscapes"), "train")
    path = DATA.parent / "reference" / "li2018" / "boxes.csv"
    if not path.exists():
        pytest.skip(f"no reference at {path}: set ANNOTOOLS_DATA")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["is_stuff"] == "0"]
    expected = [
        (int(row["xmin"]), int(row["ymin"]), int(row["xmax"]) + 1, int(row["ymax"]) + 1)
        for row in rows
    ]
    (image,) = (i for i in dataset.images if i.image_id == "aachen_000000_000019")
    polygons = Path(str(image.label_paths[0]).replace("instanceIds.png", "polygons.json"))
    drawn = dataset.read_label(replace(image, label_paths=(polygons,)))

    assert len(expected) == 13
    assert {row["is_group"] for row in rows} == {"0"}
    assert instance_boxes(drawn) == expected
    # The boxes are those of the polygons; the published map draws most of them a pixel smaller.
    shipped = instance_boxes(dataset.read_label(image))
    assert np.abs(np.subtract(shipped, expected)).max() == 1


def test_real_test_labels_are_void():
    dataset = cityscapes.read(real_data("cityscapes"), "test")

    assert len(dataset.images) >= 1
    assert all(dataset.read_label(image).segments == () for image in dataset.images)


def test_real_boxes_are_those_of_the_polygons_as_drawn():
    """Each polygon is drawn by itself, as the official tools draw it, and measured."""
    dataset = cityscapes.read(real_data("cityscapes"), "train")
    compared = 0
    for image in dataset.images:
        if image.label_paths[-1].suffix != ".json":
            continue
        boxes = dataset.read_label(image).objects
        content = json.loads(image.label_paths[-1].read_text())
        count = Counter()
        for thing in content["objects"]:
            category = next((c for c in THINGS if c.name == thing["label"]), None)
            if category is None or thing.get("deleted"):
                continue
            canvas = Picture.new("1", image.size_wh)
            ImageDraw.Draw(canvas).polygon([tuple(point) for point in thing["polygon"]], fill=1)
            number = category.category_id * 1000 + count[category.name]
            count[category.name] += 1
            assert boxes[number].box_xyxy == canvas.getbbox()
            compared += 1
    assert compared > 200


def test_real_vertices():
    dataset = cityscapes.read(real_data("cityscapes"), "train")
    names = {category.name for category in dataset.categories.categories}
    # A polegroup is a label of its own, and no pole.
    evaluated = (names | {f"{name}group" for name in names}) - {"polegroup"}
    counts = {}
    for image in dataset.images:
        path = image.label_paths[0]
        path = path.with_name(path.name.replace("instanceIds.png", "polygons.json"))
        counts[image.image_id] = None
        if path.exists():
            objects = json.loads(path.read_text())["objects"]
            rings = [o["polygon"] for o in objects if o["label"] in evaluated]
            counts[image.image_id] = sum(
                len(list(itertools.groupby(ring))) - (ring[0] == ring[-1]) for ring in rings
            )

    assert {i.image_id: dataset.count_vertices(i) for i in dataset.images} == counts
    known = [count for count in counts.values() if count is not None]
    assert (len(known), sum(known)) == (15, 25944)
