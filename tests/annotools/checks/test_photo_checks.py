import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from annotools.checks.dataset_checks import check_dataset


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
    upright = ("1 photos are turned by EXIF, as their labels are drawn",)
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
