import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from annotools.cli import app
from annotools.drawing.labels import GAP
from annotools.errors import DatasetError
from annotools.formats import read_dataset
from annotools.formats.panoptic_folder import write_label, write_label_set


@pytest.fixture
def world(tmp_path: Path) -> Path:
    path = tmp_path / "world.toml"
    path.write_text("width = 640\nheight = 64\nnum_train = 3\nnum_val = 2\n")
    return path


@pytest.fixture
def folder(world: Path, tmp_path: Path) -> Path:
    dataset = read_dataset("scenes", world, "train")
    image, categories = dataset.images[1], dataset.categories
    label = dataset.read_label(image)
    folder = tmp_path / "labels"
    entry = write_label(folder, "train_000001", image, label)
    write_label_set(folder, categories, [(image, entry)])
    return folder


def draw(world: Path, *arguments: object) -> Result:
    out = world.with_name("sheet.png")
    given = ["draw", world, "--format", "scenes", "--out", out, *arguments]
    return CliRunner().invoke(app, [str(argument) for argument in given])


def test_pseudo_labels_stand_beside_the_labels(world: Path, folder: Path) -> None:
    done = draw(world, "--pseudo-labels", folder, "--show", "segments")
    assert done.exit_code == 0, done.output
    sheet = cv2.imread(str(world.with_name("sheet.png")))
    assert sheet.shape == (64, 3 * 640 + 2 * GAP, 3)
    photo, truth, made = (sheet[:, k * (640 + GAP) :][:, :640] for k in range(3))
    # The full label as pseudo-label gives the same picture, but for where names stand.
    assert np.mean(truth == made) > 0.9
    assert np.mean(photo == made) < 0.2


def test_images_without_a_pseudo_label_are_refused(world: Path, folder: Path) -> None:
    done = draw(world, "--pseudo-labels", folder, "--image", 0)
    assert isinstance(done.exception, DatasetError)
    assert "no label of image 0" in str(done.exception)
    done = draw(world, "--pseudo-labels", folder, "--split", "val")
    assert "its image 1 is train_000001.png, not val_000001.png" in str(done.exception)
    world.write_text("width = 640\nheight = 64\nnum_train = 1\n")
    done = draw(world, "--pseudo-labels", folder)
    assert "no image of split train" in str(done.exception)


def test_pseudo_labels_of_other_categories_are_refused(world: Path, folder: Path) -> None:
    path = folder / "panoptic.json"
    content = json.loads(path.read_text())
    content["categories"][0]["name"] = "sea"
    path.write_text(json.dumps(content))
    done = draw(world, "--pseudo-labels", folder)
    assert "classes are not those of this dataset" in str(done.exception)


def test_sheets_of_another_suffix_or_over_the_dataset_are_refused(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    for name, message in (("sheet.xyz", "pictures are PNG"), (world.name, "a file that is read")):
        done = draw(world, "--out", world.with_name(name))
        assert (done.exit_code, message in done.output) == (2, True), done.output
    assert "num_train" in world.read_text()
    assert draw(world, "--count", 1, "--out", world.with_name("sheet.PNG")).exit_code == 0


def test_a_sheet_over_a_photo_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    folder = tmp_path / "gtFine" / "val" / "ulm"
    folder.mkdir(parents=True)
    path = folder / "ulm_000000_000019_gtFine_instanceIds.png"
    cv2.imwrite(str(path), np.full((4, 5), 7, dtype=np.uint16))
    written = path.read_bytes()
    given = ["draw", str(tmp_path), "--format", "cityscapes", "--split", "val", "--out", str(path)]
    done = CliRunner().invoke(app, given)
    assert (done.exit_code, "is a file in " in done.output) == (2, True), done.output
    assert path.read_bytes() == written


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    square = [[1, 1, 3, 1, 3, 3, 1, 3]]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 6, "height": 5} for i in (1, 2)],
        "categories": [{"id": 2, "name": "car"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 2, "segmentation": square},
            {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[1, 1, 3, 3]]},
        ],
    }
    path = tmp_path / "annotations" / "instances_val.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    (tmp_path / "val").mkdir()
    cv2.imwrite(str(tmp_path / "val" / "1.png"), np.zeros((5, 6, 3), dtype=np.uint8))
    out = tmp_path / "sheet.png"
    arguments = ["draw", tmp_path, "--format", "coco-instances", "--split", "val", "--out", out]
    done = CliRunner().invoke(app, [*map(str, arguments), "--allow-missing"])
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    (images,) = (line for line in lines if line.startswith("note: images left out: 1, "))
    (objects,) = (line for line in lines if line.startswith("note: left out: 1, "))
    assert "2.png" in images
    assert "annotations[1]" in objects


def test_boxes_alone_are_drawn_and_masks_are_refused(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 2, "name": "car"}],
        "annotations": [{"image_id": 1, "category_id": 2, "bbox": [5, 6, 20, 15]}],
    }
    path = tmp_path / "annotations" / "instances_val.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    out = tmp_path / "sheet.png"
    arguments = ["draw", tmp_path, "--format", "coco-instances", "--split", "val", "--out", out]
    for shown in ([], ["--show", "tags"], ["--show", "boxes", "--show", "tags"]):
        done = CliRunner().invoke(app, [str(argument) for argument in (*arguments, *shown)])
        assert done.exit_code == 0, done.output
        sheet = cv2.imread(str(out))
        assert sheet is not None
        assert (sheet[:, : 40 * 16] != sheet[:, 40 * 16 + GAP :]).any()
    out.unlink()
    done = CliRunner().invoke(app, [*map(str, arguments), "--show", "segments"])
    assert isinstance(done.exception, DatasetError)
    assert "has boxes or tags and no masks: ask for boxes or tags" in str(done.exception)
    assert not out.exists()
