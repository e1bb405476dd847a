"""Weak labels as anybody would read them back: with a JSON parser and the names of the fields."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.categories import CategorySet
from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.conversion.convert import convert
from annotools.conversion.wanted import Wanted
from annotools.formats import READERS, coco_panoptic, read_dataset, weak_json
from annotools.formats.source import Source
from annotools.formats.voc_boxes import read_xml, take_objects
from annotools.label_maps import build_label
from annotools.prices.times import read_times
from annotools.records import (
    Box,
    BoxXYXY,
    Dataset,
    FullLabel,
    Image,
    Outline,
    Point,
    Scribble,
    TaggedCrop,
)
from annotools.weak_labels.coarse import outlines_of
from annotools.weak_labels.points import points_of
from annotools.weak_labels.scribbles import scribbles_of
from annotools.weak_labels.weaken import weaken
from tests.builders import make_categories, make_dataset, make_label
from tests.real_data import real_data

Record = TypeVar("Record")
Entry = dict[str, Any]

SEED = 3
CROP_SIZE_WH = (30, 25)
CATEGORIES = make_categories(things=("Straßenbahn", '自転車 "2"'), stuff=("road", "<sky> & ciel"))
ROAD, SKY, TRAM, BICYCLE = 10, 20, 30, 40
LAST_ID = 2**24 - 1


def make_street() -> FullLabel:
    """Two large segments, a tram, a group of bicycles, a bicycle of one pixel; ids as they come."""
    rows = np.full((40, 60), 70_000, dtype=np.int32)
    rows[20:] = 5
    rows[10:30, 8:40] = LAST_ID
    rows[25:38, 42:58] = 65_536
    rows[2, 50] = 1
    rows[:3, :3] = 0
    categories = {70_000: SKY, 5: ROAD, LAST_ID: TRAM, 65_536: BICYCLE, 1: BICYCLE}
    return build_label("straße/1", rows, categories, groups=[65_536])


LABELS = {
    "straße/ü 日本.png": make_street(),
    "straße/leer.jpg": make_label([[0, 0], [0, 0]], {}, image_id="void"),
    "b/one pixel.png": make_label([[9]], {9: TRAM}, image_id=2**40),
}


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    def write(*kinds: str, dataset: Dataset | None = None, **options: Any) -> Path:
        source = dataset or make_dataset(LABELS, CATEGORIES)
        monkeypatch.setitem(READERS, "memory", lambda root, split, allow_missing: source)
        wanted = Wanted(kinds=kinds, crop_size_wh=CROP_SIZE_WH, seed=SEED, **options)
        place = Source(format_name="memory", root=tmp_path, split="train")
        convert(place, wanted, read_times("li2018"), tmp_path / "out")
        return tmp_path / "out"

    return write


def load(path: Path) -> Any:
    with path.open(encoding="utf-8") as file:
        return json.load(file)


def by_image(
    content: Entry, entries: Iterable[Entry], rebuild: Callable[[Entry], Record]
) -> dict[int | str, tuple[Record, ...]]:
    """Records by image id, none for the images that are listed and have none."""
    found: dict[int | str, list[Record]] = {image["id"]: [] for image in content["images"]}
    for entry in entries:
        found[entry["image_id"]].append(rebuild(entry))
    return {image_id: tuple(records) for image_id, records in found.items()}


def to_point(entry: Entry) -> Point:
    return Point(
        segment_id=entry["segment_id"],
        category_id=entry["category_id"],
        x=entry["x"],
        y=entry["y"],
    )


def to_scribble(entry: Entry) -> Scribble:
    return Scribble(
        segment_id=entry["segment_id"],
        category_id=entry["category_id"],
        points_xy=tuple((x, y) for x, y in entry["polyline"]),
    )


def to_outline(entry: Entry) -> Outline:
    return Outline(
        segment_id=entry["segment_id"],
        category_id=entry["category_id"],
        polygons_xy=tuple(tuple((x, y) for x, y in polygon) for polygon in entry["polygons"]),
    )


def to_corners(x: int, y: int, width: int, height: int) -> BoxXYXY:
    return (x, y, x + width, y + height)


def to_box(entry: Entry) -> Box:
    return Box(
        category_id=entry["category_id"],
        box_xyxy=to_corners(*entry["bbox"]),
        is_group=bool(entry["iscrowd"]),
    )


def to_crop(entry: Entry) -> TaggedCrop:
    return TaggedCrop(
        box_xyxy=to_corners(*(entry[key] for key in ("x", "y", "width", "height"))),
        category_ids=tuple(entry["category_ids"]),
    )


def read_categories(content: Entry) -> list[tuple[int, str, bool]]:
    return [(c["id"], c["name"], bool(c["isthing"])) for c in content["categories"]]


def expected(
    make: Callable[[FullLabel], tuple[Record, ...]],
) -> dict[int | str, tuple[Record, ...]]:
    return {label.image_id: make(label) for label in LABELS.values()}


MARKS: Mapping[str, tuple[Callable[[Entry], Any], Callable[[FullLabel], tuple[Any, ...]]]] = {
    "points": (to_point, lambda label: points_of(label, CATEGORIES, SEED)),
    "scribbles": (to_scribble, lambda label: scribbles_of(label, CATEGORIES, SEED)),
    "coarse": (to_outline, lambda label: outlines_of(label, CATEGORIES)[0]),
}


@pytest.mark.parametrize("kind", MARKS)
def test_marks_are_read_back_as_they_were(write: Callable[..., Path], kind: str) -> None:
    rebuild, make = MARKS[kind]
    content = load(write(kind) / f"{kind}.json")
    found = by_image(content, content["annotations"], rebuild)
    assert found == expected(make)
    counts = {"points": (5, 0, 1), "scribbles": (5, 0, 1), "coarse": (4, 0, 0)}
    assert tuple(map(len, found.values())) == counts[kind]
    for entry in content["annotations"]:
        assert entry["iscrowd"] == (entry["segment_id"] == 65_536)
    assert [entry["id"] for entry in content["annotations"]] == list(
        range(1, sum(counts[kind]) + 1)
    )


@pytest.mark.parametrize("kind", [*MARKS, "boxes", "tags", "full"])
def test_images_and_categories_are_listed_as_they_were(
    write: Callable[..., Path], kind: str
) -> None:
    content = load(write(kind) / ("panoptic.json" if kind == "full" else f"{kind}.json"))
    images = [(i["id"], i["file_name"], i["width"], i["height"]) for i in content["images"]]
    assert images == [
        ("straße/1", "straße/ü 日本.png", 60, 40),
        ("void", "straße/leer.jpg", 2, 2),
        (2**40, "b/one pixel.png", 1, 1),
    ]
    listed = [(c.category_id, c.name, c.is_thing) for c in CATEGORIES.categories]
    assert read_categories(content) == (listed[2:] if kind == "boxes" else listed)


def test_boxes_are_read_back_as_they_were(write: Callable[..., Path]) -> None:
    content = load(write("boxes") / "boxes.json")
    found = by_image(content, content["annotations"], to_box)
    assert found == expected(lambda label: weaken(label, CATEGORIES, "boxes", None).boxes)
    # Of the street in the order of their ids: the single pixel, the group, the tram.
    assert [(b.box_xyxy, b.is_group) for b in found["straße/1"]] == [
        ((50, 2, 51, 3), False),
        ((42, 25, 58, 38), True),
        ((8, 10, 40, 30), False),
    ]


def test_tags_are_read_back_as_they_were(write: Callable[..., Path]) -> None:
    content = load(write("tags") / "tags.json")
    found = by_image(content, content["crops"], to_crop)
    assert found == expected(lambda label: weaken(label, CATEGORIES, "tags", CROP_SIZE_WH).crops)
    assert tuple(map(len, found.values())) == (4, 1, 1)
    assert found["void"] == (TaggedCrop(box_xyxy=(0, 0, 2, 2), category_ids=()),)


def test_full_labels_with_large_ids_are_read_back_as_they_were(write: Callable[..., Path]) -> None:
    dataset = coco_panoptic.read(write("full"), "train")
    assert dataset.categories == CATEGORIES
    assert len(dataset.images) == len(LABELS)
    for image in dataset.images:
        label, again = LABELS[image.file_name], dataset.read_label(image)
        assert image.image_id == label.image_id
        np.testing.assert_array_equal(again.segment_map, label.segment_map)
        assert again.segments == label.segments


def read_voc_boxes(path: Path, categories: CategorySet) -> tuple[Box, ...]:
    id_of = {category.name: category.category_id for category in categories.categories}

    def number(thing: ElementTree.Element, key: str) -> int:
        return int(thing.findtext(key, ""))

    return tuple(
        Box(
            category_id=id_of[thing.findtext("name", "")],
            box_xyxy=(
                number(thing, "bndbox/xmin") - 1,
                number(thing, "bndbox/ymin") - 1,
                number(thing, "bndbox/xmax"),
                number(thing, "bndbox/ymax"),
            ),
            is_group=thing.findtext("difficult") == "1",
        )
        for thing in ElementTree.parse(path).getroot().iter("object")
    )


def test_voc_files_are_read_back_as_they_were(write: Callable[..., Path]) -> None:
    out = write("boxes", box_format="voc")
    for name, label in LABELS.items():
        path = (out / "boxes" / name).with_suffix(".xml")
        assert ElementTree.parse(path).findtext("filename") == name
        boxes = weaken(label, CATEGORIES, "boxes", None).boxes
        assert read_voc_boxes(path, CATEGORIES) == boxes


def test_our_reader_of_voc_files_reads_what_was_written(write: Callable[..., Path]) -> None:
    label = make_label([[1, 1, 2], [1, 3, 2]], {1: 0, 2: 15, 3: 2}, groups=[3], image_id="a")
    dataset = make_dataset({"a.png": label}, VOC_CATEGORIES)
    out = write("boxes", dataset=dataset, box_format="voc")
    xml = read_xml(out / "boxes" / "a.xml")
    found = [
        Box(category_id=o.category_id, box_xyxy=o.box_xyxy, is_group=o.is_difficult)
        for o in take_objects(xml, (3, 2), VOC_CATEGORIES, allow_missing=False).objects
    ]
    assert tuple(found) == weaken(label, VOC_CATEGORIES, "boxes", None).boxes
    assert [box.category_id for box in found] == [15, 2]


def test_yolo_files_are_read_back_as_they_were_but_for_groups(write: Callable[..., Path]) -> None:
    out = write("boxes", box_format="yolo")
    id_of = {category.name: category.category_id for category in CATEGORIES.categories}
    class_ids = [id_of[name] for name in (out / "classes.txt").read_text("utf-8").splitlines()]
    assert class_ids == [TRAM, BICYCLE]
    for name, label in LABELS.items():
        height, width = label.segment_map.shape
        found = []
        for line in (out / "boxes" / name).with_suffix(".txt").read_text().splitlines():
            place, *fractions = line.split()
            centre_x, centre_y, box_width, box_height = map(float, fractions)
            box_xyxy = (
                round((centre_x - box_width / 2) * width),
                round((centre_y - box_height / 2) * height),
                round((centre_x + box_width / 2) * width),
                round((centre_y + box_height / 2) * height),
            )
            found.append(Box(category_id=class_ids[int(place)], box_xyxy=box_xyxy))
        boxes = weaken(label, CATEGORIES, "boxes", None).boxes
        assert tuple(found) == tuple(box for box in boxes if not box.is_group)


def test_real_marks_are_read_back_as_they_were(write: Callable[..., Path]) -> None:
    source = read_dataset("cityscapes", real_data("cityscapes"), "train")
    image = source.images[0]
    label = source.read_label(image)
    dataset = make_dataset({image.file_name: label}, source.categories)
    out = write("points", "scribbles", "coarse", dataset=dataset)
    makers = {
        "points": (to_point, points_of(label, source.categories, SEED)),
        "scribbles": (to_scribble, scribbles_of(label, source.categories, SEED)),
        "coarse": (to_outline, outlines_of(label, source.categories)[0]),
    }
    for kind, (rebuild, marks) in makers.items():
        content = load(out / f"{kind}.json")
        assert by_image(content, content["annotations"], rebuild) == {label.image_id: marks}
        assert len(marks) > 10


NUMBERS = st.integers(0, 2**31 - 1)
PIXELS = st.tuples(NUMBERS, NUMBERS)
HEADS = st.fixed_dictionaries({"segment_id": NUMBERS, "category_id": NUMBERS})


@given(
    image_id=st.integers() | st.text(),
    heads=st.lists(HEADS, max_size=4, unique_by=lambda head: head["segment_id"]),
    data=st.data(),
)
def test_any_marks_survive_their_entries(
    image_id: int | str, heads: list[dict[str, int]], data: st.DataObject
) -> None:
    image = Image(image_id=image_id, file_name="a", width=1, height=1)
    groups = {head["segment_id"] for head in heads[::2]}
    lines = st.lists(PIXELS, min_size=1, max_size=4).map(tuple)
    polygons = st.lists(lines, min_size=1, max_size=3).map(tuple)
    draw = data.draw
    points = [Point(**head, x=draw(NUMBERS), y=draw(NUMBERS)) for head in heads]
    scribbles = [Scribble(**head, points_xy=draw(lines)) for head in heads]
    outlines = [Outline(**head, polygons_xy=draw(polygons)) for head in heads]
    for records, entries, rebuild in (
        (points, weak_json.mark_entries(image, points, groups), to_point),
        (scribbles, weak_json.mark_entries(image, scribbles, groups), to_scribble),
        (outlines, weak_json.mark_entries(image, outlines, groups), to_outline),
    ):
        again = json.loads(json.dumps(entries))
        assert [rebuild(entry) for entry in again] == records
        assert {entry["segment_id"] for entry in again if entry["iscrowd"]} == groups
        assert all(entry["image_id"] == image_id for entry in again)
