import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from annotools.cli import app as annotools_app
from annotools.errors import RecipeError
from annotools.formats import read_dataset
from tests.real_data import real_data
from tests.wsps.given_file_runs import (
    PHOTO_B,
    QUICK,
    ROUND,
    convert,
    given_files,
    labels_in,
    make_street,
    run_well,
    write_detection,
)
from tests.wsps.pseudo_label_runs import read_json, run_command


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("kind", ["boxes", "tags", "boxes+tags"])
def test_bought_files_give_bit_for_bit_the_labels_of_their_dataset(
    tmp_path: Path, kind: str, background: bool
) -> None:
    root, weak = tmp_path / "root", tmp_path / "weak"
    make_street(root, background=background)
    crops = ("--crops", "30x40")
    convert(root, weak, "--to", kind, *crops)
    settings = ROUND if kind != "tags" else QUICK
    dataset = (root, "--format", "coco-panoptic", "--labels", kind, *crops)
    run_well(*dataset, "--out", tmp_path / "a", "--maps", *settings)
    files = ("--photos", root / "train", *given_files(weak))
    shown = run_well(*files, "--out", tmp_path / "b", "--maps", *settings)
    assert labels_in(tmp_path / "a") == labels_in(tmp_path / "b")
    assert len(labels_in(tmp_path / "b")) >= 2 * 3 + 2
    assert (tmp_path / "a/quality.json").is_file()
    assert not (tmp_path / "b/quality.json").exists()
    assert "2 images: 2 labelled." in shown


@pytest.mark.parametrize(
    ("format_name", "root", "split", "photos"),
    [
        ("voc", "voc/VOCdevkit/VOC2007", "train", "voc/VOCdevkit/VOC2007/JPEGImages"),
        ("coco-instances", "coco", "train2017", "coco/train2017"),
        ("cityscapes", "cityscapes", "train", "cityscapes/leftImg8bit/train"),
    ],
)
def test_files_of_real_datasets_give_their_labels(
    tmp_path: Path, format_name: str, root: str, split: str, photos: str
) -> None:
    read = (real_data(root), "--format", format_name, "--split", split, "--max-images", 1)
    given = ["convert", *read, "--to", "boxes+tags", "--out", tmp_path / "weak"]
    done = CliRunner().invoke(annotools_app, [str(argument) for argument in given])
    assert done.exit_code == 0, done.output
    method = (*QUICK, "--set", "boxes.method=box", "--set", "images.max_side=256")
    run_well(*read, "--labels", "boxes+tags", "--out", tmp_path / "a", *method)
    files = ("--photos", real_data(photos), *given_files(tmp_path / "weak"))
    run_well(*files, "--out", tmp_path / "b", *method)
    assert labels_in(tmp_path / "a") == labels_in(tmp_path / "b")


def test_anybodys_detection_file_is_enough(tmp_path: Path) -> None:
    make_street(tmp_path / "root", background=True)
    boxes, out = write_detection(tmp_path / "export.json"), tmp_path / "out"
    run_well("--photos", tmp_path / "root/train", "--boxes", boxes, "--out", out)
    labels = read_dataset("coco-panoptic", out, "photos")
    assert [(c.category_id, c.name) for c in labels.categories.categories] == [
        (0, "background"),
        (1, "dog"),
        (5, "car"),
    ]
    label, crowded = (labels.read_label(image) for image in labels.images)
    assert {s.category_id for s in label.segments} == {0, 5}
    car = next(s for s in label.segments if s.category_id == 5)
    x0, y0, x1, y1 = car.box_xyxy
    assert (x0 >= 10, y0 >= 10, x1 <= 30, y1 <= 30, car.is_group) == (True, True, True, True, False)
    # In the crowd nobody knows anything.
    assert [s.category_id for s in crowded.segments] == [0]
    assert (crowded.segment_map[5:35, 40:55] == 0).all()
    drawn = read_json(out / "boxes.json")["annotations"]
    assert [(a["bbox"], a["iscrowd"]) for a in drawn] == [
        ([10, 10, 20, 20], 0),
        ([40, 5, 15, 30], 1),
    ]
    assert read_json(out / "manifest.json")["labels"][0]["kind"] == "boxes"


def test_kept_labels_are_not_taken_for_those_of_other_categories(tmp_path: Path) -> None:
    make_street(tmp_path / "root", background=True)
    kept = ("--box-labels", tmp_path / "kept")

    def categories_in(name: str, **changes: Any) -> list[set[int]]:
        boxes = write_detection(tmp_path / f"{name}.json", **changes)
        photos = ("--photos", tmp_path / "root/train", "--boxes", boxes)
        run_well(*photos, "--out", tmp_path / name, *kept)
        labels = read_dataset("coco-panoptic", tmp_path / name, "photos")
        return [{s.category_id for s in labels.read_label(i).segments} for i in labels.images]

    more = [{"id": 1, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 5, "name": "car"}]
    assert categories_in("a") == categories_in("b", categories=more)


