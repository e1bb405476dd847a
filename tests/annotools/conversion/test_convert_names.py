from pathlib import Path

import pytest

from annotools.errors import DatasetError
from annotools.formats import coco_panoptic
from tests.annotools.conversion.conversion_runs import EMPTY, STREET, Memory, contents, run
from tests.builders import make_categories


def test_ugly_names_keep_apart(in_memory: Memory, tmp_path: Path):
    names = [
        "a.png",
        "x/a.png",
        "straße/日本 1.jpg",
        ".hidden",
        "'\"<&>.png",
        "new\nline\t.png",
        "-",
    ]
    result = run(in_memory([(name, STREET) for name in names]), tmp_path / "out", "full")
    assert result.kinds[0].entries == 4 * len(names)
    dataset = coco_panoptic.read(tmp_path / "out", "train")
    assert [image.file_name for image in dataset.images] == names
    assert len({image.label_paths for image in dataset.images}) == len(names)


def test_a_suffix_is_kept_where_it_tells_names_apart(in_memory: Memory, tmp_path: Path):
    names = ("a.png", "a.jpg", "b.png")
    run(in_memory([(name, EMPTY) for name in names]), tmp_path / "out", "full")
    written = {path.name for path in (tmp_path / "out" / "panoptic").iterdir()}
    assert written == {"a.png.png", "a.jpg.png", "b.png.png"}


@pytest.mark.parametrize("box_format", ["voc", "yolo"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("car", " car\n"), "categories 30 and 40 are both named 'car', by which"),
        (("car", " "), "category 40 has no name, by which"),
    ],
)
def test_boxes_known_by_name_need_names_apart(
    in_memory: Memory, tmp_path: Path, box_format: str, names: tuple[str, str], message: str
):
    source = in_memory([("a.png", STREET)], categories=make_categories(things=names))
    with pytest.raises(DatasetError, match=rf"in: {message} {box_format} boxes know"):
        run(source, tmp_path / "out", "boxes", box_format=box_format)
    assert not (tmp_path / "out").exists()
    run(source, tmp_path / "tags", "tags", box_format=box_format)
    run(source, tmp_path / "coco", "boxes")


def test_the_same_name_twice_is_refused_only_where_it_names_a_file(
    in_memory: Memory, tmp_path: Path
):
    source = in_memory([("a.png", EMPTY), ("./a.png", EMPTY)])
    run(source, tmp_path / "boxes", "boxes")
    with pytest.raises(DatasetError, match=r"in: image 1: .*'\./a\.png' too: give each"):
        run(source, tmp_path / "full", "full")


@pytest.mark.parametrize(
    "name", ["../a.png", "/a.png", "x/../../a.png", "C:\\a.png", "", "a\0.png"]
)
def test_hostile_names_write_nothing(in_memory: Memory, tmp_path: Path, name: str):
    source = in_memory([("good.png", EMPTY), (name, EMPTY)])
    with pytest.raises(DatasetError, match="in: image 1: file_name"):
        run(source, tmp_path / "out", "full")
    assert contents(tmp_path) == {}


def test_a_name_that_no_disk_can_hold_is_refused(in_memory: Memory, tmp_path: Path):
    with pytest.raises(DatasetError, match="is no possible name"):
        run(in_memory([("\ud800.png", EMPTY)]), tmp_path / "out", "full")
