from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from annotools.errors import DatasetError
from tests.wsps.pseudo_label_runs import (
    QUICK,
    contents,
    counted,
    make_world,
    run,
    run_well,
    stop_at,
    write_allocation,
)
from wsps.pseudo_labels import batches, label_images, label_store, rounds

ONE_ROUND = (
    *QUICK,
    *("--set", "semantic.steps=2", "--set", "views.crop_size_wh=[64, 64]", "--rounds", 1),
    *("--set", "refinement.min_score=0", "--set", "refinement.crf.iterations=1"),
    *("--val-split", "val"),
)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return make_world(tmp_path)


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go the way of a GPU, on the processor."""
    monkeypatch.setattr(rounds, "has_gpu", lambda: True)


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_label_as_images_alone(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    kinds = {0: "boxes+tags", 1: "boxes+tags", 2: "tags", 3: "full"}
    plan = write_allocation(tmp_path / "plan.json", kinds, crop_size_wh=[32, 32])
    alone, together = tmp_path / "alone", tmp_path / "together"
    run_well(world, plan, alone, *ONE_ROUND)
    monkeypatch.setattr(rounds, "has_gpu", lambda: True)
    made = counted(monkeypatch, label_store, "label_from_boxes")
    looked = counted(monkeypatch, label_images, "class_probabilities")
    run_well(world, plan, together, *ONE_ROUND, "--workers", threads)
    assert len(made) == 2
    assert [len(photos) for _, photos, *_ in looked] == [3]
    before, after = contents(alone), contents(together)
    assert before.keys() == after.keys()
    maps = [name for name in before if name.endswith(".png")]
    assert len(maps) == 2 * 3 * 4
    assert [name for name in maps if before[name] != after[name]] == []


@pytest.mark.usefixtures("on_the_cpu", "as_on_a_gpu")
def test_a_run_in_batches_that_was_stopped_goes_on(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    run_well(world, "boxes+tags", whole, *ONE_ROUND, "--workers", 2)
    with monkeypatch.context() as full_disk:
        stop_at(full_disk, 6)
        done = run(world, "boxes+tags", out, *ONE_ROUND, "--workers", 2)
        assert isinstance(done.exception, OSError)
    assert run_well(world, "boxes+tags", out, *ONE_ROUND, "--workers", 2)["resumed"] >= 4
    assert contents(out) == contents(whole)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_labels_from_boxes_that_others_keep_are_not_made_again(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = counted(monkeypatch, rounds, "keep_box_labels")
    kept = ("--box-labels", tmp_path / "kept", "--workers", 2)
    for name in ("first", "second"):
        run_well(world, "boxes+tags", tmp_path / name, *QUICK, *kept)
    assert [len(pairs) for pairs, _ in asked] == [4, 0]


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_photo_that_cannot_be_read_ahead_is_named(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, task: Any) -> None:
        raise DatasetError(f"{task.name}: photo is cut off")

    monkeypatch.setattr(label_images.ImageLabeller, "read", fail)
    done = run(world, "tags", tmp_path / "out", *QUICK, "--workers", 2)
    assert isinstance(done.exception, DatasetError)
    assert str(done.exception) == "train_000000: photo is cut off"


def batch_sizes(sizes_hw: list[tuple[int, int] | None], max_side: int | None) -> list[int]:
    """How many photos come together; None is an image that needs no network."""

    def images() -> Iterator[Any]:
        for size in sizes_hw:
            photo = None if size is None else np.zeros((*size, 3), np.uint8)
            yield SimpleNamespace(photo=photo, bought=SimpleNamespace(crops=()))

    recipe = SimpleNamespace(images=SimpleNamespace(max_side=max_side, min_side=None))
    labeller: Any = SimpleNamespace(
        request=SimpleNamespace(recipe=recipe),
        needs_network=lambda image: image.photo is not None,
    )
    return [len(batch) for batch in batches.form_batches(labeller, images(), num_classes=2)]


def test_a_batch_has_one_size_and_bounded_pixels_and_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "MAX_PIXELS", 300)
    wide, tall = (10, 20), (20, 10)
    # An image without a network comes at once and ends no batch.
    assert batch_sizes([(10, 10)] * 4 + [None, (10, 10)], None) == [3, 1, 2]
    assert batch_sizes([(10, 10), wide, wide, tall], None) == [1, 1, 1, 1]
    # Half the side is a quarter of the pixels.
    assert batch_sizes([wide, wide, wide, wide, tall], 10) == [4, 1]
    assert batch_sizes([(100, 100)] * 2, None) == [1, 1]
    assert batch_sizes([], None) == []
    monkeypatch.setattr(batches, "MAX_VALUES", 400)
    assert batch_sizes([(10, 10)] * 4, None) == [2, 2]
