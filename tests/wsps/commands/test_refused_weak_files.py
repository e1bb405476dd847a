import json
from pathlib import Path
from typing import Any

import pytest

from annotools.errors import DatasetError
from tests.wsps.given_file_runs import (
    PHOTO_A,
    PHOTO_B,
    QUICK,
    convert,
    given_files,
    make_street,
    write_detection,
)
from tests.wsps.pseudo_label_runs import read_json, run_command


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"image_id": 9, "category_id": 5}]}, "image_id 9 is not in images"),
        ({"annotations": [{"image_id": 7, "category_id": 6}]}, "category_id 6 is not in categor"),
        ({"annotations": [{"image_id": 7, "category_id": 5}]}, "annotations[0]: bbox is missing"),
        ({"images": [PHOTO_B | {"file_name": "c.png"}, PHOTO_A]}, "c.png: the photo is missing"),
        ({"images": [PHOTO_B | {"file_name": "../"}, PHOTO_A]}, "names no photo"),
        ({"categories": []}, "category_id 5 is not in categories"),
    ],
)
def test_a_wrong_file_is_named_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    make_street(tmp_path / "root", background=True)
    boxes, out = write_detection(tmp_path / "export.json", **changes), tmp_path / "out"
    done = run_command("--photos", tmp_path / "root/train", "--boxes", boxes, "--out", out)
    assert isinstance(done.exception, DatasetError)
    assert message in str(done.exception)
    assert not out.exists()


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    root, weak = tmp_path / "root", tmp_path / "weak"
    make_street(root, background=False)
    convert(root, weak, "--to", "boxes+tags")
    whole = {name: read_json(weak / name) for name in ("boxes.json", "tags.json")}

    def refusal(name: str, content: Any) -> str:
        (weak / name).write_text(json.dumps(content))
        done = run_command(
            "--photos", root / "train", *given_files(weak), "--out", tmp_path / "out", *QUICK
        )
        (weak / name).write_text(json.dumps(whole[name]))
        assert isinstance(done.exception, DatasetError)
        return str(done.exception)

    boxes, tags = whole["boxes.json"], whole["tags.json"]
    other = [image | {"width": 61} for image in boxes["images"]]
    assert "60 x 40 in the other" in refusal("boxes.json", boxes | {"images": other})
    renamed = [image | {"id": f"{image['id']}!"} for image in boxes["images"]]
    message = refusal("boxes.json", boxes | {"images": renamed, "annotations": []})
    assert "a.png is image 'a!' in one and image 'a' in the other" in message
    foreign = [*boxes["all_categories"], {"id": 99, "name": "bus", "isthing": 1}]
    message = refusal("boxes.json", boxes | {"all_categories": foreign})
    assert "category 99 is 'bus' in one and 'nothing' in the other" in message
    named = [c | {"name": c["name"].upper()} for c in boxes["all_categories"]]
    message = refusal("boxes.json", boxes | {"all_categories": named})
    assert "category 10 is 'ROAD' in one and 'road' in the other" in message
    # A file of boxes from elsewhere does not say what is stuff.
    plain = {key: value for key, value in boxes.items() if key != "all_categories"}
    plain["categories"] = [{k: c[k] for k in ("id", "name")} for c in boxes["all_categories"]]
    of_road = boxes["annotations"][0] | {"category_id": 10}
    message = refusal("boxes.json", plain | {"annotations": [of_road]})
    assert "has boxes of 'road', which is stuff in" in message
    crop = tags["crops"][0]
    for wrong, message in (
        ({"width": 61}, "leaves its image"),
        ({"width": 0}, "is no crop"),
        ({"category_ids": [98]}, "list ids of categories"),
        ({"category_ids": [[10]]}, "list ids of categories"),
        ({"category_ids": [True]}, "list ids of categories"),
        ({"image_id": "c"}, "is not in images"),
    ):
        assert message in refusal("tags.json", tags | {"crops": [crop | wrong]})
    for name in whole:
        for content in (5, None, []):
            assert "is not a JSON object" in refusal(name, content)
    missing = tmp_path / "nowhere"
    done = run_command("--photos", missing, *given_files(weak), "--out", tmp_path / "out")
    assert "no such folder: give --photos" in str(done.exception)
    other_truth = tmp_path / "other"
    make_street(other_truth, background=True)
    files = ("--photos", root / "train", *given_files(weak))
    done = run_command(*files, "--truth", other_truth, "--out", tmp_path / "out")
    assert "give the truth of the same categories" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--boxes", "b.json"), "give --photos"),
        (("--photos", "p"), "ROOT is missing"),
        (("--photos", "p", "--boxes", "b", "--labels", "boxes"), "--labels: give either"),
        (("root", "--photos", "p", "--boxes", "b"), "ROOT: give either a dataset or"),
        (("--photos", "p", "--boxes", "b", "--val-split", "val"), "--val-split: give either"),
        (("--photos", "p", "--tags", "t", "--crops", "9x9"), "--crops: give either"),
        (("root", "--format", "voc"), "--labels is missing"),
        ((), "ROOT is missing"),
    ],
)
def test_labels_come_from_files_or_from_a_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    done = run_command(*arguments, "--out", tmp_path / "out")
    assert (done.exit_code, message in done.output) == (2, True), done.output


def test_the_table_replaces_nothing_that_is_read_or_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    root, out = tmp_path / "root", tmp_path / "out"
    make_street(root, background=False)
    convert(root, tmp_path / "weak", "--to", "boxes+tags")
    files = ("--photos", root / "train", *given_files(tmp_path / "weak"), "--truth", root)
    dataset = (root, "--format", "coco-panoptic", "--labels", "boxes")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    for given in (files, dataset):
        for target in (root / "train/b.png", root / "panoptic.json", root / "panoptic/a.png"):
            done = run_command(*given, "--out", out, "--json", target)
            assert (done.exit_code, "is a file of the dataset" in done.output) == (2, True)
        done = run_command(*given, "--out", out, "--json", out / "panoptic.json")
        assert (done.exit_code, "give --json elsewhere" in done.output) == (2, True)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert not out.exists()
