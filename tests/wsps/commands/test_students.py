"""Another student than the paper's goes the same way from label sets to scores."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from annotools.errors import AnnotationError
from studies.cli import app
from wsps.training.finished_runs import load_model

QUICK = (
    *("--set", "descent.batch_size=2", "--set", "views.crop_size_wh=[48,48]"),
    *("--set", "semantic.steps=3", "--set", "detector.steps=3", "--set", "instance.steps=1"),
    # A detector of three steps is sure of nothing.
    *("--set", "instance.score_threshold=0.05", "--set", "instance.max_detections=5"),
)


def annotools(command: str, *arguments: object) -> str:
    done = CliRunner().invoke(app, [command, *map(str, arguments)])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.stdout


def error_of(command: str, *arguments: object) -> str:
    error = CliRunner().invoke(app, [command, *map(str, arguments)]).exception
    assert isinstance(error, AnnotationError)
    assert "\n" not in str(error)
    return str(error)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture
def world(tmp_path: Path) -> tuple[object, ...]:
    """How the photos of full labels in `full` are named."""
    path = tmp_path / "world.toml"
    path.write_text("width = 64\nheight = 64\nnum_train = 2\nnum_val = 2\n")
    scenes = (path, "--format", "scenes", "--split")
    for split, name in (("train", "full"), ("val", "truth")):
        annotools("convert", *scenes, split, "--to", "full", "--out", tmp_path / name)
    return "--labels", tmp_path / "full", "--photos", path, "--format", "scenes"


def test_a_run_of_mask_rcnn_is_trained_predicted_with_and_scored(
    tmp_path: Path, world: tuple[object, ...]
) -> None:
    run, out, table = tmp_path / "run", tmp_path / "predictions", tmp_path / "scores.json"
    place = (*world, *QUICK, "--student", "mask-rcnn", "--out", run)
    text = annotools("train", *place)
    assert {path.name for path in run.iterdir()} == {
        *(".state", "manifest.json", "semantic.pt", "semantic.csv", "detector.pt", "detector.csv")
    }
    manifest = read_json(run / "manifest.json")
    assert manifest["student"] == "mask-rcnn"
    assert {name: end["steps"] for name, end in manifest["stages"].items()} == {
        "semantic": 3,
        "detector": 3,
    }
    # Repeated, nothing is trained and the same is told.
    before = {path: path.stat().st_mtime_ns for path in run.glob("*.pt")}
    assert annotools("train", *place) == text
    assert {path: path.stat().st_mtime_ns for path in run.glob("*.pt")} == before
    photos = (tmp_path / "world.toml", "--format", "scenes", "--split", "val")
    annotools("predict", run, *photos, "--overlays", "--out", out)
    assert len(list((out / "overlays").iterdir())) == 2
    things = [
        segment["score"]
        for annotation in read_json(out / "panoptic.json")["annotations"]
        for segment in annotation["segments_info"]
        if segment["category_id"] > 10
    ]
    assert things
    assert all(0.05 < score <= 1 for score in things)
    files = ("--prediction", out / "panoptic.json", "--truth", tmp_path / "truth/panoptic.json")
    annotools("evaluate", *files, "--json", table)
    assert table.is_file()


def test_what_does_not_fit_a_student_is_refused_in_one_line(
    tmp_path: Path, world: tuple[object, ...]
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    assert "unknown student 'fcn': use li2018 or mask-rcnn" in error_of(
        "train", *world, "--student", "fcn", "--out", tmp_path / "a"
    )
    given = tmp_path / "detections.json"
    given.write_text("[]")
    detections = ("--detections", given)
    refused = "--detections: the student 'mask-rcnn' needs masks with its detections and makes"
    masks = ("--student", "mask-rcnn")
    assert refused in error_of("train", *world, *masks, *detections, "--out", tmp_path / "a")
    annotools("train", *world, *QUICK, "--out", ours)
    annotools("train", *world, *QUICK, *masks, "--out", theirs)
    photos = (tmp_path / "world.toml", "--format", "scenes", "--split", "val")
    assert refused in error_of("predict", theirs, *photos, *detections, "--out", tmp_path / "a")
    weighed = ("--set", "instance.mask_weight=1")
    refused = (
        "--detections: instance.mask_weight is above 0, and detections of a file have no masks"
    )
    assert refused in error_of("train", *world, *weighed, *detections, "--out", tmp_path / "a")
    assert "is a run of the student 'mask-rcnn', and 'li2018' is to be trained" in error_of(
        "train", *world, *QUICK, "--start-from", theirs, "--out", tmp_path / "a"
    )
    # A folder has the run of one student.
    assert "different" in error_of("train", *world, *QUICK, *masks, "--out", ours)
    assert not (tmp_path / "a").exists()
    manifest = read_json(theirs / "manifest.json")
    (theirs / "manifest.json").write_text(json.dumps(manifest | {"student": "fcn"}))
    assert f"{theirs / 'manifest.json'}: unknown student 'fcn'" in error_of(
        "predict", theirs, *photos, "--out", tmp_path / "a"
    )


def test_a_run_whose_subnetwork_counts_masks_is_trained_and_predicted_with(
    tmp_path: Path, world: tuple[object, ...]
) -> None:
    run, out = tmp_path / "run", tmp_path / "predictions"
    annotools("train", *world, *QUICK, "--set", "instance.mask_weight=1", "--out", run)
    photos = (tmp_path / "world.toml", "--format", "scenes", "--split", "val")
    annotools("predict", run, *photos, "--out", out)
    assert len(read_json(out / "panoptic.json")["annotations"]) == 2
    assert (run / "instance.csv").read_text().splitlines()[0].endswith("weight,mask_weight")
    given = tmp_path / "detections.json"
    given.write_text("[]")
    assert "detections of a file have no masks" in error_of(
        "predict", run, *photos, "--detections", given, "--out", tmp_path / "a"
    )


def test_a_mask_head_that_no_run_has_taught_is_told(
    tmp_path: Path, world: tuple[object, ...]
) -> None:
    weighed = ("--set", "instance.mask_weight=1")
    still = ("--set", "semantic.steps=0", "--set", "detector.steps=0")
    notes = {}
    for name, changes in (("plain", ()), ("masks", weighed)):
        annotools("train", *world, *QUICK, *changes, "--out", tmp_path / name)
        start = ("--start-from", tmp_path / name, "--out", tmp_path / f"from_{name}")
        command = ["train", *world, *QUICK, *still, *weighed, *start]
        done = CliRunner().invoke(app, list(map(str, command)))
        assert done.exit_code == 0, done.output
        (notes[name],) = (n for n in done.stderr.split("note: ") if n.startswith("detector: made"))
    told = " ".join(notes["plain"].split())
    assert ", 8 of its 58 tensors without the run it starts from: set detector.steps" in told
    assert "without the run" not in notes["masks"]


def test_a_run_of_mask_rcnn_goes_on_from_another_with_its_masks(
    tmp_path: Path, world: tuple[object, ...]
) -> None:
    masks = (*world, *QUICK, "--student", "mask-rcnn")
    annotools("train", *masks, "--out", tmp_path / "first")
    still = ("--set", "semantic.steps=0", "--set", "detector.steps=0", "--seed", "1")
    start = ("--start-from", tmp_path / "first")
    annotools("train", *masks, *still, *start, "--out", tmp_path / "second")
    began = read_json(tmp_path / "second/manifest.json")["began"]["taken"]
    assert set(began) == {"semantic", "detector"}
    first, second = (load_model(tmp_path / name).detector for name in ("first", "second"))
    assert first is not None
    assert second is not None
    taken = second.state_dict()
    assert all(values.equal(taken[key]) for key, values in first.state_dict().items())
