from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.formats import box_files, panoptic_folder, weak_json
from annotools.records import Box, Image, Outline, Point, Scribble, TaggedCrop
from tests.builders import make_categories

IMAGE = Image(image_id="a/1", file_name="a/b c.jpg", width=40, height=20)
CATEGORIES = make_categories(things=("car", "bus"), stuff=("road",))  # ids: road 10, car 20, bus 30
BOXES = (
    Box(category_id=30, box_xyxy=(4, 2, 14, 7)),
    Box(category_id=20, box_xyxy=(0, 0, 40, 20), is_group=True),
)


def test_coco_boxes_are_corner_and_size_with_the_area_of_the_box():
    assert weak_json.box_entries(IMAGE, BOXES) == [
        {"image_id": "a/1", "category_id": 30, "bbox": [4, 2, 10, 5], "area": 50, "iscrowd": 0},
        {"image_id": "a/1", "category_id": 20, "bbox": [0, 0, 40, 20], "area": 800, "iscrowd": 1},
    ]


def test_voc_boxes_count_from_1_and_include_the_last_pixel():
    root = ElementTree.fromstring(box_files.voc_xml(IMAGE, BOXES, CATEGORIES))
    assert root.findtext("filename") == "a/b c.jpg"
    assert [root.findtext(f"size/{tag}") for tag in ("width", "height")] == ["40", "20"]
    found = [[e.text for e in thing.iter() if (e.text or "").strip()] for thing in root[3:]]
    assert found == [["bus", "5", "3", "14", "7"], ["car", "1", "1", "1", "40", "20"]]


def test_voc_xml_of_ugly_names_can_be_read():
    image = Image(image_id=1, file_name="<&\x01>\ud800\tü.jpg", width=4, height=2)
    root = ElementTree.fromstring(box_files.voc_xml(image, (), CATEGORIES))
    assert root.findtext("filename") == "<&\ufffd>\ufffd\tü.jpg"


def test_yolo_boxes_are_fractions_without_groups():
    # Centre (9, 4.5) and size (10, 5) of 40 x 20; the bus is the second thing.
    expected = b"1 0.225000 0.225000 0.250000 0.250000\n"
    assert box_files.yolo_text(IMAGE, BOXES, CATEGORIES) == expected
    assert box_files.yolo_text(IMAGE, (), CATEGORIES) == b""
    assert box_files.yolo_classes(CATEGORIES) == b"car\nbus\n"


@given(st.data(), st.integers(1, 250_000), st.integers(1, 250_000))
def test_yolo_gives_whole_pixels_back(data: st.DataObject, width: int, height: int):
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    image = Image(image_id=1, file_name="a", width=width, height=height)
    box = Box(category_id=20, box_xyxy=(x0, y0, x1, y1))
    _, *numbers = box_files.yolo_text(image, [box], CATEGORIES).split()
    cx, cy, w, h = (float(n) for n in numbers)
    corners = [(cx - w / 2) * width, (cy - h / 2) * height]
    corners += [(cx + w / 2) * width, (cy + h / 2) * height]
    assert tuple(map(round, corners)) == (x0, y0, x1, y1)


def test_crops_are_places_and_sizes():
    crops = (TaggedCrop(box_xyxy=(5, 0, 40, 20), category_ids=(10, 20)),)
    assert weak_json.crop_entries(IMAGE, crops) == [
        {"image_id": "a/1", "x": 5, "y": 0, "width": 35, "height": 20, "category_ids": [10, 20]}
    ]


def test_marks_say_their_segment_and_whether_it_is_a_group():
    head = {"image_id": "a/1", "category_id": 20, "segment_id": 7}
    point = Point(segment_id=7, category_id=20, x=3, y=4)
    scribble = Scribble(segment_id=7, category_id=20, points_xy=((1, 2), (3, 4)))
    outline = Outline(segment_id=7, category_id=20, polygons_xy=(((0, 0), (4, 0), (4, 4)),))
    assert weak_json.mark_entries(IMAGE, [point], {7}) == [head | {"iscrowd": 1, "x": 3, "y": 4}]
    assert weak_json.mark_entries(IMAGE, [scribble], {8}) == [
        head | {"iscrowd": 0, "polyline": [[1, 2], [3, 4]]}
    ]
    assert weak_json.mark_entries(IMAGE, [outline], set()) == [
        head | {"iscrowd": 0, "polygons": [[[0, 0], [4, 0], [4, 4]]]}
    ]


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("a/b.jpg", "a/b"),
        ("./a//b.c.jpg", "a/b.c"),
        (".hidden", ".hidden"),
        ("straße/日本 1.png", "straße/日本 1"),
        ("no suffix", "no suffix"),
        ("..jpg", "."),
    ],
)
def test_names_keep_folders_and_lose_the_suffix(file_name: str, name: str):
    image = Image(image_id=1, file_name=file_name, width=1, height=1)
    assert panoptic_folder.name_images([image], Path("out")) == [name]
