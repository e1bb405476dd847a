import pytest

from annotools.errors import DatasetError
from annotools.formats import yolo
from tests.annotools.formats.yolo_files import (
    BOX,
    BOX_XYXY,
    NAMES,
    POLYGON,
    POLYGON_XYXY,
    boxes_of,
    photo,
    read_one,
    text,
)


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
