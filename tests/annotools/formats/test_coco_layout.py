import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from annotools.errors import DatasetError
from annotools.formats import coco_instances, coco_panoptic
from annotools.formats.coco_layout import find_instances, find_panoptic

WIDTH, HEIGHT = 8, 6
SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]


def photo(path: Path, width: int = WIDTH, height: int = HEIGHT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), 90, dtype=np.uint8))


def instances(path: Path, *file_names: str, annotations: Any = None, **others: Any) -> None:
    numbered = list(enumerate(file_names))
    content = {
        "images": [
            {"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT} for i, name in numbered
        ],
        "categories": [{"id": 0, "name": "bolt"}, {"id": 1, "name": "nut"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "segmentation": [SQUARE], "iscrowd": 0}
            | {"bbox": [1, 1, 3, 2], "area": 6}
            for i, _ in numbered
        ]
        if annotations is None
        else annotations,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | others), encoding="utf-8")


TOOLS = {
    "COCO": ("train", "annotations/instances_train.json", "a.jpg", "train/a.jpg"),
    "COCO 2017": ("train2017", "annotations/instances_train2017.json", "a.jpg", "train2017/a.jpg"),
    "COCO, no year given": ("val", "annotations/instances_val2017.json", "a.jpg", "val2017/a.jpg"),
    "CVAT": ("train", "annotations/instances_default.json", "a b.jpg", "images/a b.jpg"),
    "CVAT subset": ("val", "annotations/instances_Validation.json", "a", "images/Validation/a"),
    "CVAT folder": ("train", "annotations/instances_Train.json", "x/a.jpg", "images/Train/x/a.jpg"),
    "datumaro": ("val", "annotations/instances_val.json", "x/a.jpg", "images/val/x/a.jpg"),
    "datumaro default": ("default", "annotations/instances_default.json", "a", "images/default/a"),
    "Roboflow": ("train", "train/_annotations.coco.json", "a_jpg.rf.0.jpg", "train/a_jpg.rf.0.jpg"),
    "Roboflow valid": ("val", "valid/_annotations.coco.json", "a.jpg", "valid/a.jpg"),
    "Roboflow, own name": ("valid", "valid/_annotations.coco.json", "a.jpg", "valid/a.jpg"),
    "Roboflow, in it": ("train", "_annotations.coco.json", "a.jpg", "a.jpg"),
    "Label Studio": ("train", "result.json", "images/0a1b2c3d-a.jpg", "images/0a1b2c3d-a.jpg"),
    "Label Studio, Windows": ("train", "result.json", "images\\1/90fbb0c7-a.jpg", "images/a.jpg"),
    "Label Studio 1.16": (
        *("train", "result.json", "..\\..\\label-studio\\media\\upload\\4\\cb0618f6-a.png"),
        "images/cb0618f6-a.png",
    ),
    "Label Studio, local": (
        *("train", "result.json", "/data/local-files/?d=set%5Ca%20b.jpg", "images/a b.jpg"),
    ),
    "labelme": ("train", "annotations.json", "JPEGImages\\a.jpg", "JPEGImages/a.jpg"),
    "labelme2coco": ("train", "dataset.json", "a.jpg", "a.jpg"),
    "labelme2coco split": ("val", "val.json", "..\\imgs\\a.jpg", "imgs/a.jpg"),
    "FiftyOne": ("train", "labels.json", "a.jpg", "data/a.jpg"),
    "FiftyOne split": ("val", "validation/labels.json", "a.jpg", "validation/data/a.jpg"),
    "Supervisely": ("train", "annotations/instances.json", "a.png", "images/a.png"),
    "Supervisely datasets": ("d 1", "d 1/annotations/instances.json", "a.png", "d 1/images/a.png"),
    "COCO-annotator": ("train", "mine-1.json", "a.jpg", "images/a.jpg"),
    "VIA": ("train", "via_export_coco.json", "a.jpg", "a.jpg"),
    "training": ("train", "annotations/training.json", "a.jpg", "images/training/a.jpg"),
    "other suffix": ("train", "annotations/instances_train.json", "a.jpg", "train/a.JPG"),
}  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_lists_and_photos_are_found_where_tools_leave_them(tmp_path: Path, tool: str) -> None:
    split, listed, name, place = TOOLS[tool]
    instances(tmp_path / listed, name)
    path = tmp_path / place
    photo(path.with_suffix(".png"))
    path.with_suffix(".png").rename(path)
    dataset = coco_instances.read(tmp_path, split)

    (image,) = dataset.images
    assert image.path == path
    assert dataset.source_files == (tmp_path / listed,)
    assert dataset.read_photo(image).shape == (HEIGHT, WIDTH, 3)
    label = dataset.read_label(image)
    assert label.objects[1].box_xyxy == (1, 1, 4, 3)
    # One line says what was taken where it is not COCO's own place.
    is_own = listed == f"annotations/instances_{split}.json"
    assert (f"labels are {tmp_path / listed}" in dataset.remarks) == (not is_own)
    told = [remark for remark in dataset.remarks if remark.startswith("photos are in ")]
    assert (told == []) == (path.parent == tmp_path / split)


