"""`annotools train` and `annotools predict` with detections of another detector."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

import annotools.cli
from annotools.errors import AnnotationError
from annotools.formats.source import Source, open_source
from annotools.records import Dataset
from annotools.scenes.world import SCENE_CATEGORIES
from annotools.weak_labels.weaken import weaken
from tests.wsps.pseudo_label_runs import make_world
from wsps.commands import predict, train
from wsps.detections import Detections
from wsps.labelled_photos import make_example
from wsps.networks.model import PanopticModel, build_model
from wsps.recipe import DescentSettings, InstanceSettings, Recipe, ViewSettings
from wsps.students import predict_batch
from wsps.training.finished_runs import load_model
from wsps.training.stages import train_instance, view_batches

QUICK = (
    *("--set", "descent.batch_size=2", "--set", "views.crop_size_wh=[64, 64]"),
    *("--set", "semantic.steps=30", "--set", "detector.steps=1", "--set", "instance.steps=2"),
)


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command.app, [str(argument) for argument in arguments])


def run_well(command: Any, *arguments: object) -> str:
    done = run(command, *arguments)
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def error_of(command: Any, *arguments: object) -> str:
    error = run(command, *arguments).exception
    assert isinstance(error, AnnotationError)
    assert "\n" not in str(error)
    return str(error)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def write_true_boxes(path: Path, dataset: Dataset) -> Path:
    """What a detector without fault finds, and a box that no image has."""
    found: list[dict[str, Any]] = []
    for image in dataset.images:
        label = dataset.read_label(image)
        for box in weaken(label, dataset.categories, "boxes", None).boxes:
            x0, y0, x1, y1 = box.box_xyxy
            given = {"image_id": image.image_id, "category_id": box.category_id}
            found.append(given | {"bbox": [x0, y0, x1 - x0, y1 - y0], "score": 1.0})
    assert found
    path.write_text(json.dumps([*found, found[0] | {"image_id": 999}]))
    return path


@dataclass(frozen=True, kw_only=True)
class Place:
    """Full labels of scenes, true boxes of both splits, and a run that was trained on the boxes."""

    folder: Path
    world: Path
    train_boxes: Path
    val_boxes: Path
    val: Dataset

    @property
    def training(self) -> tuple[object, ...]:
        photos = ("--photos", self.world, "--format", "scenes")
        return ("--labels", self.folder / "labels", *photos, *QUICK)

    @property
    def photos(self) -> tuple[object, ...]:
        return (self.world, "--format", "scenes")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("given")
    world = make_world(folder)
    photos = ("--format", "scenes", "--split", "train")
    run_well(annotools.cli, "convert", world, *photos, "--to", "full", "--out", folder / "labels")
    source = Source(format_name="scenes", root=world, split="train")
    val = open_source(replace(source, split="val"))
    found = Place(
        folder=folder,
        world=world,
        train_boxes=write_true_boxes(folder / "train-boxes.json", open_source(source)),
        val_boxes=write_true_boxes(folder / "val-boxes.json", val),
        val=val,
    )
    text = run_well(
        train, *found.training, "--detections", found.train_boxes, "--out", folder / "run"
    )
    assert "note: train-boxes.json: 1 times a result is of another image and is left out" in text
    assert "PHOTOS --detections FILE.json --out DIR" in text
    assert "no detector was trained" not in text
    return found


def test_no_detector_is_trained_and_the_run_says_so(place: Place) -> None:
    out = place.folder / "run"
    assert sorted(path.name for path in out.glob("*.pt")) == ["instance.pt", "semantic.pt"]
    manifest = read_json(out / "manifest.json")
    assert len(manifest["detections"]) == 64
    steps = {name: end and end["steps"] for name, end in manifest["stages"].items()}
    assert steps == {"semantic": 30, "detector": None, "instance": 2}
    assert load_model(out).detector is None


def test_predicted_things_are_the_detections_that_were_given(place: Place, tmp_path: Path) -> None:
    out, given = tmp_path / "out", ("--detections", place.val_boxes)
    told = run_well(predict, place.folder / "run", *place.photos, *given, "--out", out)
    assert "note: val-boxes.json: 1 times a result is of another image and is left out" in told
    boxes_of: dict[int, list[Any]] = {}
    for found in read_json(place.val_boxes):
        boxes_of.setdefault(found["image_id"], []).append(found)
    content = read_json(out / "panoptic.json")
    assert len(content["annotations"]) == len(place.val.images)
    scores = []
    for entry in content["annotations"]:
        things = [x for x in entry["segments_info"] if is_thing(place, x["category_id"])]
        scores += [thing["score"] for thing in things]
        # Each detection is at most one thing, of its category.
        listed = [found["category_id"] for found in boxes_of[entry["image_id"]]]
        for thing in things:
            listed.remove(thing["category_id"])
    assert set(scores) == {1.0}
    assert read_json(out / "manifest.json")["detections"]
    # Repeated nothing is done; with other detections the folder is refused.
    again = run_well(predict, place.folder / "run", *place.photos, *given, "--out", out)
    assert "2 were done by an earlier run" in again
    other = tmp_path / "other.json"
    other.write_text("[]")
    assert "different detections" in error_of(
        *(predict, place.folder / "run", *place.photos, "--detections", other, "--out", out)
    )


def is_thing(place: Place, category_id: int) -> bool:
    index = place.val.categories.class_index_of[category_id]
    return place.val.categories.categories[index].is_thing


def test_a_file_replaces_the_detector_of_a_run_that_has_one(place: Place, tmp_path: Path) -> None:
    run_well(train, *place.training, "--out", tmp_path / "run")
    model = load_model(tmp_path / "run")
    assert model.detector is not None
    assert "detections" not in read_json(tmp_path / "run/manifest.json")
    nothing = tmp_path / "nothing.json"
    nothing.write_text("[]")
    given = ("--detections", nothing, "--out", tmp_path / "out")
    run_well(predict, tmp_path / "run", *place.photos, *given)
    entries = read_json(tmp_path / "out/panoptic.json")["annotations"]
    infos = [info for entry in entries for info in entry["segments_info"]]
    assert infos
    assert not any(is_thing(place, info["category_id"]) for info in infos)
    # A run without a detector starts from one that has, and the other way round.
    for start, out, more in (
        (tmp_path / "run", tmp_path / "a", ("--detections", place.train_boxes)),
        (place.folder / "run", tmp_path / "b", ()),
    ):
        run_well(train, *place.training, *more, "--start-from", start, "--out", out)
        taken = read_json(out / "manifest.json")["began"]["taken"]
        assert set(taken) == {"semantic", "instance"}


@pytest.mark.usefixtures("on_the_cpu")
def test_loaders_and_tensorboard_change_nothing_where_detections_are_given(
    place: Place, tmp_path: Path
) -> None:
    given, board = ("--detections", place.train_boxes), ("--tensorboard", tmp_path / "board")
    for name, more in (("a", ("--loaders", 0)), ("b", ("--loaders", 2, *board))):
        run_well(train, *place.training, *given, "--out", tmp_path / name, *more)
    manifests = [read_json(tmp_path / name / "manifest.json") for name in "ab"]
    assert manifests[0] == manifests[1]


def test_what_is_wrong_is_one_line_and_leaves_nothing_behind(place: Place, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    asked = (predict, place.folder / "run", *place.photos, *out)
    missing = error_of(*asked)
    assert missing.startswith(f"{place.folder / 'run'}: has no detector, because it was trained on")
    assert "give --detections" in missing
    bad = tmp_path / "bad.json"
    (found, *_) = read_json(place.val_boxes)
    for content, message in (
        ({}, "bad.json: is not a list of results"),
        ([found | {"category_id": 99}], "bad.json: results[0]: category_id 99 is not in the"),
        ([found | {"image_id": 99}], "bad.json: none of its 1 detections is of a photo that is"),
    ):
        bad.write_text(json.dumps(content))
        given = ("--detections", bad)
        assert message in error_of(*asked, *given)
        assert message in error_of(train, *place.training, *given, *out)
    assert "absent.json: cannot be read" in error_of(
        *asked, "--detections", bad.with_stem("absent")
    )
    other = (*place.training, *("--detections", place.val_boxes), "--out", place.folder / "run")
    assert run(train, *other).exit_code == 1
    assert not (tmp_path / "out").exists()
    # No output replaces the file.
    done = run(*asked, "--detections", place.val_boxes, "--json", place.val_boxes)
    assert done.exit_code == 2


def note_detections(model: PanopticModel) -> list[list[Detections]]:
    """What the instance subnetwork is given each time from now on."""
    seen: list[list[Detections]] = []
    forward = model.instance.forward

    def note(*arguments: Any) -> Any:
        seen.append(arguments[3])
        return forward(*arguments)

    model.instance.forward = note  # type: ignore[method-assign]
    return seen


def test_given_detections_are_reduced_with_the_photo_and_the_best_are_taken() -> None:
    recipe = Recipe()
    recipe = replace(
        recipe,
        images=replace(recipe.images, max_side=32),
        instance=replace(recipe.instance, max_detections=1),
    )
    model = build_model(recipe, SCENE_CATEGORIES, 0, torch.device("cpu"), has_detector=False)
    seen = note_detections(model)
    given = Detections(
        boxes_xyxy=torch.tensor([[10.0, 4, 30, 20], [0, 0, 9, 9]]),
        class_indices=torch.tensor([SCENE_CATEGORIES.thing_indices[0]] * 2),
        scores=torch.tensor([0.75, 0.5]),
    )
    photo = np.zeros((32, 64, 3), dtype=np.uint8)
    predict_batch(model, [photo, photo], [1, 2], [given, Detections()])
    (found,) = seen
    assert [len(one) for one in found] == [1, 0]
    assert found[0].boxes_xyxy.tolist() == [[5, 2, 15, 10]]
    assert found[0].scores.tolist() == [0.75]


def test_the_instance_stage_learns_from_the_best_detections_of_each_view(place: Place) -> None:
    recipe = Recipe(
        descent=DescentSettings(batch_size=2),
        views=ViewSettings(crop_size_wh=(64, 64), scale_range=(1, 1)),
        instance=InstanceSettings(steps=2, learning_rate=1e-3, max_detections=2),
    )
    image = place.val.images[0]
    example = make_example(
        place.val.read_photo(image), place.val.read_label(image), (), place.val.categories
    )
    given = Detections(
        boxes_xyxy=torch.tensor([[0.0, 0, 30, 64], [20, 0, 40, 64], [30, 0, 64, 64]]),
        class_indices=torch.tensor([SCENE_CATEGORIES.thing_indices[0]] * 3),
        scores=torch.tensor([0.9, 0.8, 0.7]),
    )
    losses = []
    for found in (given, Detections()):
        model = build_model(recipe, SCENE_CATEGORIES, 0, torch.device("cpu"), has_detector=False)
        seen = note_detections(model)
        examples = [[replace(example, detections=found)]]
        course = train_instance(model, view_batches(examples, recipe, 0, "instance"))
        losses.append(course.losses)
        offered = [one.scores.tolist() for batch in seen for one in batch]
        assert offered == [pytest.approx(found.scores[:2].tolist())] * 4
    assert losses[0] != losses[1]
