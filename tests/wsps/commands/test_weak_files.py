import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from annotools.cli import app as annotools_app
from annotools.errors import DatasetError
from annotools.formats import read_dataset
from annotools.formats.panoptic_folder import write_label, write_label_set
from annotools.records import Dataset, Image
from tests.builders import make_categories, make_label
from tests.real_data import real_data
from tests.wsps.pseudo_label_runs import read_json, run_command

QUICK = ("--set", "classifier.steps=2", "--set", "descent.batch_size=2")
ROUND = (
    *QUICK,
    *("--set", "semantic.steps=1", "--set", "views.crop_size_wh=[32, 32]"),
    *("--set", "refinement.crf.iterations=1", "--rounds", 1),
)


def make_street(root: Path, *, background: bool) -> Dataset:
    """A panoptic dataset of two photos, with stuff or a background, one of them without a thing."""
    categories = make_categories(
        things=("car", "dog"),
        stuff=("sea",) if background else ("road", "sky"),
        background=background,
    )
    rng = np.random.default_rng(0)
    first, second = (category.category_id for category in categories.categories[:2])
    last = categories.categories[-1].category_id
    rows = np.full((40, 60), 1, dtype=np.int32)
    rows[20:] = 1 if background else 2
    things = rows.copy()
    things[10:30, 10:30], things[22:38, 25:50] = 3, 4
    kinds = {1: first, 2: first if background else second, 3: last, 4: last}
    labelled = []
    (root / "train").mkdir(parents=True)
    # The file's order is not that of the ids.
    for image_id, segments in (("b", things), ("a", rows)):
        image = Image(image_id=image_id, file_name=f"{image_id}.png", width=60, height=40)
        cv2.imwrite(
            str(root / "train" / image.file_name), rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
        )
        label = make_label(segments.tolist(), kinds, groups=[4], image_id=image_id)
        labelled.append((image, write_label(root, image_id, image, label)))
    write_label_set(root, categories, labelled)
    return read_dataset("coco-panoptic", root, "train")


def convert(root: Path, out: Path, *arguments: object) -> None:
    given = ["convert", root, "--format", "coco-panoptic", "--out", out, *arguments]
    done = CliRunner().invoke(annotools_app, [str(argument) for argument in given])
    assert done.exit_code == 0, done.output + repr(done.exception)


def run_well(*arguments: object) -> str:
    done = run_command(*arguments)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def given_files(weak: Path) -> list[object]:
    return [
        argument
        for option, name in (("--boxes", "boxes.json"), ("--tags", "tags.json"))
        if (weak / name).is_file()
        for argument in (option, weak / name)
    ]


def labels_in(out: Path) -> dict[str, bytes]:
    paths = [*out.rglob("*.png"), out / "panoptic.json", out / "boxes.json"]
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in paths if ".state" not in p.parts}


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
    method = (*QUICK, "--set", "boxes.method=box")
    run_well(*read, "--labels", "boxes+tags", "--out", tmp_path / "a", *method)
    files = ("--photos", real_data(photos), *given_files(tmp_path / "weak"))
    run_well(*files, "--out", tmp_path / "b", *method)
    assert labels_in(tmp_path / "a") == labels_in(tmp_path / "b")


PHOTO_B = {"id": 7, "file_name": "b.png", "width": 60, "height": 40}
PHOTO_A = {"id": 8, "file_name": "a.png", "width": 60, "height": 40}


def write_detection(path: Path, **changes: Any) -> Path:
    """A detection file as annotation tools export rectangles, with a crowd."""
    content = {
        "images": [PHOTO_B, PHOTO_A],
        "categories": [{"id": 1, "name": "dog"}, {"id": 5, "name": "car"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 7,
                "category_id": 5,
                "segmentation": [],
                "bbox": [9.6, 10, 20.7, 20],
            },
            {"id": 2, "image_id": 8, "category_id": 1, "bbox": [40, 5, 15, 30], "iscrowd": 1},
        ],
    }
    path.write_text(json.dumps(content | changes))
    return path


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"image_id": 9, "category_id": 5}]}, "image_id 9 is not in images"),
        ({"annotations": [{"image_id": 7, "category_id": 6}]}, "category_id 6 is not in categor"),
        ({"annotations": [{"image_id": 7, "category_id": 5}]}, "annotations[0]: bbox is missing"),
        ({"images": [PHOTO_B | {"file_name": "c.png"}, PHOTO_A]}, "c.png: the photo is missing"),
        ({"images": [PHOTO_B | {"file_name": "../b.png"}, PHOTO_A]}, "leaves"),
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
        (("--photos", "p"), "give --boxes, --tags or both"),
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
        assert (done.exit_code, "give a file elsewhere" in done.output) == (2, True)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert not out.exists()


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
    assert "or allow missing ones" in str(run_command(*given).exception)
    run_well(*given, "--allow-missing")
    assert read_json(out / "manifest.json")["images"]["dropped"] == 1
    assert [a["bbox"] for a in read_json(out / "boxes.json")["annotations"]] == [[9, 10, 20, 20]]