def test_images_have_the_kind_that_the_files_give_them(tmp_path: Path) -> None:
    root, weak = tmp_path / "root", tmp_path / "weak"
    make_street(root, background=False)
    convert(root, weak, "--to", "boxes+tags")
    boxes, tags = read_json(weak / "boxes.json"), read_json(weak / "tags.json")
    boxes["images"] = [i for i in boxes["images"] if i["id"] == "b"]
    tags["images"] = [i for i in tags["images"] if i["id"] == "a"]
    tags["crops"] = [c for c in tags["crops"] if c["image_id"] == "a"]
    for name, content in (("boxes.json", boxes), ("tags.json", tags)):
        (weak / name).write_text(json.dumps(content))
    out = tmp_path / "out"
    run_well("--photos", root / "train", *given_files(weak), "--out", out, *QUICK)
    kinds = {e["image_id"]: e["kind"] for e in read_json(out / "manifest.json")["labels"]}
    assert kinds == {"b": "boxes", "a": "tags"}
    assert [i["id"] for i in read_json(out / "boxes.json")["images"]] == ["b"]


def test_a_truth_measures_the_labels_of_files(tmp_path: Path) -> None:
    root, weak = tmp_path / "root", tmp_path / "weak"
    make_street(root, background=False)
    convert(root, weak, "--to", "boxes+tags")
    dataset = (root, "--format", "coco-panoptic", "--labels", "boxes+tags")
    run_well(*dataset, "--out", tmp_path / "a", *QUICK)
    files = ("--photos", root / "train", *given_files(weak), "--truth", root)
    shown = run_well(*files, "--out", tmp_path / "b", *QUICK)
    a, b = (read_json(tmp_path / name / "quality.json") for name in "ab")
    assert (a["kinds"], a["rounds"]) == (b["kinds"], b["rounds"])
    assert "2 images labelled from boxes+tags, in percent" in shown


def test_habits_of_an_annotator_are_in_the_labels(tmp_path: Path) -> None:
    root, habits = tmp_path / "root", tmp_path / "habits.toml"
    make_street(root, background=True)
    habits.write_text("[boxes]\ncorner_shift = 0.2\n")
    dataset = (root, "--format", "coco-panoptic", "--labels", "boxes")
    run_well(*dataset, "--out", tmp_path / "a")
    run_well(*dataset, "--out", tmp_path / "b", "--annotator", habits, "--seed", 1)
    convert(root, tmp_path / "c", "--to", "boxes", "--annotator", habits, "--seed", 1)
    boxes = [read_json(tmp_path / n / "boxes.json")["annotations"] for n in "abc"]
    assert boxes[1] == boxes[2] != boxes[0]
    done = run_command(*dataset, "--out", tmp_path / "b", "--annotator", habits, "--seed", 2)
    assert "different seed" in str(done.exception)


def test_what_is_missing_or_impossible_can_be_left_out(tmp_path: Path) -> None:
    make_street(tmp_path / "root", background=True)
    gone = {"id": 9, "file_name": "gone.png", "width": 60, "height": 40}
    annotations = [
        {"image_id": 7, "category_id": 5, "bbox": [9, 10, 20, 20]},
        {"image_id": 7, "category_id": 5, "bbox": [9, 10, 0, 20]},
    ]
    changes = {"images": [PHOTO_B, gone], "annotations": annotations}
    boxes, out = write_detection(tmp_path / "export.json", **changes), tmp_path / "out"
    given = ("--photos", tmp_path / "root/train", "--boxes", boxes, "--out", out)
    assert "or leave such objects out (--allow-missing, in a study" in str(
        run_command(*given).exception
    )
    run_well(*given, "--allow-missing")
    assert read_json(out / "manifest.json")["images"]["dropped"] == 1
    assert [a["bbox"] for a in read_json(out / "boxes.json")["annotations"]] == [[9, 10, 20, 20]]


def test_without_a_network_to_train_no_weights_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    root, weak, out = tmp_path / "root", tmp_path / "weak", tmp_path / "out"
    make_street(root, background=True)
    convert(root, weak, "--to", "boxes")
    files = ("--photos", root / "train", *given_files(weak))
    # The default of photos has pretrained weights, which labels from boxes never meet.
    assert "2 images: 2 labelled." in run_well(*files, "--out", out)
    for more in (("--rounds", 1), ("--rounds", 1, "--set", "backbone.weights=w.pt")):
        done = run_command(*files, "--out", tmp_path / "other", *more)
        assert isinstance(done.exception, RecipeError)
        assert "or choose a recipe that needs no weights: small" in str(done.exception)
        assert not (tmp_path / "other").exists()
