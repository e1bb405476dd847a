import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotools.conversion.convert import convert
from annotools.conversion.wanted import Wanted
from annotools.errors import DatasetError
from annotools.formats import box_files, yolo
from annotools.formats.source import Source, open_source
from annotools.prices.times import read_times
from annotools.records import Box, Image
from tests.annotools.formats.yolo_files import BOX, boxes_of, photo, read_one, text
from tests.builders import make_categories


def test_what_convert_wrote_is_read_back(tmp_path):
    """From VOC's form too, and not the labels beside the photos that are given."""
    text(tmp_path / "in" / "classes.txt", "cat\ndog\n")
    photo(tmp_path / "in" / "images" / "sub" / "ü a.png", (33, 17))
    text(tmp_path / "in" / "labels" / "sub" / "ü a.txt", BOX + "1 0.2 0.2 0.1 0.3\n")
    first = boxes_of(yolo.read(tmp_path / "in", "train"))
    assert len(first["sub/ü a.png"]) == 2
    place = Source(format_name="yolo", root=tmp_path / "in", split="train")
    for box_format in ("voc", "yolo"):
        out = tmp_path / box_format
        wanted = Wanted(kinds=("boxes",), box_format=box_format)
        convert(place, wanted, read_times("li2018"), out)
        photos = tmp_path / "in" / "images"
        place = Source(format_name=box_format, root=out, split="train", photos=photos)
        assert boxes_of(open_source(place)) == first


def test_two_photos_of_one_name_get_no_yolo_labels(tmp_path):
    for name in ("a.jpg", "a.png"):
        photo(tmp_path / "JPEGImages" / name)
        text(
            tmp_path / "Annotations" / f"{name}.xml",
            f"<annotation><filename>{name}</filename><size><width>20</width><height>10</height>"
            "</size></annotation>",
        )
    place = Source(format_name="voc", root=tmp_path, split="train")
    wanted = Wanted(kinds=("boxes",), box_format="yolo")
    with pytest.raises(DatasetError, match=r"a.jpg and a.png: YOLO trainers look for a.txt for"):
        convert(place, wanted, read_times("li2018"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    wanted = Wanted(kinds=("boxes",), box_format="voc")
    convert(place, wanted, read_times("li2018"), tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out" / "boxes").iterdir()) == [
        "a.jpg.xml",
        "a.png.xml",
    ]


@settings(deadline=None, max_examples=50)
@given(st.data(), st.integers(1, 2000), st.integers(1, 300))
def test_any_box_is_read_back(tmp_path_factory, data, width, height):
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    x1, y1 = data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height))
    image = Image(image_id="a", file_name="a.png", width=width, height=height)
    box = Box(category_id=20, box_xyxy=(x0, y0, x1, y1))
    categories = make_categories(things=("cat",), stuff=("road",))
    root = tmp_path_factory.mktemp("yolo")
    lines = box_files.yolo_text(image, [box], categories).decode()
    dataset = read_one(root, lines, "names: [cat]", (width, height))
    assert boxes_of(dataset) == {"a.png": [("cat", (x0, y0, x1, y1))]}
