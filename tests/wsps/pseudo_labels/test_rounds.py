from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from annotools.commands import draw as draw_cli
from annotools.errors import DatasetError, RecipeError
from annotools.formats import read_dataset
from annotools.label_maps import class_map
from tests.wsps.pseudo_label_runs import (
    QUICK,
    contents,
    counted,
    make_world,
    read_json,
    read_maps,
    run,
    run_well,
    stop_at,
    write_allocation,
)
from wsps.pseudo_labels import label_store
from wsps.training import stages as training
from wsps.training.course import Course

TWO_STEPS = (
    *QUICK,
    *("--set", "semantic.steps=2", "--set", "views.crop_size_wh=[64, 64]"),
    *("--set", "refinement.min_score=0", "--set", "refinement.crf.iterations=1"),
)
ROUND = (*TWO_STEPS, "--rounds", 1)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return make_world(tmp_path)


def test_each_kind_goes_through_the_rounds(world: Path, tmp_path: Path) -> None:
    kinds = {0: "full", 1: "boxes", 2: "tags", 3: "none"}
    labels = write_allocation(tmp_path / "plan.json", kinds, crop_size_wh=[32, 32])
    out = tmp_path / "out"
    content = run_well(world, labels, out, *TWO_STEPS, "--rounds", 2)
    folders = [out / "rounds/0", out / "rounds/1", out]
    assert [read_json(folder / "manifest.json")["round"] for folder in folders] == [0, 1, 2]
    assert read_json(out / "rounds/0/manifest.json")["images"]["without a label"] == 1
    labelled = [read_dataset("coco-panoptic", folder, "photos").images for folder in folders]
    assert [[image.image_id for image in images] for images in labelled] == [
        [0, 1, 2],
        *[[0, 1, 2, 3]] * 2,
    ]
    assert content["images"]["labelled"] == 3
    # PNGs, three JSON files a round, two networks and the quality.
    assert len(contents(out)) == 3 * (3 + 4 + 4) + 3 * 3 + 2 + 1
    dataset = read_dataset("scenes", world, "train")
    full = class_map(dataset.read_label(dataset.images[0]), dataset.categories)
    for folder in folders:
        np.testing.assert_array_equal(read_maps(folder, "train_000000")[0], full)
    # Without boxes and tags every pixel is what the network says.
    assert (read_maps(out, "train_000003")[0] < len(dataset.categories)).all()
    assert not read_maps(out, "train_000003")[1].any()
    assert [sorted(found["kinds"]) for found in content["rounds"]] == [
        ["boxes", "tags"],
        *[["boxes", "none", "tags"]] * 2,
    ]
    assert content["rounds"][2]["kinds"] == content["kinds"]


