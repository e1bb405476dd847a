import contextlib
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from annotools.conversion.convert import convert
from annotools.conversion.wanted import Wanted
from annotools.errors import DatasetError, RecipeError
from annotools.formats import coco_panoptic
from annotools.label_maps import build_label
from annotools.prices.times import read_times
from annotools.records import LABEL_KINDS, Drop
from tests.annotools.conversion.conversion_runs import (
    CATEGORIES,
    EMPTY,
    STREET,
    TIMES,
    Memory,
    contents,
    read,
    run,
    write_world,
)
from tests.builders import make_categories, make_label


def vertices(mark: dict[str, Any]) -> list[list[int]]:
    if "x" in mark:
        return [[mark["x"], mark["y"]]]
    if "polyline" in mark:
        return list(mark["polyline"])
    return [vertex for polygon in mark["polygons"] for vertex in polygon]


def test_boxes_are_read_back_as_they_were(in_memory: Memory, tmp_path: Path):
    source = in_memory([("a.png", STREET), ("b.png", EMPTY)])
    result = run(source, tmp_path / "out", "boxes")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "out" / "boxes.json"))
    assert coco.getImgIds() == [0, 1]
    assert [(c["id"], c["name"]) for c in coco.loadCats(coco.getCatIds())] == [
        (30, "car"),
        (40, "bus"),
    ]
    boxes = [
        (a["category_id"], a["bbox"], a["area"], a["iscrowd"])
        for a in coco.loadAnns(coco.getAnnIds(imgIds=[0]))
    ]
    assert boxes == [(30, [1, 1, 2, 2], 4, 0), (40, [3, 2, 1, 2], 2, 1)]
    assert coco.getAnnIds(imgIds=[1]) == []
    assert all("segmentation" not in annotation for annotation in coco.anns.values())
    (row,) = result.kinds
    assert (row.entries, row.written, row.dropped) == (2, 2, 2)
    assert row.hours == pytest.approx(14 / 3600)


def test_tags_are_those_of_the_crops(in_memory: Memory, tmp_path: Path):
    run(in_memory([("a.png", STREET)]), tmp_path / "out", "tags", crop_size_wh=(2, 4))
    content = read(tmp_path / "out" / "tags.json")
    assert content["crops"] == [
        {"image_id": 0, "x": 0, "y": 0, "width": 2, "height": 4, "category_ids": [10, 20, 30]},
        {"image_id": 0, "x": 2, "y": 0, "width": 2, "height": 4, "category_ids": [10, 20, 30, 40]},
    ]
    assert [c["id"] for c in content["categories"]] == [10, 20, 30, 40]


def test_full_labels_are_read_back_as_they_were(in_memory: Memory, tmp_path: Path):
    labels = [("x/a.png", STREET), ("y/a.jpg", EMPTY)]
    run(in_memory(labels), tmp_path / "out", "full")
    dataset = coco_panoptic.read(tmp_path / "out", "train")
    assert dataset.categories == CATEGORIES
    assert [image.file_name for image in dataset.images] == ["x/a.png", "y/a.jpg"]
    for image, (_, label) in zip(dataset.images, labels, strict=True):
        again = dataset.read_label(image)
        np.testing.assert_array_equal(again.segment_map, label.segment_map)
        assert again.segments == label.segments
    entries = read(tmp_path / "out" / "panoptic.json")["annotations"]
    assert [entry["file_name"] for entry in entries] == ["x/a.png", "y/a.png"]


def test_marks_lie_in_their_segments(in_memory: Memory, tmp_path: Path):
    side = np.zeros((40, 40), dtype=np.int32)
    side[:, :20], side[:, 20:] = 1, 2
    label = build_label(0, side, {1: 10, 2: 30}, groups=[2])
    kinds = ("points", "scribbles", "coarse")
    run(in_memory([("a.png", label)]), tmp_path / "out", *kinds)
    for kind in kinds:
        marks = read(tmp_path / "out" / f"{kind}.json")["annotations"]
        assert [mark["id"] for mark in marks] == [1, 2]
        for mark in marks:
            for x, y in vertices(mark):
                assert label.segment_map[y, x] == mark["segment_id"]
            expected = {1: (10, 0), 2: (30, 1)}[mark["segment_id"]]
            assert (mark["category_id"], mark["iscrowd"]) == expected


