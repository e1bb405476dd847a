import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from annotools.errors import DatasetError, RecipeError
from studies.splits import check_splits
from studies.study import DatasetSettings
from tests.studies.study_builders import make_study

SPLITS = {"train": "train", "val": "val", "test": "test"}


def write_photo(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((8, 8, 3), grey, dtype=np.uint8))


def write_list(root: Path, split: str, names: list[str], category: str = "cell") -> None:
    images = [{"id": i, "file_name": name, "width": 8, "height": 8} for i, name in enumerate(names)]
    content = {
        "images": images,
        "annotations": [],
        "categories": [{"id": 1, "name": category}],
    }
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def settings(tmp_path: Path) -> DatasetSettings:
    """Three splits of two photos each, with the same names and other content."""
    for grey, split in enumerate(SPLITS):
        write_list(tmp_path, split, ["a.png", "b.png"])
        write_photo(tmp_path / split / "a.png", 10 * grey)
        write_photo(tmp_path / split / "b.png", 10 * grey + 5)
    return DatasetSettings(format="coco-instances", root=tmp_path, test_split="test")


def test_splits_of_other_photos_with_the_same_names_are_taken(settings: DatasetSettings) -> None:
    check_splits(settings)


def test_a_copy_of_a_photo_in_another_split_is_named(settings: DatasetSettings) -> None:
    (settings.root / "test/b.png").write_bytes((settings.root / "train/a.png").read_bytes())
    message = (
        rf"{settings.root}/test/b\.png of split 'test' is the same photo as "
        rf"{settings.root}/train/a\.png of split 'train': leave the image out of one"
    )
    with pytest.raises(DatasetError, match=message):
        check_splits(settings)
    # An image that the study does not use does not count.
    check_splits(replace(settings, max_test_images=1))


def test_lists_that_point_at_one_file_are_told(tmp_path: Path) -> None:
    for grey, name in enumerate("abc"):
        write_photo(tmp_path / f"images/{name}.png", grey)
    write_list(tmp_path, "train", ["a.png", "b.png"])
    write_list(tmp_path, "val", ["c.png", "b.png"])
    settings = DatasetSettings(format="coco-instances", root=tmp_path)
    with pytest.raises(DatasetError, match=r"images/b\.png of split 'val' is the same photo as"):
        check_splits(settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_split": "train"}, "'train' is both bought and scored: name another val_split"),
        ({"test_split": "train"}, "'train' is both bought and tested on: name another test_split"),
        ({"test_split": "val"}, "'val' is both scored and tested on: name another test_split"),
    ],
)
def test_one_split_is_used_once(
    settings: DatasetSettings, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        check_splits(replace(settings, **changes))


def test_splits_of_other_categories_are_refused(settings: DatasetSettings) -> None:
    write_list(settings.root, "test", ["a.png", "b.png"], category="nucleus")
    with pytest.raises(DatasetError, match="split 'test' has other categories than 'train'"):
        check_splits(settings)


def test_an_empty_test_split_is_refused(settings: DatasetSettings) -> None:
    write_list(settings.root, "test", [])
    with pytest.raises(DatasetError, match="split 'test' has no image"):
        check_splits(settings)


def test_drawn_images_are_known_by_name(tmp_path: Path) -> None:
    check_splits(make_study(tmp_path).dataset)