@pytest.mark.parametrize("root", [".", "./", "../here", "annotations/instances_train.json"])
def test_root_may_be_relative(tmp_path: Path, monkeypatch: Any, root: str) -> None:
    here = tmp_path / "here"
    instances(here / "annotations" / "instances_train.json", "a.png")
    photo(here / "train" / "a.png")
    monkeypatch.chdir(here)
    (image,) = coco_instances.read(Path(root), "train").images
    assert image.path is not None
    assert image.path.resolve() == here / "train" / "a.png"


def test_a_list_may_be_given_from_within_its_folder(tmp_path: Path, monkeypatch: Any) -> None:
    instances(tmp_path / "annotations" / "instances_val2017.json", "a.png")
    photo(tmp_path / "val2017" / "a.png")
    monkeypatch.chdir(tmp_path / "annotations")
    (image,) = coco_instances.read(Path("instances_val2017.json"), "train").images
    assert image.path == tmp_path / "val2017" / "a.png"


def test_a_bare_list_has_its_photos_beside_it_or_where_the_user_says(tmp_path: Path) -> None:
    listed = tmp_path / "labels" / "mine.json"
    instances(listed, "C:\\data\\a.png", "C:\\data\\sub\\b.png")
    photo(tmp_path / "elsewhere" / "a.png")
    photo(tmp_path / "elsewhere" / "sub" / "b.png")
    alone = coco_instances.read(listed, "train")
    assert [image.path for image in alone.images] == [None, None]
    assert alone.remarks[0] == f"labels are {listed}"
    told = f"{tmp_path / 'labels'} has mine.json): give --photos"
    assert alone.remarks[1].startswith("labels alone are read: no photo of the list is in ")
    assert told in alone.remarks[1]

    dataset = coco_instances.read(listed, "train", photos=tmp_path / "elsewhere")
    assert [image.path for image in dataset.images] == [
        tmp_path / "elsewhere" / "a.png",
        tmp_path / "elsewhere" / "sub" / "b.png",
    ]
    assert [image.file_name for image in dataset.images] == ["data/a.png", "data/sub/b.png"]
    assert f"photos are in {tmp_path / 'elsewhere'}" in dataset.remarks


def test_photos_in_the_format_s_own_place_are_no_remark(tmp_path: Path) -> None:
    instances(tmp_path / "annotations" / "instances_val.json", "a.png")
    photo(tmp_path / "val" / "a.png")
    assert coco_instances.read(tmp_path, "val").remarks == ()


def test_a_photo_of_each_class_s_folder_and_the_same_name(tmp_path: Path) -> None:
    instances(tmp_path / "_annotations.coco.json", "cat/1.png", "dog/1.png")
    for folder in ("cat", "dog"):
        photo(tmp_path / "images" / folder / "1.png")
    paths = [image.path for image in coco_instances.read(tmp_path, "train").images]
    assert paths == [tmp_path / "images" / name / "1.png" for name in ("cat", "dog")]


def test_two_names_of_one_photo_are_refused(tmp_path: Path) -> None:
    instances(tmp_path / "result.json", "/x/cat/1.png", "/x/dog/1.png")
    photo(tmp_path / "images" / "1.png")
    with pytest.raises(DatasetError, match=r"'/x/dog/1\.png' and '/x/cat/1\.png' are both found"):
        coco_instances.read(tmp_path, "train")


@pytest.mark.parametrize("missing", ["b.png", "x" * 300 + ".png"])
def test_half_of_the_photos_are_missing(tmp_path: Path, missing: str) -> None:
    instances(tmp_path / "result.json", "images\\a.png", f"images\\{missing}")
    photo(tmp_path / "images" / "a.png")
    with pytest.raises(DatasetError, match=r"is missing \(1 of 2 are; .*images has a\.png\): "):
        coco_instances.read(tmp_path, "train")
    dataset = coco_instances.read(tmp_path, "train", allow_missing=True)
    assert [image.image_id for image in dataset.images] == [0]
    (drop,) = dataset.drops
    assert drop.place.endswith(f"images/{missing}")