def test_boxes_may_be_voc_or_yolo_files(in_memory: Memory, tmp_path: Path):
    source = in_memory([("x/a.png", STREET), ("b.png", EMPTY)])
    voc = run(source, tmp_path / "voc", "boxes", box_format="voc")
    assert set(contents(tmp_path / "voc")) == {"boxes/x/a.xml", "boxes/b.xml", "manifest.json"}
    assert (voc.kinds[0].written, voc.kinds[0].dropped) == (2, 2)

    yolo = run(source, tmp_path / "yolo", "boxes+tags", box_format="yolo")
    found = contents(tmp_path / "yolo")
    assert found["boxes/x/a.txt"] == b"0 0.500000 0.500000 0.500000 0.500000\n"
    assert found["boxes/b.txt"] == b""
    assert found["classes.txt"] == b"car\nbus\n"
    assert [(g.kind, g.count, g.reason) for g in yolo.drops[1:]] == [
        ("boxes+tags", 1, "YOLO files cannot mark a group")
    ]
    assert yolo.drops[1].places == ("image 0: segment 4",)


def test_every_kind_has_the_hours_of_its_actions(in_memory: Memory, tmp_path: Path):
    source = in_memory([("a.png", STREET), ("b.png", EMPTY)])
    wanted = Wanted(kinds=("points", "scribbles", "coarse"))
    done = convert(source, wanted, read_times("bearman2016"), tmp_path / "out", workers=1)
    hours = {row.kind: row.hours for row in done.kinds}
    # Four classes, all in the first image and none in the second, each asked about for a second.
    assert hours["points"] == pytest.approx((4 * 2.4 + 4) / 3600)
    assert hours["scribbles"] == pytest.approx((4 * 10.9 + 4) / 3600)
    assert hours["coarse"] is None


def test_the_manifest_accounts_for_everything(in_memory: Memory, tmp_path: Path):
    label = build_label(0, STREET.segment_map, {1: 20, 2: 10, 3: 30, 4: 40}, groups=[4])
    label = replace(label, drops=(Drop(place="instance 9", reason="covered"),))
    source = in_memory([("a.png", label), ("b.png", EMPTY), ("d.png", EMPTY)], max_images=2)
    run(source, tmp_path / "out", seed=5)
    manifest = read(tmp_path / "out" / "manifest.json")
    assert manifest["images"] == {"in": 4, "converted": 2, "dropped": 1, "beyond_max_images": 1}
    assert manifest["objects"] == 5
    assert manifest["options"]["seed"] == 5
    assert manifest["notes"][0] == "a note"
    counts = {k: (row["written"], row["dropped"]) for k, row in manifest["kinds"].items()}
    # Nothing in four pixels' width is far enough from its border for a coarse outline.
    expected = dict.fromkeys(LABEL_KINDS, (4, 1)) | {"boxes": (2, 3), "coarse": (0, 5)}
    assert counts == expected
    hours = {kind: row["hours"] for kind, row in manifest["kinds"].items()}
    assert hours["full"] == 3.0
    assert hours["boxes+tags"] == pytest.approx((2 * 7 + 2) / 3600)
    assert hours["coarse"] == pytest.approx(2 * 7 / 60)
    assert hours["points"] is None
    drops = {(d["kind"], d["reason"]): d["places"] for d in manifest["drops"]}
    assert drops["images", "the photo is missing"] == ["c.png"]
    assert drops["all", "covered"] == ["instance 9"]
    assert drops["boxes", "stuff has no box"] == ["image 0: segment 1", "image 0: segment 2"]
    assert set(manifest["files"]) | {"manifest.json"} == set(contents(tmp_path / "out"))


