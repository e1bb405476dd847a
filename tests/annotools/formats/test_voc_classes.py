import numpy as np
import pytest
from PIL import Image as Picture

from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import DatasetError
from annotools.formats import voc
from annotools.formats.voc_classes import find_classes

# CVAT writes classes in its own order and colours.
CVAT = """# label:color_rgb:parts:actions
background:0,0,0::
a:bolt:250,50,83::
nut:61,245,61:head,hand:jumping
"""
BLACK, BOLT, NUT, VOID = (0, 0, 0), (250, 50, 83), (61, 245, 61), (224, 224, 192)


def write_map(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.array(rows, dtype=np.uint8)
    picture = Picture.fromarray(pixels)
    if pixels.ndim == 2:
        picture = picture.convert("P")
        picture.putpalette([i % 251 for i in range(768)])
    picture.save(path)


def read_label(root, classes, objects, kind=""):
    write_map(root / f"SegmentationClass{kind}" / "a.png", classes)
    write_map(root / f"SegmentationObject{kind}" / "a.png", objects)
    dataset = voc.read(root, "train")
    label = dataset.read_label(dataset.images[0])
    names = {s.segment_id: dataset.categories.by_id(s.category_id).name for s in label.segments}
    return label.segment_map.tolist(), names


def names_of(root, file_name, content):
    (root / file_name).write_text(content, encoding="utf-8")
    found = find_classes(root)
    return {c.category_id: c.name for c in found.categories.categories}


def test_no_file_means_voc_s_own(tmp_path):
    assert find_classes(tmp_path).categories == VOC_CATEGORIES


def test_maps_in_the_colours_of_a_label_map(tmp_path):
    """As CVAT writes "Segmentation mask 1.1"; objects have colours of their own."""
    (tmp_path / "labelmap.txt").write_text(CVAT)
    objects = [[BLACK, (128, 0, 0), (128, 0, 0), (1, 2, 3)]]
    found = read_label(tmp_path, [[BLACK, BOLT, BOLT, NUT]], objects)
    assert found == ([[257, 1, 1, 256]], {1: "a:bolt", 256: "nut", 257: "background"})


def test_void_in_colours(tmp_path):
    (tmp_path / "labelmap.txt").write_text(CVAT)
    found = read_label(tmp_path, [[VOID, BOLT, BLACK]], [[VOID, (128, 0, 0), BLACK]])
    assert found[0] == [[0, 1, 2]]


def test_a_class_that_stands_for_void(tmp_path):
    (tmp_path / "labelmap.txt").write_text(f"{CVAT}ignored:224,224,192::\nscrew:1,1,1::\n")
    assert set(names_of(tmp_path, "labelmap.txt", (tmp_path / "labelmap.txt").read_text())) == {
        *(0, 1, 2, 4)
    }
    found = read_label(tmp_path, [[VOID, BOLT, BLACK]], [[VOID, (128, 0, 0), BLACK]])
    assert found[0] == [[0, 1, 2]]
    found = read_label(tmp_path, [[3, 1, 0, 4]], [[0, 1, 0, 2]])
    assert found == ([[0, 1, 3, 2]], {1: "a:bolt", 2: "screw", 3: "background"})


def test_void_in_place_of_a_background(tmp_path):
    assert names_of(tmp_path, "labelmap.txt", "Void:0,0,0::\nsky:1,1,1::\n") == {
        0: "Void",
        1: "sky",
    }
    found = read_label(tmp_path, [[BLACK, (1, 1, 1)]], [[BLACK, (128, 0, 0)]])
    assert found == ([[2, 1]], {1: "sky", 2: "Void"})


def test_a_colour_that_no_class_has(tmp_path):
    (tmp_path / "labelmap.txt").write_text(CVAT)
    with pytest.raises(DatasetError, match=r"a.png: the colour 9, 8, 7 is that of no class: name"):
        read_label(tmp_path, [[BLACK, (9, 8, 7)]], [[BLACK, (128, 0, 0)]])


def test_colours_of_voc_need_no_label_map(tmp_path):
    found = read_label(tmp_path, [[BLACK, (128, 0, 0), VOID]], [[BLACK, (128, 0, 0), VOID]])
    assert found == ([[2, 1, 0]], {1: "aeroplane", 2: "background"})


def test_a_colour_of_two_classes_matters_to_maps_in_colours_alone(tmp_path):
    (tmp_path / "labelmap.txt").write_text(CVAT.replace("61,245,61", "250,50,83"))
    found = read_label(tmp_path, [[0, 1, 2]], [[0, 1, 2]])
    assert found == ([[3, 1, 2]], {1: "a:bolt", 2: "nut", 3: "background"})
    with pytest.raises(DatasetError, match=r"labelmap.txt: 'nut' has the colour .* of another"):
        read_label(tmp_path, [[BLACK, BOLT]], [[BLACK, (128, 0, 0)]])


def test_labelme_s_names_and_folders(tmp_path):
    """Its older exports have the maps as arrays in the folders that others have PNGs in."""
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\nbolt\nnut\n")
    for name in ("SegmentationClass", "SegmentationObject"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", np.zeros((1, 4)))
    found = read_label(tmp_path, [[0, 1, 255, 2]], [[0, 1, 0, 2]], kind="PNG")
    assert found == ([[3, 1, 0, 2]], {1: "bolt", 2: "nut", 3: "_background_"})


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("bolt\nnut\n", ["background", "bolt", "nut"]),
        ("\ufeffbackground:0,0,0::\r\n\r\nbolt:1,2,3::\r\n", ["background", "bolt"]),
        ("background:::\nbolt:1,2,3\n", ["background", "bolt"]),
        ("background:0,0,0::\nmm:2:1:1,2,3::\n", ["background", "mm:2:1"]),
    ],
)
def test_forms_of_label_maps(tmp_path, content, names):
    assert list(names_of(tmp_path, "labelmap.txt", content).values()) == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists no class"),
        ("# bolt", "lists no class"),
        ("bolt\nbolt", "or one twice"),
        ("bolt:1,2::", "'bolt:1,2::' is not NAME:R,G,B"),
        ("bolt:1,2,256::", "is not NAME:R,G,B"),
        ("bolt:#ff0000::", "is not NAME:R,G,B"),
        ("a:b", "is not NAME:R,G,B"),
        ("x\n" * 2**20, "is longer than"),
        ("\n".join(map(str, range(300))), "301 categories"),
    ],
)
def test_impossible_label_maps(tmp_path, content, message):
    with pytest.raises(DatasetError, match=message) as caught:
        names_of(tmp_path, "labelmap.txt", content)
    assert str(caught.value).startswith(str(tmp_path / "labelmap.txt"))


def test_a_value_that_no_class_has(tmp_path):
    (tmp_path / "labelmap.txt").write_text(CVAT)
    with pytest.raises(DatasetError, match=r"a.png: value 3 is no class of .*labelmap.txt"):
        read_label(tmp_path, [[0, 3]], [[0, 1]])
