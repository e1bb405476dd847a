import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture

from annotools.conversion.convert import convert
from annotools.conversion.wanted import Wanted
from annotools.errors import DatasetError
from annotools.formats import box_files, yolo
from annotools.formats.source import Source, open_source
from annotools.prices.times import read_times
from annotools.records import Box, Drop, Image
from annotools.weak_labels.buy import read_source
from annotools.weak_labels.weaken import weaken
from tests.builders import make_categories

# Centre (10, 5), 8 x 4 pixels of 20 x 10.
BOX = "0 0.5 0.5 0.4 0.4\n"
BOX_XYXY = (6, 3, 14, 7)
# The rectangle from (2, 1) to (10, 5), and its pixels.
POLYGON = "1 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5\n"
POLYGON_XYXY = (2, 1, 10, 5)
NAMES = "names: [cat, dog]\n"


def photo(path, size_wh=(20, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size_wh
    written = path.with_suffix(path.suffix.lower())
    assert cv2.imwrite(str(written), np.full((height, width, 3), 80, np.uint8))
    return written.rename(path)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def boxes_of(dataset):
    """The boxes of a dataset by image, with the names of their classes."""
    found = {}
    for image in dataset.images:
        label = read_source(dataset, image)
        weak = label if dataset.read_weak else weaken(label, dataset.categories, "boxes", None)
        found[image.file_name] = [
            (dataset.categories.by_id(box.category_id).name, box.box_xyxy) for box in weak.boxes
        ]
    return found


def read_one(root, lines, names=NAMES, size_wh=(20, 10), **options):
    """The dataset of one photo with these lines."""
    text(root / "data.yaml", f"train: images/train\n{names}")
    photo(root / "images" / "train" / "a.png", size_wh)
    text(root / "labels" / "train" / "a.txt", lines)
    return yolo.read(root, "train", **options)


def ultralytics(root):
    text(root / "data.yaml", "path: ./\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n")
    photo(root / "images" / "train" / "sub" / "a.jpg")
    text(root / "labels" / "train" / "sub" / "a.txt", BOX)
    photo(root / "images" / "val" / "b.jpg")
    text(root / "labels" / "val" / "b.txt", POLYGON)


def roboflow(root):
    """Its data.yaml lies beside `train` and names `../train`."""
    text(
        root / "data.yaml",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n"
        "names: ['cat', 'dog']\n\nroboflow:\n  workspace: w\n  version: 1\n",
    )
    text(root / "README.roboflow.txt", "v1\n")
    name = "a_jpg.rf.0af3.jpg"
    photo(root / "train" / "images" / name)
    text(root / "train" / "labels" / "a_jpg.rf.0af3.txt", BOX.rstrip())


def cvat_ultralytics(root):
    text(root / "data.yaml", "names:\n  0: cat\n  1: dog\npath: .\ntrain: train.txt\n")
    text(root / "train.txt", "data/images/train/frame 1.png\n")
    photo(root / "images" / "train" / "frame 1.png")
    text(root / "labels" / "train" / "frame 1.txt", BOX)


def cvat_darknet(root):
    text(
        root / "obj.data",
        "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
    )
    text(root / "obj.names", "cat\ndog\n")
    text(root / "train.txt", "data/obj_train_data/a.png\ndata/obj_train_data/sub/b.png\n")
    for name in ("a", "sub/b"):
        photo(root / "obj_train_data" / f"{name}.png")
        text(root / "obj_train_data" / f"{name}.txt", BOX)


def darknet_without_table(root):
    text(root / "obj.names", "cat\ndog\n")
    photo(root / "obj_train_data" / "a.png")
    text(root / "obj_train_data" / "a.txt", BOX)


def label_studio(root):
    text(root / "classes.txt", "cat\ndog\n")
    text(root / "notes.json", "{}")
    photo(root / "images" / "1a2b3c4d-ü 1.png")
    text(root / "labels" / "1a2b3c4d-ü 1.txt", BOX)


def label_img(root):
    """All in one folder, with Windows' line ends."""
    text(root / "classes.txt", "cat\r\ndog\r\n")
    photo(root / "a.JPG")
    text(root / "a.txt", BOX.replace("\n", "\r\n"))
    text(root / "README.txt", "What this is\n")


def beside_other_yaml(root):
    text(root / "compose.yml", "services: {}\n")
    label_studio(root)


def roboflow_darknet(root):
    text(root / "train" / "_darknet.labels", "cat\ndog\n")
    photo(root / "train" / "a.jpg")
    text(root / "train" / "a.txt", BOX)


@pytest.mark.parametrize(
    ("layout", "names"),
    [
        (ultralytics, ["sub/a.jpg"]),
        (roboflow, ["a_jpg.rf.0af3.jpg"]),
        (cvat_ultralytics, ["images/train/frame 1.png"]),
        (cvat_darknet, ["obj_train_data/a.png", "obj_train_data/sub/b.png"]),
        (darknet_without_table, ["a.png"]),
        (label_studio, ["1a2b3c4d-ü 1.png"]),
        (beside_other_yaml, ["1a2b3c4d-ü 1.png"]),
        (label_img, ["a.JPG"]),
        (roboflow_darknet, ["a.jpg"]),
    ],
)
def test_folders_as_tools_write_them(tmp_path, layout, names):
    layout(tmp_path)
    dataset = yolo.read(tmp_path, "train")
    assert boxes_of(dataset) == {name: [("cat", BOX_XYXY)] for name in names}
    assert dataset.drops == ()
    assert {image.size_wh for image in dataset.images} == {(20, 10)}


def test_the_file_may_stand_for_the_folder(tmp_path):
    cvat_darknet(tmp_path)
    assert len(yolo.read(tmp_path / "obj.data", "train").images) == 2


@pytest.mark.parametrize(
    "table",
    [
        "train: images/train",
        "path: .\ntrain: images/train",
        "path: /content/of another machine\ntrain: images/train",
        "path: ../datasets/own\ntrain: images/train/",
        "train: /content/drive/own/images/train",
        "train: 'C:\\\\own\\\\images\\\\train'",
        "train: ../images/train",
        "train: [./images/train]",
        "train: {root}/images/train",
        "path: '{root}'\ntrain: images/train",
        "train: images/train\nval:\ntest: null",
    ],
)
def test_paths_in_the_table(tmp_path, table):
    photo(tmp_path / "images" / "train" / "a.png")
    text(tmp_path / "labels" / "train" / "a.txt", BOX)
    text(tmp_path / "data.yaml", f"{table.replace('{root}', str(tmp_path))}\n{NAMES}")
    assert boxes_of(yolo.read(tmp_path, "train")) == {"a.png": [("cat", BOX_XYXY)]}


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


def test_a_split_that_the_table_lacks(tmp_path):
    roboflow(tmp_path)
    with pytest.raises(DatasetError, match=r"data.yaml: has no split 'all': use train or val or"):
        yolo.read(tmp_path, "all")
    with pytest.raises(
        DatasetError, match=r"photos are in '../valid/images', and nothing is there"
    ):
        yolo.read(tmp_path, "val")


def test_photos_of_other_splits_are_not_taken(tmp_path):
    text(tmp_path / "classes.txt", "cat\n")
    photo(tmp_path / "images" / "val" / "a.png")
    text(tmp_path / "labels" / "val" / "a.txt", BOX)
    assert len(yolo.read(tmp_path, "val").images) == 1
    for split in ("train", "test"):
        with pytest.raises(DatasetError, match=f"no photo of split '{split}'"):
            yolo.read(tmp_path, split)


def test_several_folders_may_have_the_same_names(tmp_path):
    text(tmp_path / "data.yaml", f"train: [one/images, two/images]\n{NAMES}")
    for folder, lines in (("one", BOX), ("two", POLYGON)):
        photo(tmp_path / folder / "images" / "a.png")
        text(tmp_path / folder / "labels" / "a.txt", lines)
    with_gap = yolo.read(tmp_path, "train", allow_missing=True)
    assert boxes_of(with_gap) == {
        "one/images/a.png": [("cat", BOX_XYXY)],
        "two/images/a.png": [("dog", POLYGON_XYXY)],
    }


def test_two_photos_of_one_name_are_refused(tmp_path):
    read_one(tmp_path, BOX)
    photo(tmp_path / "images" / "train" / "a.jpg")
    with pytest.raises(DatasetError, match=r"a.png: has the labels of .*a.jpg too, a.txt: rename"):
        yolo.read(tmp_path, "train")


def test_lists_of_photos(tmp_path):
    text(tmp_path / "data.yaml", f"train: train.txt\n{NAMES}")
    outside = photo(tmp_path.parent / f"{tmp_path.name} 2" / "images" / "c.png")
    text(outside.parents[1] / "labels" / "c.txt", f"1{BOX[1:]}")
    photo(tmp_path / "images" / "a.png")
    photo(tmp_path / "images" / "of another split.png")
    text(tmp_path / "labels" / "a.txt", BOX)
    text(tmp_path / "labels" / "of another split.txt", BOX)
    text(tmp_path / "train.txt", f"\ufeff./images/a.png\r\n\r\n{outside}\r\n")
    dataset = yolo.read(tmp_path, "train")
    assert list(boxes_of(dataset).values()) == [[("cat", BOX_XYXY)], [("dog", BOX_XYXY)]]
    text(tmp_path / "train.txt", "/content/own/images/a.png\nimages/b.png\n")
    with pytest.raises(DatasetError, match=r"images/b.png: the photo is missing"):
        yolo.read(tmp_path, "train")
    dataset = yolo.read(tmp_path, "train", allow_missing=True)
    assert boxes_of(dataset) == {"images/a.png": [("cat", BOX_XYXY)]}
    assert [drop.reason for drop in dataset.drops] == ["the photo is missing"]


def test_no_label_file_is_no_object_and_counted(tmp_path):
    read_one(tmp_path, BOX)
    photo(tmp_path / "images" / "train" / "absent.png")
    photo(tmp_path / "images" / "train" / "empty.png")
    photo(tmp_path / "images" / "train" / "._a.png")
    text(tmp_path / "labels" / "train" / "empty.txt", "\r\n")
    dataset = yolo.read(tmp_path, "train")
    assert boxes_of(dataset) == {
        "a.png": [("cat", BOX_XYXY)],
        "absent.png": [],
        "empty.png": [],
    }
    assert dataset.remarks[1:] == ("1 photos have no file of labels: no object",)


def test_no_label_file_at_all_is_an_error(tmp_path):
    read_one(tmp_path, BOX)
    (tmp_path / "labels" / "train" / "a.txt").unlink()
    with pytest.raises(DatasetError, match="neither this photo nor another has a file of labels"):
        yolo.read(tmp_path, "train")


def test_a_label_file_without_its_photo(tmp_path):
    read_one(tmp_path, BOX)
    path = text(tmp_path / "labels" / "train" / "b.txt", "")
    with pytest.raises(DatasetError, match=r"b.txt: its photo is missing"):
        yolo.read(tmp_path, "train")
    dataset = yolo.read(tmp_path, "train", allow_missing=True)
    assert dataset.drops == (Drop(place=str(path), reason="its photo is missing"),)


@pytest.mark.parametrize(
    ("lines", "box_xyxy"),
    [
        (BOX, BOX_XYXY),
        ("0.0 5e-1 .5 0.4 0.4", BOX_XYXY),
        ("\ufeff\n  0\t0.5  0.5 0.4 0.4  \r\n\r\n", BOX_XYXY),
        ("0 0.5 0.5 1 1", (0, 0, 20, 10)),
        # It reaches out by a hair, as rounded fractions do, and is clipped.
        ("0 0.500001 0.5 1.00001 1", (0, 0, 20, 10)),
        # x from 4.4 to 9.6, y from 1.45 to 3.55.
        ("0 0.35 0.25 0.26 0.21", (4, 1, 10, 4)),
        # Thinner than a pixel: the one in which its middle lies.
        ("0 0.51 0.55 0.001 0.001", (10, 5, 11, 6)),
        # A turned box.
        ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5", POLYGON_XYXY),
    ],
)
def test_boxes_to_the_pixel(tmp_path, lines, box_xyxy):
    assert boxes_of(read_one(tmp_path, lines)) == {"a.png": [("cat", box_xyxy)]}


def test_polygons_are_masks_with_corners(tmp_path):
    dataset = read_one(tmp_path, POLYGON)
    label = dataset.read_label(dataset.images[0])
    expected = np.full((10, 20), 2)
    expected[1:5, 2:10] = 1
    assert label.segment_map.tolist() == expected.tolist()
    assert dataset.count_vertices is not None
    assert dataset.count_vertices(dataset.images[0]) == 4
    assert dataset.read_weak is None


def test_boxes_among_polygons_have_no_mask(tmp_path):
    dataset = read_one(tmp_path, BOX + POLYGON)
    with pytest.raises(DatasetError, match=r"a.txt: line 1: it has no mask"):
        dataset.read_label(dataset.images[0])
    dataset = read_one(tmp_path, BOX + POLYGON, allow_missing=True)
    assert boxes_of(dataset) == {"a.png": [("cat", BOX_XYXY), ("dog", POLYGON_XYXY)]}


def test_keypoints_follow_the_box(tmp_path):
    line = BOX.strip() + " 0.1 0.1 2 0.5 0.6 0"
    dataset = read_one(tmp_path, line, NAMES + "kpt_shape: [2, 3]\n")
    assert boxes_of(dataset) == {"a.png": [("cat", BOX_XYXY)]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2 0.5 0.5 0.4 0.4", "class 2 has no name in "),
        ("-1 0.5 0.5 0.4 0.4", "class -1 has no name in "),
        ("0.5 0.5 0.5 0.4 0.4", "class 0.5 has no name in "),
        ("nan 0.5 0.5 0.4 0.4", "class nan has no name in "),
        ("cat 0.5 0.5 0.4 0.4", "'cat 0.5 0.5 0.4 0.4' is no line of numbers"),
        ("# comment", "'# comment' is no line of numbers"),
        ("0 0.5 0.5 0.4 0.4 0.9", "6 numbers .* the sixth of a prediction is how sure it is"),
        ("0 0.5 0.5 0.4", "4 numbers are neither"),
        ("0", "1 numbers are neither"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "8 numbers are neither"),
        ("0 10 5 8 4", "if these are pixels, divide"),
        ("0 0.1 0.1 0.2 0.2 0.3 nan", "no fraction of the photo"),
        ("0 inf 0.1 0.2 0.2", "no fraction of the photo"),
        ("0 0.5 0.5 0 0.4", "bbox has no area"),
        ("0 1.5 0.5 0.2 0.4", "bbox has no pixel in its image"),
        ("\x89PNG\0\x01", "is no line of numbers"),
    ],
)
def test_impossible_lines(tmp_path, line, reason):
    with pytest.raises(DatasetError, match=f"a.txt: line 2: .*{reason}") as caught:
        read_one(tmp_path, f"{BOX}{line}\n")
    assert "\n" not in str(caught.value)
    dataset = read_one(tmp_path, f"{BOX}{line}\n", allow_missing=True)
    assert boxes_of(dataset) == {"a.png": [("cat", BOX_XYXY)]}
    assert dataset.drops == ()
    (drop,) = read_source(dataset, dataset.images[0]).drops
    assert drop.place.endswith("a.txt: line 2")


def test_fractions_are_of_the_upright_photo(tmp_path):
    text(tmp_path / "classes.txt", "cat\n")
    (tmp_path / "images").mkdir()
    exif = Picture.Exif()
    exif[0x0112] = 6
    Picture.new("RGB", (10, 20)).save(tmp_path / "images" / "a.jpg", exif=exif)
    text(tmp_path / "labels" / "a.txt", BOX)
    dataset = yolo.read(tmp_path, "train")
    assert boxes_of(dataset) == {"a.jpg": [("cat", BOX_XYXY)]}
    assert dataset.read_photo(dataset.images[0]).shape == (10, 20, 3)


def test_photos_may_be_links_and_lie_elsewhere(tmp_path):
    root, photos = tmp_path / "own", tmp_path / "photos"
    text(root / "classes.txt", "cat\n")
    text(root / "boxes" / "sub" / "a.txt", BOX)
    stored = photo(tmp_path / "store" / "1.png")
    (photos / "sub").mkdir(parents=True)
    (photos / "sub" / "a.png").symlink_to(stored)
    with pytest.raises(DatasetError, match=r"no photo of split 'train' .* give --photos"):
        yolo.read(root, "train")
    assert boxes_of(yolo.read(root, "train", photos=photos)) == {"sub/a.png": [("cat", BOX_XYXY)]}


def test_label_studio_s_uploads_are_found_among_one_s_own_photos(tmp_path):
    text(tmp_path / "own" / "classes.txt", "cat\n")
    text(tmp_path / "own" / "labels" / "1a2b3c4d-a.txt", BOX)
    photos = photo(tmp_path / "photos" / "a.png").parent
    dataset = yolo.read(tmp_path / "own", "train", photos=photos)
    assert boxes_of(dataset) == {"a.png": [("cat", BOX_XYXY)]}


def test_turned_boxes_are_told(tmp_path):
    turned = "1 polygons, all with four corners as turned boxes have: masks"
    assert turned in read_one(tmp_path, POLYGON).remarks
    assert turned not in read_one(tmp_path, f"{POLYGON}0 0.1 0.1 0.2 0.2 0.1 0.3").remarks
    assert len(read_one(tmp_path, BOX).remarks) == 1


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
