import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from annotools.errors import DatasetError, RecipeError, StoppedError
from annotools.files import digest
from annotools.formats.source import Source, open_source
from tests.wsps.lessons import write_labels
from wsps.networks.model import build_model
from wsps.prediction import see
from wsps.recipe import (
    BackboneSettings,
    DescentSettings,
    InstanceSettings,
    Recipe,
    SemanticSettings,
    StageSettings,
    ViewSettings,
)
from wsps.students import STUDENTS, predict
from wsps.training import stages
from wsps.training import train as train_module
from wsps.training.checkpoints import store_weights
from wsps.training.finished_runs import load_model, read_summary, trained_stages
from wsps.training.train import train

ONE_STEP = StageSettings(steps=1, learning_rate=1e-3)
RECIPE = Recipe(
    descent=DescentSettings(batch_size=2),
    views=ViewSettings(crop_size_wh=(64, 64)),
    semantic=SemanticSettings(steps=1, learning_rate=1e-3),
    detector=ONE_STEP,
    instance=InstanceSettings(steps=1, learning_rate=1e-3),
)
CPU = torch.device("cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Source:
    world = tmp_path / "world.toml"
    world.write_text("width = 64\nheight = 64\nnum_train = 4\nnum_val = 1\n")
    return Source(format_name="scenes", root=world, split="train")


def weights_of(module: torch.nn.Module) -> Tensor:
    return torch.cat([values.detach().flatten().float() for values in module.state_dict().values()])


def test_the_detector_learns_where_somebody_was_asked_for_boxes(
    photos: Source, tmp_path: Path
) -> None:
    categories = open_source(photos).categories
    untrained = build_model(RECIPE, categories, 0, CPU)
    detectors = []
    for name, kinds in (("unasked", {0: "tags", 1: "tags"}), ("asked", {0: "tags", 1: "boxes"})):
        labels = write_labels(tmp_path / name, photos, kinds)
        train([labels], photos, RECIPE, 0, tmp_path / f"run-{name}")
        model = load_model(tmp_path / f"run-{name}")
        detectors.append(weights_of(model.detector.cpu()))
        assert not torch.equal(weights_of(model.semantic.cpu()), weights_of(untrained.semantic))
    assert torch.equal(detectors[0], weights_of(untrained.detector))
    assert not torch.equal(detectors[1], detectors[0])
    assert detectors[1].isfinite().all()
    files = {path.name for path in (tmp_path / "run-asked").iterdir()}
    stages = {"semantic", "detector", "instance"}
    written = {f"{stage}.{suffix}" for stage in stages for suffix in ("pt", "csv")}
    assert files == {".state", "manifest.json", *written}
    first, *rows = (tmp_path / "run-asked/instance.csv").read_text().splitlines()
    names = ["box_weight", "global_weight", "gaussian_weight", "bilateral_weight"]
    assert first.split(",") == ["step", "learning_rate", "loss", *names]
    assert rows[0].startswith("0,0.001,")
    assert rows[0].endswith(",1,1,3,4")
    assert len(rows) == RECIPE.instance.steps + 1
    assert [float(x) for x in rows[-1].split(",")[3:]] == pytest.approx(
        model.instance.weights().tolist(), rel=1e-5
    )
    assert rows[-1].startswith("1,,,")
    lines = (tmp_path / "run-asked/semantic.csv").read_text().splitlines()
    assert lines[0] == "step,learning_rate,loss"
    assert [line.split(",")[0] for line in lines[1:]] == ["0"]


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize(
    ("student", "stage"),
    [
        *(("li2018", f"train_{stage}") for stage in ("semantic", "detector", "instance")),
        ("mask-rcnn", "train_detector"),
    ],
)
def test_a_run_that_was_stopped_goes_on_with_its_stage(
    photos: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, student: str, stage: str
) -> None:
    labels = write_labels(tmp_path / "labels", photos, {0: "full", 1: "boxes"})
    whole, out = tmp_path / "whole", tmp_path / "out"
    train([labels], photos, RECIPE, 0, whole, student=student)
    with monkeypatch.context() as stopped:

        def stop(*arguments: object) -> None:
            raise KeyboardInterrupt

        stopped.setattr(stages, stage, stop)
        with pytest.raises(KeyboardInterrupt):
            train([labels], photos, RECIPE, 0, out, student=student)
    assert not (out / "manifest.json").exists()
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pt")}
    train([labels], photos, RECIPE, 0, out, student=student)
    assert all((out / name).stat().st_mtime_ns == when for name, when in done.items())
    one, other = load_model(whole), load_model(out)
    for network in ("semantic", "detector", "instance")[: 3 if student == "li2018" else 2]:
        assert torch.equal(*[weights_of(getattr(model, network)) for model in (one, other)])


@pytest.mark.parametrize("place", ["labels", "labels/rounds/1"])
def test_labels_of_a_round_go_on_with_the_network_of_the_round_before(
    photos: Source, tmp_path: Path, place: str
) -> None:
    """The last labels of a run lie in its folder, those of other rounds beside each other."""
    labels = write_labels(tmp_path / place, photos, {0: "tags", 1: "tags"}, round_number=1)
    recipe = replace(RECIPE, semantic=replace(RECIPE.semantic, steps=0))
    categories = open_source(photos).categories
    network = build_model(recipe, categories, 5, CPU).semantic
    store_weights(tmp_path / "labels/rounds/0/network.pt", "key", lambda _: network)
    train([labels], photos, recipe, 0, tmp_path / "run")
    assert torch.equal(weights_of(load_model(tmp_path / "run").semantic.cpu()), weights_of(network))


def test_other_labels_or_settings_are_refused(photos: Source, tmp_path: Path) -> None:
    labels, out = write_labels(tmp_path / "labels", photos, {0: "tags"}), tmp_path / "run"
    train([labels], photos, RECIPE, 0, out)
    with pytest.raises(DatasetError, match="annotools train with different seed"):
        train([labels], photos, RECIPE, 1, out)
    write_labels(labels, photos, {1: "tags"})
    with pytest.raises(DatasetError, match="annotools train with different labels"):
        train([labels], photos, RECIPE, 0, out)


def test_no_stage_goes_on_where_training_has_changed(
    photos: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, out = write_labels(tmp_path / "labels", photos, {0: "tags"}), tmp_path / "run"
    train([labels], photos, RECIPE, 0, out)
    monkeypatch.setattr(train_module, "TRAINING_VERSION", 10**6)
    with pytest.raises(DatasetError, match="annotools train with different version of training"):
        train([labels], photos, RECIPE, 0, out)
    # A finished run of before is read all the same.
    assert load_model(out).student == "li2018"


def test_nothing_to_train_on_and_unknown_names_are_errors(photos: Source, tmp_path: Path) -> None:
    nothing = write_labels(tmp_path / "nothing", photos, {})
    with pytest.raises(DatasetError, match="no image has a label"):
        train([nothing], photos, RECIPE, 0, tmp_path / "run")
    labels = write_labels(tmp_path / "labels", photos, {0: "tags"})
    wrong = replace(RECIPE, backbone=BackboneSettings(name="vgg"))
    with pytest.raises(RecipeError, match="unknown"):
        train([labels], photos, wrong, 0, tmp_path / "run")
    with pytest.raises(RecipeError, match="unknown"):
        DescentSettings(optimizer="lion")
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_finished_model_is_named(photos: Source, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"manifest\.json: cannot be read"):
        load_model(tmp_path)
    labels = write_labels(tmp_path / "labels", photos, {0: "tags"})
    with pytest.raises(DatasetError, match="give the folder of a trained run"):
        load_model(labels)


@pytest.mark.usefixtures("on_the_cpu")
def test_a_run_goes_on_from_another_one(photos: Source, tmp_path: Path) -> None:
    labels = write_labels(tmp_path / "labels", photos, {0: "full", 1: "boxes"})
    start, out = tmp_path / "start", tmp_path / "out"
    train([labels], photos, RECIPE, 0, start)
    still = StageSettings(steps=0, learning_rate=1e-3)
    instance = InstanceSettings(steps=0, learning_rate=1e-3)
    recipe = replace(
        RECIPE, semantic=replace(RECIPE.semantic, steps=0), detector=still, instance=instance
    )
    train([labels], photos, recipe, 1, out, start=start)
    one, other = load_model(start), load_model(out)
    for network in ("semantic", "detector", "instance"):
        assert torch.equal(*[weights_of(getattr(model, network)) for model in (one, other)])
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["began"]["run"] == str(start)
    assert manifest["start"] == digest(json.loads((start / "manifest.json").read_text()))
    nothing = {"steps": 0, "loss": None, "steps_without_loss": 0, "converged": None}
    assert manifest["stages"]["semantic"] == nothing
    # Repeated as it was, nothing is trained again; from another run or none it is another training.
    train([labels], photos, recipe, 1, out, start=start)
    with pytest.raises(DatasetError, match="which is read: give --out elsewhere"):
        train([labels], photos, recipe, 1, out, start=out)


def test_a_run_without_a_detector_gives_its_backbone_to_the_new_one(
    photos: Source, tmp_path: Path
) -> None:
    tags = write_labels(tmp_path / "tags", photos, {0: "tags", 1: "tags"})
    boxes = write_labels(tmp_path / "boxes", photos, {0: "boxes"})
    train([tags], photos, RECIPE, 0, tmp_path / "start")
    still = StageSettings(steps=0, learning_rate=1e-3)
    recipe = replace(RECIPE, semantic=replace(RECIPE.semantic, steps=0), detector=still)
    train([boxes], photos, recipe, 1, tmp_path / "out", start=tmp_path / "start")
    detector = load_model(tmp_path / "out").detector
    backbone = load_model(tmp_path / "start").semantic.trunk.backbone
    assert torch.equal(weights_of(detector.network.backbone[0]), weights_of(backbone.layers))


def test_without_boxes_the_semantic_network_of_a_run_alone_is_taken(
    photos: Source, tmp_path: Path
) -> None:
    boxes = write_labels(tmp_path / "boxes", photos, {0: "boxes"})
    tags = write_labels(tmp_path / "tags", photos, {1: "tags"})
    train([boxes], photos, RECIPE, 0, tmp_path / "start")
    train([tags], photos, RECIPE, 0, tmp_path / "out", start=tmp_path / "start")
    assert list(read_summary(tmp_path / "out")["began"]["taken"]) == ["semantic"]
    assert trained_stages(tmp_path / "out", "li2018") == ["semantic"]


@pytest.mark.parametrize("student", list(STUDENTS))
def test_a_detector_that_nobody_taught_finds_nothing(
    photos: Source, tmp_path: Path, student: str
) -> None:
    # Of one class: each box of a network as the seed made it has a score of one half.
    cars = replace(photos, categories="car")
    tags = write_labels(tmp_path / "tags", cars, {0: "tags", 1: "tags"})
    train([tags], cars, RECIPE, 0, tmp_path / "run", student=student)
    model = load_model(tmp_path / "run")
    dataset = open_source(cars)
    photo = dataset.read_photo(dataset.images[0])
    assert len(see(replace(model, has_learnt_boxes=True), [photo]).detections[0]) > 0
    assert len(see(model, [photo]).detections[0]) == 0
    (car,) = [c.category_id for c in model.categories.categories if c.is_thing]
    assert car not in {s.category_id for s in predict(model, photo, 0).label.segments}


def test_other_photos_than_those_that_a_run_began_with_are_told(
    photos: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_labels(tmp_path / "labels", photos, {0: "full"})
    train([labels], photos, RECIPE, 0, tmp_path / "run")
    train([labels], photos, RECIPE, 0, tmp_path / "run")
    assert "other photos" not in capsys.readouterr().err
    # The labels are the same, the photos are not.
    photos.root.write_text(photos.root.read_text() + "noise = 9\n")
    train([labels], photos, RECIPE, 0, tmp_path / "run")
    told = f"{tmp_path / 'run'}: was trained on other photos: with --overwrite"
    assert told in capsys.readouterr().err
    train([labels], photos, RECIPE, 0, tmp_path / "run", overwrite=True)
    train([labels], photos, RECIPE, 0, tmp_path / "run")
    assert "other photos" not in capsys.readouterr().err


def test_a_run_that_was_stopped_goes_on_with_the_same_photos_alone(
    photos: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise StoppedError("stopped")

    labels, out = write_labels(tmp_path / "labels", photos, {0: "full"}), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(train_module, "write_manifest", stop)
        with pytest.raises(StoppedError):
            train([labels], photos, RECIPE, 0, out)
    first = (out / "semantic.pt").read_bytes()
    photos.root.write_text(photos.root.read_text() + "noise = 9\n")
    open_source.cache_clear()
    with pytest.raises(DatasetError, match="run: began with other photos: repeat it with those"):
        train([labels], photos, RECIPE, 0, out, overwrite=False)
    assert (out / "semantic.pt").read_bytes() == first
    # A trial of a study, whose photo was restored, begins anew.
    train([labels], photos, RECIPE, 0, out)
    assert (out / "semantic.pt").read_bytes() != first


def test_several_label_sets_are_trained_on_together(photos: Source, tmp_path: Path) -> None:
    full = write_labels(tmp_path / "full", photos, {0: "full", 3: "full"})
    weak = write_labels(tmp_path / "weak", photos, {1: "boxes"}, round_number=1)
    train([full, weak], photos, RECIPE, 0, tmp_path / "run")
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["images"] == {"boxes": 1, "full": 2}
    assert manifest["round"] == 1
    assert len(manifest["labels"]) == 2
    with pytest.raises(DatasetError, match="annotools train with different labels"):
        train([full], photos, RECIPE, 0, tmp_path / "run")


def change_manifest(run: Path, **changes: Any) -> None:
    content = json.loads((run / "manifest.json").read_text()) | changes
    kept = {key: value for key, value in content.items() if value != "absent"}
    (run / "manifest.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "absent"}, "recipe or prediction is missing or no table"),
        ({"prediction": 3}, "recipe or prediction is missing or no table"),
        ({"recipe": {"semantic": {"steps": -1}}}, "steps must be at least 0"),
        ({"recipe": {"semantics": {}}}, "unknown setting semantics"),
        ({"seed": "absent"}, "seed is missing or not a whole number"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"categories": "absent"}, "categories is missing or not a list"),
        ({"categories": []}, "0 categories"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_in_one_line(
    photos: Source, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    labels, run = write_labels(tmp_path / "labels", photos, {0: "tags"}), tmp_path / "run"
    none = SemanticSettings(steps=0, learning_rate=1e-3)
    train([labels], photos, replace(RECIPE, semantic=none), 0, run)
    change_manifest(run, **{"version of annotools": "9.9"}, **changes)
    with pytest.raises(DatasetError) as caught:
        load_model(run)
    text = str(caught.value)
    assert str(run / "manifest.json") in text
    assert message in text
    assert "trained by annotools 9.9, this is " in text
    assert "\n" not in text


def test_a_checkpoint_of_another_run_and_a_manifest_changed_by_hand_are_refused(
    photos: Source, tmp_path: Path
) -> None:
    labels = write_labels(tmp_path / "labels", photos, {0: "full"})
    for seed in (0, 1):
        train([labels], photos, RECIPE, seed, tmp_path / f"run{seed}")
    run, other = tmp_path / "run0", tmp_path / "run1"
    load_model(run)
    whole = (run / "instance.pt").read_bytes()
    (run / "instance.pt").write_bytes((other / "instance.pt").read_bytes())
    with pytest.raises(DatasetError, match=r"instance\.pt: is of another training"):
        load_model(run)
    (run / "instance.pt").write_bytes(whole)
    manifest = (run / "manifest.json").read_text()
    (run / "manifest.json").write_text(manifest.replace('"car"', '"cart"'))
    with pytest.raises(DatasetError, match=r"semantic\.pt: is of another training"):
        load_model(run)
