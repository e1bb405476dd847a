"""Small inputs as real tools write them, each with its right value by hand or by an oracle."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from studies.cli import app
from tests.real_data import DATA

CASES = DATA.parent / "cases"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"{CASES} is not there")


def run(*arguments: object, status: int = 0) -> str:
    """Run the command and return all that it printed, or its error, in one line."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == status, (result.output, result.exception)
    # The front door prints the error; here it is still to be caught.
    error = result.exception if status else ""
    return " ".join(f"{result.output} {error}".split())


def boxes_of(case: str, out: Path, *options: str, format_name: str = "coco-instances"):
    """Convert to boxes and return category name and bbox of each, by image."""
    run("convert", CASES / case, "--format", format_name, "--to", "boxes", "--out", out, *options)
    content = json.loads((out / "boxes.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    return [(names[a["category_id"]], a["bbox"]) for a in content["annotations"]]


def check(case: str, format_name: str = "coco-instances", status: int = 0) -> str:
    return run("check", CASES / case, "--format", format_name, status=status)


def seconds(case: str, kind: str, out: Path, *options: str) -> float | None:
    json_file = out / "prices.json"
    run(
        *("price", CASES / case, "--format", "coco-instances", "--kinds", kind),
        *("--json", json_file, *options),
    )
    (row,) = (r for r in json.loads(json_file.read_text())["kinds"] if r["name"] == kind)
    return row["seconds_per_image"]


@pytest.mark.parametrize(
    ("case", "boxes"),
    [
        ("overlap_box", [("table", [5, 5, 40, 20]), ("cloth", [5, 5, 10, 20])]),
        ("background_category", [("cat", [3, 2, 6, 3])]),
        ("backslash", [("cat", [3, 2, 6, 3])]),
        (
            "box_only",
            [("clamp", [2, 2, 101, 60]), ("pin", [0, 1, 50, 40]), ("clamp", [60, 5, 30, 30])],
        ),
        ("exif_upright", [("cat", [2, 3, 6, 12])]),
        ("exif_swapped_size", [("cat", [2, 3, 6, 12])]),
        ("via_like", [("first", [3, 2, 6, 3]), ("second", [10, 2, 4, 5])]),
    ],
)
def test_boxes_are_what_an_annotator_would_have_drawn(tmp_path: Path, case, boxes) -> None:
    assert boxes_of(case, tmp_path / "out") == boxes


@pytest.mark.parametrize("case", ["voc_custom_classes", "cvat_segmentation_mask"])
def test_own_classes_of_a_voc_folder(tmp_path: Path, case: str) -> None:
    expected = [("bolt", [3, 2, 6, 3]), ("nut", [10, 6, 5, 3])]
    assert boxes_of(case, tmp_path / "out", format_name="voc") == expected


def test_one_bad_object_is_refused_or_left_out(tmp_path: Path) -> None:
    case = CASES / "two_point_polygon"
    arguments = ("convert", case, "--format", "coco-instances", "--to", "boxes", "--out")
    assert "annotations[1]: a polygon is not" in run(*arguments, tmp_path / "no", status=1)
    assert boxes_of("two_point_polygon", tmp_path / "out", "--allow-missing") == [
        ("cat", [3, 2, 6, 3])
    ]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["objects"] == 2
    assert [drop["count"] for drop in manifest["drops"]] == [1]


def test_prices_of_what_was_measured(tmp_path: Path) -> None:
    assert seconds("box_only", "boxes", tmp_path) == pytest.approx(3 * 7 / 2)
    assert seconds("coarse_price", "full", tmp_path) == pytest.approx(4 * 79.2)
    assert seconds("coarse_price", "coarse", tmp_path) is None
    text = run(
        *("price", CASES / "dummy_category", "--format", "coco-instances", "--kinds", "tags")
    )
    assert "tags, all questions 1.0" in text


def test_photos_of_every_kind_are_drawn(tmp_path: Path) -> None:
    for case in ("photo_bmp", "photo_tif", "photo_webp", "exif_upright", "exif_swapped_size"):
        arguments = ("draw", CASES / case, "--format", "coco-instances", "--out")
        run(*arguments, tmp_path / f"{case}.png")


@pytest.mark.parametrize(
    ("case", "format_name", "text"),
    [
        ("area_is_box", "coco-instances", "area is that of the box in 4 of 4 annotations"),
        ("no_annotations", "coco-instances", "no image has an annotation"),
        ("cityscapes_trainids", "cityscapes", "as in maps of train ids"),
        ("cityscapes_trainids", "cityscapes", "void: 92%"),
        ("exif_swapped_size", "coco-instances", "EXIF turn"),
        (
            "exif_swapped_size",
            "coco-instances",
            "points reach x = 8, y = 15 in an image of 20 x 10",
        ),
    ],
)
def test_doubts_are_told_and_are_no_errors(case: str, format_name: str, text: str) -> None:
    assert text in check(case, format_name)


def test_two_photos_of_one_stem_are_refused_as_yolo(tmp_path: Path) -> None:
    text = run(
        *("convert", CASES / "yolo_same_stem", "--format", "coco-instances", "--to", "boxes"),
        *("--box-format", "yolo", "--out", tmp_path / "out"),
        status=1,
    )
    assert "a.jpg" in text
    assert "a.png" in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("case", "precision"), [("ap_overlap", 1.0), ("ap_empty_mask", 0.5)])
def test_average_precision_is_that_of_pycocotools(tmp_path: Path, case, precision) -> None:
    json_file = tmp_path / "scores.json"
    run(
        *("evaluate", "--prediction", CASES / case / "results.json", "--format", "coco-instances"),
        *("--truth", CASES / case / "annotations" / "instances_train.json"),
        *("--json", json_file),
    )
    rows = json.loads(json_file.read_text())["rows"]
    (mean,) = (row for row in rows if row["name"] == "all")
    assert np.isclose(mean["ap_0.5"], precision)
