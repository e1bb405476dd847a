"""From full labels to scores and pictures by the commands alone; the counts of all agree."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from annotools.errors import AnnotationError
from studies.cli import app

pytestmark = pytest.mark.slow

QUICK = (
    *("--set", "descent.batch_size=2", "--set", "views.crop_size_wh=[48,48]"),
    *("--set", "semantic.steps=20", "--set", "detector.steps=10", "--set", "instance.steps=3"),
    # A detector of ten steps is sure of nothing.
    *("--set", "instance.score_threshold=0.05", "--set", "instance.max_detections=5"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "world.toml").write_text("width = 64\nheight = 64\nnum_train = 3\nnum_val = 2\n")
    return tmp_path


def annotools(command: str, *arguments: object) -> str:
    done = CliRunner().invoke(app, [command, *map(str, arguments)])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout


def error_of(command: str, *arguments: object) -> str:
    error = CliRunner().invoke(app, [command, *map(str, arguments)]).exception
    assert isinstance(error, AnnotationError)
    return str(error)


def table_of(folder: Path, command: str, *arguments: object) -> Any:
    path = folder / f"{command}.json"
    annotools(command, *arguments, "--json", path)
    return json.loads(path.read_text())


def convert(folder: Path, split: str) -> Path:
    out = folder / f"full-{split}"
    world = (folder / "world.toml", "--format", "scenes", "--split", split)
    annotools("convert", *world, "--to", "full", "--out", out)
    return out


def segments_in(labels: Path) -> dict[int, int]:
    """The segments of a label set by category id, read by nothing of ours."""
    content = json.loads((labels / "panoptic.json").read_text())
    found = dict.fromkeys((category["id"] for category in content["categories"]), 0)
    for annotation in content["annotations"]:
        for segment in annotation["segments_info"]:
            found[segment["category_id"]] += 1
    return found


def test_the_counts_of_all_commands_agree(folder: Path) -> None:
    labels, truth = convert(folder, "train"), convert(folder, "val")
    run, out = folder / "run", folder / "predictions"
    scenes = (folder / "world.toml", "--format", "scenes")
    trained = table_of(
        folder, "train", "--labels", labels, "--photos", *scenes, "--out", run, *QUICK
    )
    assert trained["images"] == {"full": 3}
    steps = {stage: end["steps"] for stage, end in trained["stages"].items()}
    assert steps == {"semantic": 20, "detector": 10, "instance": 3}
    for stage, number in steps.items():
        rows = (run / f"{stage}.csv").read_text().splitlines()[1:]
        # The instance subnetwork's weights have a row after the last step.
        assert len(rows) == number + (stage == "instance")

    given = (run, *scenes, "--split", "val", "--out", out, "--overlays")
    predicted = table_of(folder, "predict", *given)
    assert (predicted["images"], predicted["resumed"]) == (2, 0)
    segments = segments_in(out)
    assert {one["id"]: one["segments"] for one in predicted["categories"]} == segments
    assert predicted["segments"] == sum(segments.values()) > 0
    for kind, suffix in (("panoptic", "png"), ("semantic", "png"), ("overlays", "jpg")):
        names = sorted(path.name for path in (out / kind).iterdir())
        assert names == [f"val_00000{number}.{suffix}" for number in (0, 1)]
    again = table_of(folder, "predict", *given)
    assert again == predicted | {"resumed": 2}

    inspected = table_of(folder, "inspect", out, "--format", "coco-panoptic")
    assert {one["category_id"]: one["segments"] for one in inspected["categories"]} == segments
    assert (inspected["images"], inspected["images_left_out"]) == (2, 0)
    assert inspected["void_share"] == 0

    truth_file, prediction = truth / "panoptic.json", out / "panoptic.json"
    scored = table_of(folder, "evaluate", "--prediction", prediction, "--truth", truth_file)
    rows, wanted = scored["rows"], segments_in(truth)
    assert scored["images"] == 2
    ids = list(wanted)
    for category_id, row in zip(ids, rows[: len(ids)], strict=True):
        assert row["tp"] + row["fn"] == wanted[category_id], row
        # What is mostly void in the truth is no mistake; that can only be a thing.
        is_exact = row["kind"] == "stuff"
        wrong = segments[category_id] - row["tp"] - row["fp"]
        assert wrong == 0 if is_exact else wrong >= 0, row
    assert {row["name"] for row in rows[len(ids) :]} == {"all", "things", "stuff"}
    itself = table_of(folder, "evaluate", "--prediction", prediction, "--truth", prediction)
    for category_id, row in zip(ids, itself["rows"][: len(ids)], strict=True):
        count = segments[category_id]
        assert (row["tp"], row["fp"], row["fn"]) == (count, 0, 0)
        assert row["pq"] == (1 if count else None)

    said = annotools("check", out, "--format", "coco-panoptic")
    assert said.startswith("No problem in 2 images")
    sheet = folder / "sheet.png"
    annotools("draw", out, "--format", "coco-panoptic", "--out", sheet)
    assert cv2.imread(str(sheet)) is not None


def test_what_a_new_user_gets_wrong_is_told_with_its_remedy(folder: Path) -> None:
    labels, world, run = convert(folder, "train"), folder / "world.toml", folder / "run"
    wanted = f"{world}: is a file: give the folder of the photos, or of a dataset its --format"
    place = ("--labels", labels, "--out", run, *QUICK)
    assert error_of("train", *place, "--photos", world) == wanted
    assert not run.exists()
    steps = ("--set", "semantic.steps=1", "--set", "detector.steps=0", "--set", "instance.steps=0")
    scenes = ("--photos", world, "--format", "scenes")
    annotools("train", *place, *scenes, *steps)
    told = error_of("train", *place, *scenes)
    assert told.startswith(f"{run}: holds work of annotools train with different recipe.semantic: ")
    assert error_of("predict", run, world, "--out", folder / "p") == wanted

    # Photos of a folder have ids of their own, with which nothing can be scored.
    photos, truth, out = folder / "photos", convert(folder, "val"), folder / "predictions"
    photos.mkdir()
    for number in (0, 1):
        shown = np.zeros((64, 64, 3), dtype=np.uint8)
        assert cv2.imwrite(str(photos / f"val_00000{number}.png"), shown)
    truth_file, prediction = truth / "panoptic.json", out / "panoptic.json"
    said = annotools("predict", run, photos, "--out", out)
    assert said.splitlines()[-1] == (
        "to score it, predict with --images TRUTH/panoptic.json, whose ids it has then"
    )
    assert error_of("evaluate", "--prediction", prediction, "--truth", truth_file) == (
        f"{prediction}: image 0 has no prediction (images without one: 2 of 2, and its image "
        f"'val_000000' is not in the truth): predict every image of {truth_file}"
    )
    given = ("--images", truth_file, "--out", out, "--overwrite")
    said = annotools("predict", run, photos, *given)
    scoring = f"evaluate --prediction {prediction} --truth {truth_file}"
    assert said.splitlines()[-1] == f"score it: annotools {scoring}"
    assert annotools(*scoring.split()).startswith("2 images")
    told = error_of("evaluate", "--prediction", out, "--truth", truth_file)
    assert told == f"{out}: is a folder: give its list, {prediction}"


def test_training_goes_on_with_pseudo_labels_and_full_ones_of_another_run(folder: Path) -> None:
    scenes = (folder / "world.toml", "--format", "scenes")
    full = folder / "full"
    annotools("convert", *scenes, "--to", "full", "--max-images", 1, "--out", full)
    plan = folder / "plan.json"
    asked = {"format": "scenes", "root": str(folder / "world.toml"), "split": "train"}
    images = [{"id": number, "kind": "boxes", "seconds": 1} for number in (1, 2)]
    settings = {**asked, "mix": {"boxes": 1}, "budget_hours": 1}
    content = {"written_by": "annotools plan", "settings": settings, "images": images}
    plan.write_text(json.dumps(content))
    weak = folder / "weak"
    annotools("pseudo-label", *scenes, "--labels", plan, "--out", weak)
    first, second = folder / "first", folder / "second"
    photos = ("--photos", *scenes)
    table_of(folder, "train", "--labels", weak, *photos, "--out", first, *QUICK)
    mixed = ("--labels", full, "--labels", weak, *photos, "--start-from", first)
    trained = table_of(folder, "train", *mixed, "--out", second, *QUICK)
    assert trained["images"] == {"boxes": 2, "full": 1}
    taken = trained["began"]["taken"]
    # The categories are the same, so nothing begins anew.
    assert set(taken) == {"semantic", "detector", "instance"}
    assert all(counts["taken"] == counts["tensors"] for counts in taken.values())
