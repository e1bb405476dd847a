import pickle
from pathlib import Path

import pytest

from annotools.errors import DatasetError
from annotools.formats import cityscapes, read_dataset
from tests.annotools.formats.cityscapes_files import AACHEN, ROAD, SKY, write_label, write_photo


def test_images_come_with_their_photos(tmp_path):
    key = "bad-honnef/bad-honnef_000001_000002"
    for name in (key, AACHEN):
        write_label(tmp_path, [[ROAD] * 3] * 2, key=name)
        write_photo(tmp_path, key=name)
    (tmp_path / "gtFine" / "train" / "aachen" / "._aachen_000000_000019_gtFine_color.png").touch()
    dataset = pickle.loads(pickle.dumps(read_dataset("cityscapes", tmp_path, "train")))

    assert [i.image_id for i in dataset.images] == [
        "aachen_000000_000019",
        "bad-honnef_000001_000002",
    ]
    image = dataset.images[1]
    assert (image.file_name, image.width, image.height) == (f"{key}_leftImg8bit.png", 3, 2)
    assert dataset.read_photo(image).tolist() == [[[9, 9, 9]] * 3] * 2
    assert [path.name for path in image.label_paths] == [
        "bad-honnef_000001_000002_gtFine_instanceIds.png"
    ]
    assert dataset.drops == ()


def test_labels_alone_are_enough(tmp_path):
    write_label(tmp_path, [[ROAD]])

    assert cityscapes.read(tmp_path, "train").images[0].path is None
    assert cityscapes.read(tmp_path / "gtFine", "train").images[0].path is None


def test_root_may_be_the_folder_of_either_kind(tmp_path, monkeypatch):
    write_label(tmp_path, [[ROAD]])
    write_label(tmp_path, [[SKY]], folder="gtCoarse")
    write_label(tmp_path, [[SKY]], folder="gtCoarse", split="train_extra")

    def read_class(root, split):
        dataset = cityscapes.read(root, split)
        return dataset.read_label(dataset.images[0]).segments[0].category_id

    assert read_class(tmp_path, "train") == ROAD
    assert read_class(tmp_path, "train_extra") == SKY
    assert read_class(tmp_path / "gtCoarse", "train") == SKY
    monkeypatch.chdir(tmp_path / "gtCoarse")
    assert read_class(Path(), "train") == SKY
    assert cityscapes.read(tmp_path, "train_extra").notes[0] == "labels come from gtCoarse"


def test_a_split_that_is_not_there_lists_those_that_are(tmp_path):
    write_label(tmp_path, [[ROAD]], split="val")

    with pytest.raises(DatasetError, match=r"no split 'train' .*; it has gtFine/val$"):
        cityscapes.read(tmp_path, "train")
    with pytest.raises(DatasetError, match="it has none"):
        cityscapes.read(tmp_path / "elsewhere", "train")


def test_a_split_without_labels_is_an_error(tmp_path):
    (tmp_path / "gtFine" / "train" / "aachen").mkdir(parents=True)

    with pytest.raises(DatasetError, match="no labels"):
        cityscapes.read(tmp_path, "train")


def test_one_name_in_two_cities_is_an_error(tmp_path):
    for city in ("bonn", "aachen"):
        write_label(tmp_path, [[ROAD]], key=f"{city}/a_1_2")

    with pytest.raises(DatasetError, match="aachen/a_1_2 and bonn/a_1_2: rename one"):
        cityscapes.read(tmp_path, "train")


def test_missing_photos_and_labels_are_refused_or_listed(tmp_path):
    for key in ("bonn/b_0_1", AACHEN):
        write_label(tmp_path, [[ROAD]], key=key)
    for key in ("bonn/b_0_2", AACHEN):
        write_photo(tmp_path, key=key)

    with pytest.raises(DatasetError, match=r"b_0_1_gtFine_inst.*photo is missing.*1 more image"):
        cityscapes.read(tmp_path, "train")
    dataset = cityscapes.read(tmp_path, "train", allow_missing=True)
    assert [image.image_id for image in dataset.images] == ["aachen_000000_000019"]
    assert [drop.place.rpartition("/")[2] for drop in dataset.drops] == [
        "b_0_1_gtFine_instanceIds.png",
        "b_0_2_leftImg8bit.png",
    ]
    assert dataset.drops[1].reason == "the photo has no label"
