from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from annotools.errors import DatasetError, RecipeError
from annotools.files import write_json
from annotools.formats.panoptic_folder import write_label, write_label_set
from annotools.formats.source import Source, open_source
from annotools.formats.weak_json import write_boxes
from annotools.records import Image
from annotools.weak_labels.weaken import weaken
from wsps.networks.model import build_model
from wsps.recipe import (
    BackboneSettings,
    DescentSettings,
    InstanceSettings,
    Recipe,
    StageSettings,
    ViewSettings,
)
from wsps.training import train as training
from wsps.training.checkpoints import store_weights
from wsps.training.train import load_model, train

ONE_STEP = StageSettings(steps=1, learning_rate=1e-3)
RECIPE = Recipe(
    descent=DescentSettings(batch_size=2),
    views=ViewSettings(crop_size_wh=(64, 64)),
    semantic=ONE_STEP,
    detector=ONE_STEP,
    instance=InstanceSettings(steps=1, learning_rate=1e-3),
)
CPU = torch.device("cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Source:
    world = tmp_path / "world.toml"
    world.write_text("width = 64\nheight = 64\nnum_train = 4\nnum_val = 1\n")
    return Source(format_name="scenes", root=world, split="train")


def write_labels(
    folder: Path, photos: Source, kinds: Mapping[int, str], round_number: int = 0
) -> Path:
    """A label set of these images; the annotators of tags were not asked for boxes."""
    dataset = open_source(photos)
    images = [image for image in dataset.images if image.image_id in kinds]

    def boxes_of(image: Image) -> tuple[Any, ...]:
        return weaken(dataset.read_label(image), dataset.categories, "boxes", None).boxes

    entries = [
        (image, write_label(folder, f"{image.image_id}", image, dataset.read_label(image)))
        for image in images
    ]
    write_label_set(folder, dataset.categories, entries)
    boxed = [(i, boxes_of(i)) for i in images if kinds[int(i.image_id)] != "tags"]
    write_boxes(folder, dataset, boxed)
    listed = [{"image_id": i, "kind": kind} for i, kind in kinds.items()]
    write_json(folder / "manifest.json", {"labels": listed, "round": round_number})
    return folder


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
    networks = {"semantic.pt", "detector.pt", "instance.pt"}
    assert files == {".state", "manifest.json", "instance.csv", *networks}
    first, *rows = (tmp_path / "run-asked/instance.csv").read_text().splitlines()
    names = ["box_weight", "global_weight", "gaussian_weight", "bilateral_weight"]
    assert first.split(",") == ["step", *names, "loss"]
    assert rows[0].startswith("0,1,1,3,4,")
    assert len(rows) == RECIPE.instance.steps + 1
    assert [float(x) for x in rows[-1].split(",")[1:5]] == pytest.approx(
        model.instance.weights().tolist(), rel=1e-5
    )
    assert rows[-1].endswith(",")


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("stage", ["train_semantic", "train_detector", "train_instance"])
def test_a_run_that_was_stopped_goes_on_with_its_stage(
    photos: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    labels = write_labels(tmp_path / "labels", photos, {0: "full", 1: "boxes"})
    whole, out = tmp_path / "whole", tmp_path / "out"
    train([labels], photos, RECIPE, 0, whole)
    with monkeypatch.context() as stopped:

        def stop(*arguments: object) -> None:
            raise KeyboardInterrupt

        stopped.setattr(training, stage, stop)
        with pytest.raises(KeyboardInterrupt):
            train([labels], photos, RECIPE, 0, out)
    assert not (out / "manifest.json").exists()
    done = {path.name: path.stat().st_mtime_ns for path in out.glob("*.pt")}
    train([labels], photos, RECIPE, 0, out)
    assert all((out / name).stat().st_mtime_ns == when for name, when in done.items())
    one, other = load_model(whole), load_model(out)
    for network in ("semantic", "detector", "instance"):
        assert torch.equal(*[weights_of(getattr(model, network)) for model in (one, other)])


def test_labels_of_a_round_go_on_with_the_network_of_the_round_before(
    photos: Source, tmp_path: Path
) -> None:
    labels = write_labels(tmp_path / "labels", photos, {0: "tags", 1: "tags"}, round_number=1)
    recipe = replace(RECIPE, semantic=replace(ONE_STEP, steps=0))
    categories = open_source(photos).categories
    network = build_model(recipe, categories, 5, CPU).semantic
    store_weights(labels / "rounds/0/network.pt", "key", lambda: network)
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