def test_other_lists_beside_the_one_of_instances_are_passed_over(tmp_path: Path) -> None:
    for kind in ("captions", "person_keypoints", "stuff", "instances", "panoptic"):
        instances(tmp_path / "annotations" / f"{kind}_train2017.json", "a.png")
    found = find_instances(tmp_path, "train")
    assert found.path.name == "instances_train2017.json"
    assert find_panoptic(tmp_path, "train").path.name == "panoptic_train2017.json"


def test_keypoints_are_read_as_instances(tmp_path: Path) -> None:
    path = tmp_path / "annotations" / "person_keypoints_val.json"
    entry = {"image_id": 0, "category_id": 1, "segmentation": [SQUARE], "iscrowd": 0, "id": 1}
    entry |= {"keypoints": [0] * 51, "num_keypoints": 0, "area": 6, "bbox": [1, 1, 3, 2]}
    person = {"id": 1, "name": "person", "keypoints": ["nose"], "skeleton": [[1, 1]]}
    instances(path, "a.png", annotations=[entry], categories=[person])
    dataset = coco_instances.read(path, "val")
    assert dataset.read_label(dataset.images[0]).objects[1].category_id == 1


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([], r"nor train/_annotations\.coco\.json, .*has nothing.*annotations has nothing"),
        (["a.json", "b.json"], r"has a\.json, b\.json; .*: give the list itself as ROOT"),
        (["result.json", "labels.json"], "give the list itself as ROOT"),
        (
            ["annotations/instances_train2014.json", "annotations/instances_train2017.json"],
            r"has instances_train2014\.json, instances_train2017\.json: give the list itself",
        ),
    ],
)
def test_no_list_or_several_are_refused(tmp_path: Path, listed: list[str], message: str) -> None:
    for name in listed:
        instances(tmp_path / name, "a.png")
    with pytest.raises(DatasetError, match=message) as caught:
        coco_instances.read(tmp_path, "train")
    assert "\n" not in str(caught.value)
    if listed:
        assert coco_instances.read(tmp_path / listed[0], "train").source_files == (
            tmp_path / listed[0],
        )


def test_a_list_of_all_images_is_not_taken_for_another_split(tmp_path: Path) -> None:
    instances(tmp_path / "annotations" / "instances_default.json", "a.png")
    with pytest.raises(DatasetError, match=r"instances_default\.json lists all images: leave --sp"):
        coco_instances.read(tmp_path, "val")


@pytest.mark.parametrize("split", ["[a-z]*", "val[1]", "*"])
def test_a_split_is_no_pattern(tmp_path: Path, split: str) -> None:
    instances(tmp_path / "annotations" / "instances_val12017.json", "a.png")
    with pytest.raises(DatasetError, match="no such file"):
        coco_instances.read(tmp_path, split)