@pytest.mark.usefixtures("on_the_cpu")
def test_the_first_labels_are_those_without_rounds(world: Path, tmp_path: Path) -> None:
    run_well(world, "boxes+tags", tmp_path / "without", *TWO_STEPS)
    run_well(world, "boxes+tags", tmp_path / "with", *ROUND)
    before, after = contents(tmp_path / "without"), contents(tmp_path / "with")
    maps = {name for name in before if name.endswith(".png")}
    assert len(maps) == 12
    assert all(after[f"rounds/0/{name}"] == before[name] for name in maps)
    assert any(after[name] != before[name] for name in maps)


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("number", [2, 6])
def test_a_run_that_was_stopped_goes_on(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    run_well(world, "boxes", whole, *ROUND)
    with monkeypatch.context() as full_disk:
        stop_at(full_disk, number)
        assert isinstance(run(world, "boxes", out, *ROUND).exception, OSError)
    assert not (out / "manifest.json").exists()
    trained = counted(monkeypatch, training, "train_semantic")
    assert run_well(world, "boxes", out, *ROUND)["resumed"] == number - 1
    assert len(trained) == (0 if number > 4 else 1)
    assert contents(out) == contents(whole)


def test_a_network_whose_training_was_stopped_is_trained_and_no_other(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rounds = tmp_path / "out", (*TWO_STEPS, "--rounds", 2)
    train, trained = training.train_semantic, []

    def stop_second(*arguments: Any) -> Course:
        trained.append(arguments[4])
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(training, "train_semantic", stop_second)
    assert run(world, "boxes", out, *rounds).exit_code != 0
    assert [path.parent.name for path in out.rglob("network.pt")] == ["0"]
    assert run_well(world, "boxes", out, *rounds)["resumed"] == 8
    assert trained == [0, 1, 1]


def test_a_finished_run_does_nothing_again(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    from_boxes = counted(monkeypatch, label_store, "label_from_boxes")
    trained = counted(monkeypatch, training, "train_semantic")
    run_well(world, "boxes", out, *ROUND)
    before, network = contents(out), (out / "rounds/0/network.pt").read_bytes()
    assert (len(from_boxes), len(trained)) == (4, 1)
    assert run_well(world, "boxes", out, *ROUND)["resumed"] == 8
    assert (len(from_boxes), len(trained)) == (4, 1)
    (out / "rounds/0/network.pt").write_bytes(network[:100])
    assert run_well(world, "boxes", out, *ROUND)["resumed"] == 8
    assert len(trained) == 2
    world.write_text(world.read_text() + "noise = 7\n")
    assert run_well(world, "boxes", out, *ROUND)["resumed"] == 0
    assert len(trained) == 3
    assert contents(out) != before


def test_a_worker_loads_the_network_of_a_round(world: Path, tmp_path: Path) -> None:
    out, one_image = tmp_path / "out", (*ROUND, "--max-images", 1)
    run_well(world, "boxes", out, *one_image)
    before = contents(out)
    (out / "panoptic/train_000000.png").unlink()
    assert run_well(world, "boxes", out, *one_image, "--workers", 2)["resumed"] == 1
    assert contents(out) == before


def test_the_option_replaces_the_recipes_rounds(world: Path, tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text('[recipe]\ninherit = "small"\nrefinement = { rounds = 1 }\n')
    recipe = ("--recipe", study, *TWO_STEPS)
    assert len(run_well(world, "boxes", tmp_path / "a", *recipe)["rounds"]) == 2
    assert len(run_well(world, "boxes", tmp_path / "b", *recipe, "--rounds", 0)["rounds"]) == 1
    assert not (tmp_path / "b/rounds").exists()
    done = run(world, "boxes", tmp_path / "c", "--rounds", -1)
    assert done.exit_code == 2
    done = run(world, "boxes", tmp_path / "c", "--set", "refinement.rounds=-1")
    assert isinstance(done.exception, RecipeError)
    wrong = (*ROUND, "--set", "backbone.name=vgg")
    assert isinstance(run(world, "boxes", tmp_path / "c", *wrong).exception, RecipeError)
    assert not (tmp_path / "c").exists()


def test_other_rounds_are_refused_or_started_over(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_well(world, "boxes", out, *ROUND)
    half = out / "rounds/0/panoptic/.train_000001.png.77"
    half.write_text("half a map")
    refused = run(world, "boxes", out, *TWO_STEPS)
    assert "different number of rounds" in str(refused.exception)
    (out / "rounds/0/notes.txt").write_text("mine")
    refused = run(world, "boxes", out, *TWO_STEPS, "--overwrite")
    assert isinstance(refused.exception, DatasetError)
    assert "holds 'rounds/0/notes.txt'" in str(refused.exception)
    (out / "rounds/0/notes.txt").unlink()
    run_well(world, "boxes", out, *ROUND)
    assert not half.exists()
    run_well(world, "boxes", out, *TWO_STEPS, "--overwrite")
    assert {path.name for path in out.iterdir()} == {
        ".state",
        "panoptic",
        "semantic",
        "instances",
        "boxes.json",
        "panoptic.json",
        "manifest.json",
        "quality.json",
    }


def test_each_round_has_a_line_and_can_be_drawn(world: Path, tmp_path: Path) -> None:
    kinds = {0: "full", 1: "boxes", 2: "none"}
    labels = write_allocation(tmp_path / "plan.json", kinds, crop_size_wh=[32, 32])
    out = tmp_path / "out"
    done = run(world, labels, out, *ROUND)
    first, last = (found["kinds"] for found in read_json(out / "quality.json")["rounds"])

    def rate(kinds: Any, kind: str, name: str) -> str:
        (row,) = (row for row in kinds[kind]["rows"] if row["kind"] == "all")
        return f"{100 * row[name]:.1f}"

    names = ("precision", "recall", "coverage")
    pairs = [(rate(first, "boxes", name), rate(last, "boxes", name)) for name in names]
    shown = [f"{name} {a} -> {b} %" for name, (a, b) in zip(names, pairs, strict=True)]
    lines = done.stdout.splitlines()
    assert f"round 1, boxes: {', '.join(shown)}" in lines
    shown = [f"{name} {rate(last, 'none', name)} %" for name in names]
    assert f"round 1, none: {', '.join(shown)}" in lines
    for folder in (out, out / "rounds/0"):
        sheet = tmp_path / "sheet.png"
        given = [world, "--format", "scenes", "--pseudo-labels", folder, "--out", sheet]
        drawn = CliRunner().invoke(draw_cli.app, [str(argument) for argument in given])
        assert drawn.exit_code == 0, drawn.output
        assert sheet.stat().st_size > 0
        sheet.unlink()
