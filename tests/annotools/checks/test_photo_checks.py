import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Picture

from annotools.checks.dataset_checks import check_dataset
from tests.annotools.checks.checked_datasets import (
    WIDTH,
    find,
    image_entry,
    only,
    write_instances,
    write_photo,
)


@pytest.mark.parametrize(
    ("orientation", "size_wh", "warning"),
    [
        (1, (20, 10), None),
        (6, (10, 20), None),
        (
            3,
            (20, 10),
            "EXIF turns this photo (3); its size does not tell whether labels were drawn upright "
            "or as stored: taken as upright",
        ),
        (
            6,
            (20, 10),
            "EXIF turns this photo (6); by its size labels were drawn on it as stored: not turned",
        ),
    ],
)
@pytest.mark.parametrize("decode", [False, True])
def test_a_turned_photo_is_a_warning_where_its_labels_need_one(
    tmp_path: Path, orientation: int, size_wh: tuple[int, int], warning: str | None, decode: bool
):
    path = tmp_path / "val" / "a.jpg"
    path.parent.mkdir()
    exif = Picture.Exif()
    exif[0x0112] = orientation
    Picture.fromarray(np.zeros((10, 20, 3), np.uint8)).save(path, exif=exif)
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": size_wh[0], "height": size_wh[1]}],
        "categories": [{"id": 3, "name": "car"}],
        "annotations": [],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(content))

    report = check_dataset("coco-instances", tmp_path, ["val"], decode=decode)
    problems = report.problems
    expected = [] if warning is None else [("warning", str(path), warning)]
    # The list has no annotation, which is another warning.
    of_photo = [p for p in problems if p.place == str(path)]
    assert [(p.severity, p.place, p.message) for p in of_photo] == expected
    assert len(problems) == len(of_photo) + 1
    upright = ("photos turned by EXIF, as their labels are drawn: 1",)
    told = tuple(note for note in report.notes if "EXIF" in note)
    assert told == (upright if (orientation, warning) == (6, None) else ())


def test_a_turned_photo_without_a_listed_size_is_a_warning(tmp_path: Path) -> None:
    """Fractions of a photo do not tell on which one they were drawn."""
    exif = Picture.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    Picture.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / "images/a.jpg", exif=exif)
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n0 0.5 0.5 0.5 0.45\n")
    (tmp_path / "classes.txt").write_text("car\n")

    report = check_dataset("yolo", tmp_path, ["train"])
    assert [(p.severity, p.message.partition(":")[0]) for p in report.problems] == [
        (
            "warning",
            "nearly repeats box 1, of the same category (their intersection over union is 0.90)",
        ),
        (
            "warning",
            "EXIF turns this photo (6); its list has no size, which would tell whether labels were "
            "drawn upright or as stored",
        ),
    ]
    assert not any("EXIF" in note for note in report.notes)


@pytest.mark.parametrize("line", ["3 0.5 0.5 0.5 0.5", "0 6 3 6 3", "0 0.5 0.5"])
def test_what_stops_the_readers_is_an_error(tmp_path: Path, line: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    Picture.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / "images/a.png")
    (tmp_path / "labels" / "a.txt").write_text(f"{line}\n0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "classes.txt").write_text("car\n")

    (problem,) = check_dataset("yolo", tmp_path, ["train"]).problems
    assert problem.severity == "error"
    assert problem.place.endswith("a.txt: line 1")


def test_without_a_photo_folder_photos_are_not_missed(tmp_path: Path) -> None:
    write_instances(tmp_path)
    report = check_dataset("coco-instances", tmp_path, ["val"])
    assert (report.problems, report.photos) == ((), 0)


def test_missing_photo(tmp_path: Path) -> None:
    write_instances(tmp_path)
    write_photo(tmp_path / "val" / "other.png")
    assert only(find("coco-instances", tmp_path), "error a.png: the photo is missing")


def test_photos_that_cannot_be_used(tmp_path: Path) -> None:
    images = [image_entry(id=i, file_name=f"{i}.png") for i in (1, 2)]
    write_instances(tmp_path, images=images)
    write_photo(tmp_path / "val" / "1.png", width=WIDTH + 1)
    (tmp_path / "val" / "2.png").write_bytes(b"no picture")
    problems = find("coco-instances", tmp_path)
    assert len(problems) == 2
    assert "error 1.png: is 9 x 6 pixels" in problems[0]
    assert "error 2.png: not a JPEG, PNG, WebP, TIFF or BMP" in problems[1]


def test_photos_are_decoded_where_that_is_asked_for(tmp_path: Path) -> None:
    write_instances(tmp_path, images=[image_entry(width=500, height=400)])
    path = tmp_path / "val" / "a.png"
    path.parent.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    cv2.imwrite(str(path), noise)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert check_dataset("coco-instances", tmp_path, ["val"]).problems == ()
    (problem,) = check_dataset("coco-instances", tmp_path, ["val"], decode=True).problems
    assert (problem.severity, problem.place) == ("error", str(path))
    assert "the PNG is damaged" in problem.message
    cv2.imwrite(str(path), noise)
    path.write_bytes(path.read_bytes()[:-20])
    assert only(find("coco-instances", tmp_path), "error a.png: the file is truncated")
