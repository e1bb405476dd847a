import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from annotools.cli import app
from tests.real_data import real_data


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_coco(root: Path, file_name: str = "a.png", bbox: tuple[int, ...] = (1, 1, 2, 2)) -> None:
    square = [1, 1, 3, 1, 3, 3, 1, 3]
    image = {"id": 1, "file_name": file_name, "width": 6, "height": 5}
    annotations = [
        {"id": i, "image_id": 1, "category_id": 2, "segmentation": [square], "bbox": bbox}
        for i in (1, 2)
    ]
    content = {"images": [image], "categories": [{"id": 2, "name": "[red]car"}]}
    (root / "annotations").mkdir(parents=True)
    path = root / "annotations" / "instances_val.json"
    path.write_text(json.dumps(content | {"annotations": annotations}))


def test_inspect_prints_and_writes_what_there_is(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "summary.json"
    done = run("inspect", world, "--format", "scenes", "--crops", "32x64", "--json", out)
    assert done.exit_code == 0
    table = json.loads(out.read_text())
    assert (table["format"], table["split"], table["images"]) == ("scenes", "train", 3)
    assert table["sizes"] == [{"width": 64, "height": 64, "images": 3}]
    assert (table["crop_size_wh"], table["crops"], table["images_left_out"]) == ([32, 64], 6, 0)
    assert f"{table['void_share']:.2%}" in done.stdout
    assert f"mean {table['mean_instances']:.2f}" in done.stdout
    assert "64 x 64: 3" in done.stdout
    assert "mean – (0 images)" in done.stdout
    assert "sidewalk" in done.stdout


def test_inspect_counts_the_first_images(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "summary.json"
    assert (
        run("inspect", world, "--format", "scenes", "--max-images", 1, "--json", out).exit_code == 0
    )
    table = json.loads(out.read_text())
    assert (table["images"], table["crops"], table["crop_size_wh"]) == (1, 1, None)


def test_undefined_figures_are_null(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    out = tmp_path / "summary.json"
    done = run(
        "inspect", tmp_path / "coco", "--format", "coco-instances", "--split", "val", "--json", out
    )
    assert done.exit_code == 0
    assert "[red]car" in done.stdout
    table = json.loads(out.read_text())
    assert table["stuff_tags_per_crop"] is None
    assert (table["mean_vertices"], table["images_with_vertices"]) == (8, 1)
    assert "mean 8.0 (1 image)" in done.stdout
    assert table["dropped_objects"] == 1  # The two masks are the same.
    assert " objects " in done.stdout


@pytest.mark.parametrize(
    "command", [["inspect"], ["price"], ["plan", "--mix", "boxes=1", "--budget", "1"]]
)
def test_what_is_left_out_is_in_the_table(tmp_path: Path, command: list[str]) -> None:
    write_coco(tmp_path)
    path, out = tmp_path / "annotations" / "instances_val.json", tmp_path / "table.json"
    content = json.loads(path.read_text())
    arguments = (tmp_path, "--format", "coco-instances", "--split", "val", "--allow-missing")
    assert run(*command, *arguments, "--json", out).exit_code == 0
    assert json.loads(out.read_text())["drops"] == []
    # Two points enclose nothing.
    content["annotations"][1]["segmentation"] = [[1, 1, 3, 3]]
    path.write_text(json.dumps(content))
    done = run(*command, *arguments, "--json", out)
    (drop,) = json.loads(out.read_text())["drops"]
    assert (drop["kind"], drop["count"]) == ("all", 1)
    assert "annotations[1]" in drop["places"][0]
    assert f"note: left out: 1, {drop['reason']}; {drop['places'][0]}\n" in done.stderr


def test_cityscapes_tags_are_counted_on_the_crops_of_the_paper(tmp_path: Path) -> None:
    root, out = real_data("cityscapes"), tmp_path / "summary.json"
    done = run("inspect", root, "--format", "cityscapes", "--max-images", 2, "--json", out)
    assert done.exit_code == 0
    table = json.loads(out.read_text())
    assert (table["crop_size_wh"], table["crops"]) == ([500, 400], 30)


def test_check_of_a_good_dataset_says_what_was_checked(world: Path) -> None:
    done = run("check", world, "--format", "scenes", "--split", "train", "--split", "val")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "No problem in 4 images, 0 with a photo, of train, val: "
        "files, sizes, categories, labels, names."
    ]


def test_check_lists_problems_and_fails(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco", bbox=(1, 1, 9, 2))
    (tmp_path / "coco" / "val").mkdir()
    out = tmp_path / "problems.json"
    arguments = ["--format", "coco-instances", "--split", "val", "--json", out]
    done = run("check", tmp_path / "coco", *arguments)
    assert done.exit_code == 1
    table = json.loads(out.read_text())
    assert table["images"] == 0
    kinds = [problem["severity"] for problem in table["problems"]]
    # The photo is missing. Both boxes reach out of the image and are too wide; the masks overlap,
    # and are the same.
    assert (kinds.count("error"), kinds.count("warning")) == (1, 6)
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith(
        f"error: {tmp_path / 'coco' / 'val' / 'a.png'}: the photo is missing"
    )
    assert lines[1].startswith("warning: 2 times: ")
    assert "instances_val.json: annotations[0]: bbox [1, 1, 9, 2] reaches out" in lines[1]
    assert lines[-1] == "1 error and 6 warnings in 0 images, 0 with a photo, of val."


def test_warnings_alone_are_no_failure(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    done = run("check", tmp_path / "coco", "--format", "coco-instances", "--split", "val")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].startswith("0 errors and 3 warnings")


@pytest.mark.parametrize("file_name", ["\ud800.png", "\x1b[2J.png", "a\n.png"])
def test_names_cannot_act_on_the_terminal(tmp_path: Path, file_name: str) -> None:
    write_coco(tmp_path / "coco", file_name=file_name)
    (tmp_path / "coco" / "val").mkdir()
    done = run("check", tmp_path / "coco", "--format", "coco-instances", "--split", "val")
    assert done.exit_code == 1
    assert "the photo is missing" in done.stdout
    assert all(line.isprintable() for line in done.stdout.split("\n"))


def test_draw_shows_the_layers_asked_for(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    arguments = ["--format", "scenes", "--out", out, "--count", 1, "--crops", "32x32"]
    assert run("draw", world, *arguments, "--show", "tags", "--show", "points").exit_code == 0
    tagged = cv2.imread(str(out))
    assert run("draw", world, *arguments, "--show", "coarse").exit_code == 0
    coarse = cv2.imread(str(out))
    assert tagged is not None
    assert coarse is not None
    assert (tagged[:, :640] == coarse[:, :640]).all()
    assert (tagged[:, 644:] != coarse[:, 644:]).any()
    assert run("draw", world, *arguments, "--show", "pseudo").exit_code == 2


def test_without_photos_labels_are_drawn_on_grey(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    out = tmp_path / "sheet.png"
    done = run(
        "draw", tmp_path / "coco", "--format", "coco-instances", "--split", "val", "--out", out
    )
    assert done.exit_code == 0
    sheet = cv2.imread(str(out))
    assert sheet is not None
    assert np.unique(sheet[:, : sheet.shape[1] // 2 - 4]).tolist() == [128]


@pytest.mark.parametrize("command", ["inspect", "check"])
def test_a_table_over_the_dataset_is_refused(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    write_coco(tmp_path)
    path = tmp_path / "annotations" / "instances_val.json"
    written = path.read_bytes()
    done = run(command, tmp_path, "--format", "coco-instances", "--split", "val", "--json", path)
    assert (done.exit_code, "--json" in done.output) == (2, True), done.output
    assert path.read_bytes() == written