def test_background_is_no_object(in_memory: Memory, tmp_path: Path):
    categories = make_categories(stuff=("background",), background=True)
    label = make_label([[1, 1], [1, 2]], {1: 10, 2: 20})
    result = run(in_memory([("a.png", label)], categories), tmp_path / "out")
    assert result.num_objects == 1
    written = {row.kind: row.written for row in result.kinds}
    assert written == dict.fromkeys(LABEL_KINDS, 1) | {"coarse": 0}
    hours = {row.kind: row.hours for row in result.kinds}
    # A mask of the one car; seven minutes are for an image with stuff, which this is not.
    assert (hours["full"], hours["coarse"]) == (79.2 / 3600, None)
    tags = read(tmp_path / "out" / "tags.json")
    assert [category["name"] for category in tags["categories"]] == ["car"]


@pytest.mark.parametrize("count", [0, 5000])
def test_images_of_no_and_of_thousands_of_instances(in_memory: Memory, tmp_path: Path, count: int):
    flat = np.zeros(20000, dtype=np.int32)
    flat[: 2 * count] = np.repeat(np.arange(1, count + 1), 2)
    label = build_label(0, flat.reshape(100, 200), dict.fromkeys(range(1, count + 1), 30))
    source = in_memory([("a.png", label)])
    result = run(source, tmp_path / "out", "boxes", "points", "full", "coarse")
    assert [row.written for row in result.kinds] == [count, count, count, 0]
    boxes = read(tmp_path / "out" / "boxes.json")["annotations"]
    assert [box["id"] for box in boxes] == list(range(1, count + 1))
    # The photo that is missing, and every instance, too small for a coarse outline.
    drops = tmp_path / "out" / "drops.jsonl"
    assert drops.exists() == bool(count)
    assert not count or len(drops.read_text().splitlines()) == 1 + count


def test_missing_files_that_make_a_label_lesser_are_listed(in_memory: Memory, tmp_path: Path):
    gaps = tuple(Drop(place=f"{n}.png", reason="the object map is missing") for n in range(21))
    result = run(in_memory([("a.png", STREET)], gaps=gaps), tmp_path / "out", "boxes")
    (gap,) = (group for group in result.drops if group.kind == "gap")
    assert (gap.count, gap.places[0], gap.reason) == (21, "0.png", "the object map is missing")
    lines = map(json.loads, (tmp_path / "out" / "drops.jsonl").read_text().splitlines())
    listed = [line["place"] for line in lines if line["kind"] == "gap"]
    assert listed == [f"{n}.png" for n in range(21)]
    assert result.kinds[0].dropped == 2


def test_no_image_and_no_possible_kind_are_refused(in_memory: Memory, tmp_path: Path):
    message = r"in: split train has no image to convert, 1 lack a file: restore these"
    with pytest.raises(DatasetError, match=message):
        run(in_memory([]), tmp_path / "out", "boxes")
    for kinds, message in [((), "label kinds ()"), (("x",), "'x'"), (("tags",) * 2, "each once")]:
        with pytest.raises(RecipeError, match=message.replace("(", r"\(").replace(")", r"\)")):
            Wanted(kinds=kinds)
    with pytest.raises(RecipeError, match="'pascal': use coco, voc, yolo"):
        Wanted(kinds=("boxes",), box_format="pascal")


def test_the_number_of_workers_changes_nothing(tmp_path: Path):
    source = write_world(tmp_path, count=40)
    wanted = Wanted(kinds=LABEL_KINDS, crop_size_wh=(30, 20))
    for workers in (1, 3):
        convert(source, wanted, TIMES, tmp_path / str(workers), workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_the_source_files_are_hashed(tmp_path: Path):
    source = write_world(tmp_path, count=1)
    run(source, tmp_path / "out", "boxes")
    digest = hashlib.sha256(source.root.read_bytes()).hexdigest()
    expected = hashlib.sha256(f"{digest} world.toml\n".encode()).hexdigest()
    found = read(tmp_path / "out" / "manifest.json")["source"]
    assert (found["files"], found["format"], found["split"]) == (1, "scenes", "train")
    assert found["sha256"] == expected