def panoptic(path: Path, png: Path, *, name: str, image_id: Any = 1, **others: Any) -> None:
    ids = np.full((HEIGHT, WIDTH), 7)
    ids[1:3, 1:4] = 26_001
    png.parent.mkdir(parents=True, exist_ok=True)
    bgr = np.stack([ids // 256**2, ids // 256 % 256, ids % 256], axis=2).astype(np.uint8)
    cv2.imwrite(str(png), bgr)
    road = {"id": 7, "name": "road", "supercategory": "flat", "isthing": 0, "color": [1, 2, 3]}
    car = {"id": 26, "name": "car", "supercategory": "vehicle", "isthing": 1, "color": [0, 0, 9]}
    segments = [
        {"id": i, "category_id": c, "area": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0}
        for i, c in ((7, 7), (26_001, 26))
    ]
    content = {
        "images": [{"id": image_id, "width": WIDTH, "height": HEIGHT, "file_name": name}],
        "annotations": [{"image_id": image_id, "file_name": png.name, "segments_info": segments}],
        "categories": [road, car],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | others), encoding="utf-8")


CITY = "bonn_000001_000019"
PANOPTIC = {
    "COCO": ("val", "annotations/panoptic_val.json", "annotations/panoptic_val/1.png", "val/1.jpg"),
    "COCO 2017": (
        *("val", "annotations/panoptic_val2017.json", "annotations/panoptic_val2017/1.png"),
        "val2017/1.jpg",
    ),
    "detectron2": (
        *("val2017", "annotations/panoptic_val2017.json", "panoptic_val2017/1.png"),
        "val2017/1.jpg",
    ),
    "datumaro": ("val", "annotations/panoptic_val.json", "annotations/panoptic_val/1.png",
                 "images/val/1.jpg"),
    "CVAT": ("train", "annotations/panoptic_default.json", "annotations/panoptic_default/1.png",
             "images/1.jpg"),
    "converted": ("val", "panoptic.json", "panoptic/1.png", "val/1.jpg"),
    "Mapillary 1.2": ("val", "validation/panoptic/panoptic_2018.json", "validation/panoptic/1.png",
                      "validation/images/1.jpg"),
    "Mapillary 2.0": ("train", "training/v2.0/panoptic/panoptic_2020.json",
                      "training/v2.0/panoptic/1.png", "training/images/1.jpg"),
    "Mapillary 2.0, old": ("train", "training/v1.2/panoptic/panoptic_2018.json",
                           "training/v1.2/panoptic/1.png", "training/images/1.jpg"),
    "Cityscapes": ("val", "gtFine/cityscapes_panoptic_val.json",
                   f"gtFine/cityscapes_panoptic_val/{CITY}_gtFine_panoptic.png",
                   f"leftImg8bit/val/bonn/{CITY}_leftImg8bit.png"),
    "Cityscapes, train ids": ("val", "gtFine/cityscapes_panoptic_val_trainId.json",
                              f"gtFine/cityscapes_panoptic_val_trainId/{CITY}_gtFine_panoptic.png",
                              f"leftImg8bit/val/bonn/{CITY}_leftImg8bit.png"),
}  # fmt: skip


@pytest.mark.parametrize("how", ["root", "relative", "list", "in its folder"])
@pytest.mark.parametrize("tool", PANOPTIC)
def test_panoptic_lists_pngs_and_photos_are_found(
    tmp_path: Path, monkeypatch: Any, tool: str, how: str
) -> None:
    split, listed, png, place = PANOPTIC[tool]
    is_city = tool.startswith("Cityscapes")
    name = f"{CITY}_gtFine_leftImg8bit.png" if is_city else "1.jpg"
    panoptic(tmp_path / listed, tmp_path / png, name=name, image_id=CITY if is_city else 1)
    photo(tmp_path / place)
    roots = {"root": tmp_path, "relative": Path(), "list": tmp_path / listed}
    root = roots.get(how, Path(Path(listed).name))
    monkeypatch.chdir((tmp_path / listed).parent if how == "in its folder" else tmp_path)
    # A list that is given itself needs no split.
    dataset = coco_panoptic.read(root, "train" if root.is_file() and is_city else split)

    (image,) = dataset.images
    assert image.path is not None
    assert image.path.resolve() == tmp_path / place
    assert [path.resolve() for path in image.label_paths] == [tmp_path / png]
    label = dataset.read_label(image)
    assert [(s.segment_id, s.area) for s in label.segments] == [(7, 42), (26_001, 6)]
    assert dataset.read_photo(image).shape == (HEIGHT, WIDTH, 3)


def test_label_pngs_are_not_taken_for_photos_of_the_same_name(tmp_path: Path) -> None:
    path = tmp_path / "training" / "panoptic" / "panoptic_2018.json"
    panoptic(path, path.parent / "1.png", name="1.png")
    dataset = coco_panoptic.read(tmp_path, "train")
    assert [image.path for image in dataset.images] == [None]
    assert any(remark.startswith("labels alone are read") for remark in dataset.remarks)

    photo(tmp_path / "training" / "images" / "1.png")
    (image,) = coco_panoptic.read(tmp_path, "train").images
    assert image.path == tmp_path / "training" / "images" / "1.png"


def test_where_the_first_png_is_missing_the_others_show_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "annotations" / "panoptic_val.json"
    png = tmp_path / "panoptic_val" / "2.png"
    panoptic(path, png, name="2.jpg", image_id=2)
    content = json.loads(path.read_text())
    first = {"id": 1, "width": WIDTH, "height": HEIGHT, "file_name": "1.jpg"}
    content["images"].insert(0, first)
    content["annotations"].insert(0, {"image_id": 1, "file_name": "1.png", "segments_info": []})
    path.write_text(json.dumps(content))
    dataset = coco_panoptic.read(tmp_path, "val", allow_missing=True)
    assert [image.label_paths for image in dataset.images] == [(png,)]
    assert [drop.place for drop in dataset.drops] == [str(png.with_name("1.png"))]


def test_without_photos_beside_a_list_in_the_folder_of_its_split_labels_alone_are_read(
    tmp_path: Path,
) -> None:
    instances(tmp_path / "train" / "_annotations.coco.json", "a.png", "b.png")
    dataset = coco_instances.read(tmp_path, "train")
    assert [image.path for image in dataset.images] == [None, None]
    assert any(remark.startswith("labels alone are read") for remark in dataset.remarks)

    photo(tmp_path / "train" / "a.png")
    with pytest.raises(DatasetError, match=r"train/b\.png: the photo is missing \(1 of 2 are"):
        coco_instances.read(tmp_path, "train")
