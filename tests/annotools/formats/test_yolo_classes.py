import pytest

from annotools.errors import DatasetError
from annotools.formats import yolo
from tests.annotools.formats.yolo_files import (
    BOX,
    BOX_XYXY,
    POLYGON,
    POLYGON_XYXY,
    boxes_of,
    photo,
    read_one,
    text,
)


@pytest.mark.parametrize(
    "names",
    [
        "names: [cat, no]",
        "names:\n- cat\n- no",
        "names: {0: cat, 1: no}",
        "names: {'0': cat, '1': no}",
        "nc: 2\nnames:\n  1: no\n  0: cat",
        "names: !!python/tuple [cat, !!str no]",
    ],
)
def test_names_are_text_whatever_they_mean_to_yaml(tmp_path, names):
    dataset = read_one(tmp_path, POLYGON, names)
    assert [(c.category_id, c.name) for c in dataset.categories.categories if c.is_thing] == [
        (0, "cat"),
        (1, "no"),
    ]
    assert boxes_of(dataset) == {"a.png": [("no", POLYGON_XYXY)]}


def test_classes_may_have_gaps_and_a_background_is_no_object(tmp_path):
    names = "names: {0: background, 2: cat, 7: dog}"
    dataset = read_one(tmp_path, f"7{BOX[1:]}0{BOX[1:]}", names)
    assert boxes_of(dataset) == {"a.png": [("dog", BOX_XYXY)]}
    assert dataset.remarks[1:] == ("1 lines are of the background: no object",)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("nc: 2", "no names of classes"),
        ("names: []", "names is no list of classes"),
        ("names: 3", "cannot be read"),
        ("names: {a: cat}", "names is no list of classes"),
        (BOMB, "names is no list of classes"),
        ("names: [cat", "not valid YAML"),
        ("- cat", "is not a table"),
        ("[" * 5000, "not valid YAML"),
        ("names: \0", "not valid YAML"),
        ("? [a]\n: b", "not valid YAML"),
        ("#" * 2**20, "is longer than"),
    ],
)
def test_impossible_tables(tmp_path, table, message):
    photo(tmp_path / "images" / "train" / "a.png")
    text(tmp_path / "labels" / "train" / "a.txt", BOX)
    text(tmp_path / "data.yaml", f"{table}\n")
    with pytest.raises(DatasetError, match=message) as caught:
        yolo.read(tmp_path, "train")
    assert "\n" not in str(caught.value)


def test_no_classes(tmp_path):
    photo(tmp_path / "images" / "a.png")
    text(tmp_path / "labels" / "a.txt", BOX)
    with pytest.raises(
        DatasetError, match=r"neither names in data.yaml nor a file classes.txt or obj"
    ):
        yolo.read(tmp_path, "train")
    text(tmp_path / "classes.txt", "\n")
    with pytest.raises(DatasetError, match=r"classes.txt: names no class"):
        yolo.read(tmp_path, "train")
