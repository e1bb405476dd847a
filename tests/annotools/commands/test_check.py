import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from typer.testing import CliRunner, Result

from annotools.cli import app


def test_photos_are_decoded_on_request(tmp_path: Path) -> None:
    for folder in ("annotations", "val"):
        (tmp_path / folder).mkdir()
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 500, "height": 400}],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [],
    }
    (tmp_path / "annotations" / "instances_val.json").write_text(json.dumps(content))
    noise = np.random.default_rng(0).integers(0, 256, (400, 500, 3), dtype=np.uint8)
    data = cv2.imencode(".png", noise)[1]
    data[300_000] ^= 1
    (tmp_path / "val" / "a.png").write_bytes(data.tobytes())
    arguments = ["check", str(tmp_path), "--format", "coco-instances", "--split", "val"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    done = CliRunner().invoke(app, [*arguments, "--decode"])
    assert (done.exit_code, "the PNG is damaged" in done.stdout) == (1, True)


def test_the_answer_replaces_no_file_of_the_dataset(tmp_path: Path) -> None:
    root, linked = tmp_path / "data", tmp_path / "linked"
    for folder in (root / "gtFine/train/aachen", linked):
        folder.mkdir(parents=True)
    (root / "leftImg8bit").symlink_to(linked)
    label = root / "gtFine/train/aachen/aachen_000000_000019_gtFine_instanceIds.png"
    photo = root / "leftImg8bit/a.png"
    for path in (label, photo):
        path.write_bytes(b"kept")
        arguments = ["check", str(root), "--format", "cityscapes", "--json", str(path)]
        done = CliRunner().invoke(app, arguments)
        # The frame of the message breaks lines, by the length of the folder's name.
        told = " ".join(done.output.replace("│", " ").split())
        assert (done.exit_code, "is a file in" in told) == (2, True)
        assert path.read_bytes() == b"kept"
    beside = root / ".." / "problems.json"
    beside.write_text("{}")
    arguments[-1] = str(beside)
    CliRunner().invoke(app, arguments)
    assert "problems" in json.loads(beside.read_text())


def write_triangles(root: Path, count: int, **changes: Any) -> Path:
    """As many images, each with a triangle of 30 pixels in a box of 6 x 10; return the file."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 20, "height": 20} for i in range(count)]
    triangle = {"category_id": 1, "segmentation": [[3, 2, 9, 2, 9, 12]], "bbox": [3, 2, 6, 10]}
    annotations = [{"id": i, "image_id": i, **triangle, **changes} for i in range(count)]
    content = {"images": images, "categories": [{"id": 1, "name": "dog"}]}
    path = root / "annotations" / "instances_val.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content | {"annotations": annotations}))
    return path


def check(root: Path, *others: object, format_name: str = "coco-instances") -> Result:
    arguments = ["check", str(root), "--format", format_name, "--split", "val"]
    return CliRunner().invoke(app, [*arguments, *map(str, others)])


def test_like_problems_are_one_line_and_each_in_the_json_file(tmp_path: Path) -> None:
    path = write_triangles(tmp_path / "data", 258, area=50)
    out = tmp_path / "problems.json"
    done = check(tmp_path / "data", "--json", out)
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            f"warning: 258 times: {path}: annotations[0]: area 50 is not that of its mask: give 30"
            "; so too annotations[1], annotations[2], annotations[3], ...",
            "0 errors and 258 warnings in 258 images, 0 with a photo, of val.",
        ],
    )
    problems = json.loads(out.read_text())["problems"]
    assert [problem["place"] for problem in problems] == [
        f"{path}: annotations[{i}]" for i in range(258)
    ]


def test_the_area_of_the_box_is_one_warning(tmp_path: Path) -> None:
    path = write_triangles(tmp_path, 258, area=60)
    done = check(tmp_path)
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            f"warning: {path}: area is that of the box in 258 of 258 annotations: areas are "
            "measured in the masks",
            "0 errors and 1 warning in 258 images, 0 with a photo, of val.",
        ],
    )


def test_errors_come_before_warnings_and_a_problem_alone_is_not_counted(tmp_path: Path) -> None:
    path = write_triangles(tmp_path, 3, area=50)
    content = json.loads(path.read_text())
    content["annotations"][2]["category_id"] = 9
    path.write_text(json.dumps(content))
    done = check(tmp_path)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0] == (f"error: {path}: annotations[2]: unknown category 9: not in categories")
    assert lines[1] == (
        f"warning: 3 times: {path}: annotations[0]: area 50 is not that of its mask: give 30; so "
        "too annotations[1], annotations[2]"
    )
    assert lines[2] == "1 error and 3 warnings in 3 images, 0 with a photo, of val."


def test_places_in_other_files_are_named_without_the_folders_they_share(tmp_path: Path) -> None:
    for city, value in (("bonn", 99), ("ulm", 98)):
        for n in range(2):
            path = tmp_path / f"gtFine/val/{city}/{city}_{n}_gtFine_instanceIds.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((4, 5), value, dtype=np.uint16))
    done = check(tmp_path, format_name="cityscapes")
    assert done.stdout.splitlines()[0] == (
        f"error: 4 times: {tmp_path}/gtFine/val/bonn/bonn_0_gtFine_instanceIds.png: value 99 is no "
        "label of Cityscapes: give its instanceIds or labelIds; so too "
        "bonn_1_gtFine_instanceIds.png, ulm/ulm_0_gtFine_instanceIds.png, "
        "ulm/ulm_1_gtFine_instanceIds.png"
    )


def test_twenty_thousand_problems_are_a_page(tmp_path: Path) -> None:
    path = write_triangles(tmp_path, 10_000, area=50, bbox=[1, 1, 0, 0])
    content = json.loads(path.read_text())
    # As many kinds of problem as there are words.
    for n in range(60):
        word = "".join("abcdefghij"[int(digit)] for digit in str(n))
        content["annotations"][n]["segmentation"] = {"size": word, "counts": []}
    path.write_text(json.dumps(content))
    lines = check(tmp_path).stdout.splitlines()
    assert len(lines) <= 42
    assert lines[-2].endswith("--json FILE writes them all")
    assert "errors and" in lines[-1]


def test_train_ids_and_empty_lists_never_pass_as_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "gtFine/val/x/x_0_gtFine_labelIds.png"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), np.array([[0, 0, 0, 13]], dtype=np.uint8))
    done = check(tmp_path, format_name="cityscapes")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 3)
    assert "as in maps of train ids" in done.stdout
    assert "void: 75%, and 75% of split val" in done.stdout
    path.rename(path.with_name("x_0_gtFine_labelTrainIds.png"))
    done = check(tmp_path, format_name="cityscapes")
    assert done.exit_code == 1
    assert "x_0_gtFine_labelTrainIds.png: train ids are not read: give labelIds" in done.stdout
    write_triangles(tmp_path, 0)
    (tmp_path / "annotations" / "instances_val.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
                "categories": [{"id": 1, "name": "dog"}],
                "annotations": [],
            }
        )
    )
    done = check(tmp_path)
    assert (done.exit_code, "no image has an annotation" in done.stdout) == (0, True)


def test_splits_are_held_against_others_that_are_not_checked(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for split in ("train", "val", "test"):
        image = {"id": 1, "file_name": f"{split}.png", "width": 8, "height": 6}
        content = {"images": [image], "categories": [{"id": 1, "name": "car"}], "annotations": []}
        path = root / f"annotations/instances_{split}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        (root / split).mkdir()
        # Two splits have one photo.
        value = 9 if split == "test" else 5
        cv2.imwrite(str(root / split / image["file_name"]), np.full((6, 8, 3), value, np.uint8))
    place = ("check", str(root), "--format", "coco-instances", "--json", str(tmp_path / "o"))
    told = {}
    for options in ("--split val", "--split val --against train", "--split val --split test"):
        done = CliRunner().invoke(app, [*place, *options.split()])
        content = json.loads((tmp_path / "o").read_text())
        told[options] = done.exit_code, content["splits"], content["against"]
        assert ("is the same photo as" in done.stdout) == ("--against" in options)
    assert told == {
        "--split val": (0, ["val"], []),
        "--split val --against train": (1, ["val"], ["train"]),
        "--split val --split test": (0, ["val", "test"], []),
    }
