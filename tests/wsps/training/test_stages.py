import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from annotools.errors import DatasetError, RecipeError
from annotools.scenes.world import SCENE_CATEGORIES
from tests.wsps.lessons import RECIPE, full_examples
from wsps.data import Batch, TrainingExample
from wsps.detections import Detections
from wsps.networks.model import build_model
from wsps.prediction import predict_batch
from wsps.recipe import (
    BackboneSettings,
    DescentSettings,
    InstanceSettings,
    Recipe,
    SemanticSettings,
    StageSettings,
    ViewSettings,
)
from wsps.training import loop, stages
from wsps.training.batches import ViewBatches, draw, load_batches
from wsps.training.checkpoints import StoredNetwork
from wsps.training.loop import Running
from wsps.training.stages import (
    limited,
    train_detector,
    train_instance,
    train_semantic,
    view_batches,
)

CPU = torch.device("cpu")


def losses_of_a_run(seed: int, loaders: int = 0) -> tuple[tuple[float, ...], ...]:
    model = build_model(RECIPE, SCENE_CATEGORIES, seed, CPU)
    groups = [full_examples(4)]

    def batches(stage: str) -> ViewBatches:
        return view_batches(groups, RECIPE, seed, stage)

    return (
        train_semantic(
            model.semantic, groups, RECIPE, seed, 0, running=Running(loaders=loaders)
        ).losses,
        train_detector(model, batches("detector"), running=Running(loaders=loaders)).losses,
        train_instance(model, batches("instance"), running=Running(loaders=loaders)).losses,
    )


def test_a_toy_run_lowers_the_losses_and_repeats_with_its_seed():
    losses = losses_of_a_run(seed=0)
    for stage in losses[:2]:
        assert np.mean(stage[-4:]) < 0.8 * np.mean(stage[:4])
    assert np.isfinite(losses[2]).all()
    assert losses_of_a_run(seed=0) == losses
    assert losses_of_a_run(seed=0, loaders=2) == losses


def test_fine_tuning_leaves_the_detector_and_the_running_statistics_alone():
    model = build_model(RECIPE, SCENE_CATEGORIES, 0, CPU)
    networks = (model.semantic, model.detector, model.instance)
    before = [{k: v.clone() for k, v in n.state_dict().items()} for n in networks]
    train_instance(model, view_batches([full_examples(2)], RECIPE, 0, "instance"))
    changed = [
        {k for k, v in n.state_dict().items() if not torch.equal(v, old[k])}
        for n, old in zip(networks, before, strict=True)
    ]
    assert changed[1] == set()
    assert "classify.weight" in changed[0]
    assert not any("running" in name for name in changed[0])
    assert "global_weight" in changed[2]


def test_the_weights_of_the_subnetwork_are_learnt_ten_times_as_fast_and_do_not_decay():
    instance = InstanceSettings(steps=1, learning_rate=1e-3)
    descent = DescentSettings(batch_size=1, weight_decay=0.5)
    recipe = replace(RECIPE, instance=instance, descent=descent)
    model = build_model(recipe, SCENE_CATEGORIES, 0, CPU)
    before = [p.detach().clone() for p in model.instance.parameters()]
    course = train_instance(model, view_batches([full_examples(2)], recipe, 0, "instance"))
    # The first step of Adam is the learning rate, whatever the gradient.
    for weight, start in zip(model.instance.parameters(), before, strict=True):
        assert (weight - start).abs().item() == pytest.approx(1e-2, rel=0.05)
    assert len(course.losses) == 1
    assert course.watched.shape == (2, 4)
    torch.testing.assert_close(course.watched[0], torch.tensor([1.0, 1.0, 3.0, 4.0]))
    torch.testing.assert_close(course.watched[1], model.instance.weights())


def test_the_subnetwork_can_be_trained_alone():
    recipe = replace(RECIPE, instance=replace(RECIPE.instance, end_to_end=False))
    model = build_model(recipe, SCENE_CATEGORIES, 0, CPU)
    before = {k: v.clone() for k, v in model.semantic.state_dict().items()}
    course = train_instance(model, view_batches([full_examples(2)], recipe, 0, "instance"))
    assert all(torch.equal(v, before[k]) for k, v in model.semantic.state_dict().items())
    assert not torch.equal(course.watched[0], course.watched[-1])


def test_a_round_learns_more_slowly_by_its_setting():
    recipe = replace(RECIPE, semantic=replace(RECIPE.semantic, steps=2, round_rate=0.5))
    rates = []
    for number in (0, 1, 2):
        model = build_model(recipe, SCENE_CATEGORIES, 0, CPU)
        course = train_semantic(model.semantic, [full_examples(1)], recipe, 0, number)
        rates.append(max(course.rates))
    assert rates == pytest.approx([5e-3, 2.5e-3, 1.25e-3])


class Killed(BaseException):
    """Stands for the end of the process."""


STAGES = ("semantic", "detector", "instance")


@pytest.mark.usefixtures("on_the_cpu")
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_was_killed_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
):
    few = {
        "semantic": replace(RECIPE.semantic, steps=5),
        "detector": replace(RECIPE.detector, steps=5),
    }
    recipe = replace(RECIPE, **few)
    groups = [full_examples(3), full_examples(1)]

    def train(stored: StoredNetwork | None, batches: ViewBatches) -> dict[str, Tensor]:
        model = build_model(recipe, SCENE_CATEGORIES, 0, CPU)
        if stage == "semantic":
            monkeypatch.setattr(stages, "view_batches", lambda *_: batches)
            train_semantic(model.semantic, groups, recipe, 0, 0, Running(stored=stored))
        else:
            function = train_detector if stage == "detector" else train_instance
            function(model, batches, Running(stored=stored))
        networks = (model.semantic, model.detector, model.instance)
        return {f"{i} {k}": v for i, n in enumerate(networks) for k, v in n.state_dict().items()}

    batches = view_batches(groups, recipe, 0, stage)
    whole = train(None, batches)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    for last in (1, 2):
        stored = StoredNetwork(path=tmp_path / f"{last}.pt", key="key")
        with pytest.raises(Killed):
            train(
                stored,
                KilledAt(**{f.name: getattr(batches, f.name) for f in fields(batches)}, last=last),
            )
        again = train(stored, batches)
        assert all(torch.equal(again[name], values) for name, values in whole.items())


@dataclass(frozen=True, kw_only=True)
class KilledAt(ViewBatches):
    """Batches up to a step."""

    last: int

    def __getitem__(self, step: int) -> Batch:
        if step == self.last:
            raise Killed
        return super().__getitem__(step)


def test_every_kind_is_drawn_equally_often_and_every_example_in_turn():
    sizes = (1, 5)
    drawn = [draw(sizes, 0, "semantic", number) for number in range(50)]
    assert Counter(group for group, _ in drawn) == {0: 25, 1: 25}
    of_many = [index for group, index in drawn if group == 1]
    for epoch in range(5):
        assert sorted(of_many[5 * epoch : 5 * epoch + 5]) == [0, 1, 2, 3, 4]
    assert of_many[:5] != of_many[5:10]
    assert [draw(sizes, 1, "semantic", number) for number in range(50)] != drawn
    assert [draw(sizes, 0, "detector", number) for number in range(50)] != drawn


def test_a_batch_hangs_on_its_step_alone():
    batches = view_batches([full_examples(3)], RECIPE, 0, "semantic")
    first, second = batches[0], batches[1]
    again = batches[1]
    assert torch.equal(again.images, second.images)
    assert again.names == second.names
    assert not torch.equal(first.images, second.images)
    # Each image comes once before one comes again.
    assert sorted(first.names + second.names[:1]) == ["0", "1", "2"]
    # Two views of one example are never alike.
    one = view_batches([full_examples(1)], RECIPE, 0, "semantic")[0]
    assert not torch.equal(one.images[0], one.images[1])


def test_what_a_loading_process_cannot_read_is_told_in_one_line():
    class Unreadable(Sequence[TrainingExample]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> TrainingExample:  # type: ignore[override]
            raise DatasetError("photo.jpg: damaged: copy it again")

    batches = view_batches([Unreadable()], RECIPE, 0, "semantic")
    for loaders in (0, 1):
        with pytest.raises(DatasetError, match=r"^photo\.jpg: damaged: copy it again$"):
            next(load_batches(batches, range(3), CPU, loaders))


def test_a_loading_process_that_died_is_told_in_one_line():
    class Deadly(Sequence[TrainingExample]):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> TrainingExample:  # type: ignore[override]
            os._exit(1)

    batches = view_batches([Deadly()], RECIPE, 0, "semantic")
    with pytest.raises(RecipeError, match="a process that loads batches died"):
        next(load_batches(batches, range(3), CPU, 1))


def test_the_auxiliary_loss_counts_as_much_as_its_weight():
    backbone = BackboneSettings(name="resnet18", output_stride=16)
    losses = []
    for weight in (0.4, 0.8, 1.2):
        stage = SemanticSettings(steps=1, learning_rate=1e-3, auxiliary_weight=weight)
        recipe = replace(RECIPE, backbone=backbone, semantic=stage)
        network = build_model(recipe, SCENE_CATEGORIES, 0, CPU).semantic
        losses += train_semantic(network, [full_examples(2)], recipe, 0, 0).losses
    step = losses[1] - losses[0]
    # Of nine classes that it does not tell apart the cross-entropy is about log 9.
    assert step == pytest.approx(0.4 * np.log(9), rel=0.5)
    assert losses[2] - losses[1] == pytest.approx(step, rel=1e-4)


@pytest.mark.parametrize(
    ("photos", "per_photo", "asked", "expected"),
    [
        # Ten visits of 400 x 4 views, four of them a step, are 4000 steps.
        (400, 4, ("flat", 5000), ("cosine", 4000)),
        (400, 4, ("flat", 3999), ("flat", 3999)),
        (2, 4, ("flat", 5000), ("cosine", 1000)),
        (2, 4, ("flat", 999), ("flat", 999)),
        (2, 4, ("constant", 5000), ("constant", 1000)),
        (2, None, ("flat", 5000), ("flat", 5000)),
    ],
)
def test_views_that_come_again_end_a_stage(
    photos: int, per_photo: int | None, asked: tuple[str, int], expected: tuple[str, int]
) -> None:
    recipe = Recipe(views=ViewSettings(per_photo=per_photo), descent=DescentSettings(batch_size=4))
    schedule, steps = asked
    stage = StageSettings(steps=steps, learning_rate=1e-3, schedule=schedule)
    found = limited(stage, photos, recipe)
    assert (found.schedule, found.steps) == expected


def test_the_instance_stage_learns_what_the_masks_of_the_detector_count():
    # Of a detector that has learnt nothing: all that it finds counts.
    greedy = replace(RECIPE.instance, mask_weight=1.0, score_threshold=0.0, max_detections=5)
    recipe = replace(RECIPE, instance=greedy)
    model = build_model(recipe, SCENE_CATEGORIES, 0, CPU)
    groups = [full_examples(2)]
    train_detector(model, view_batches(groups, recipe, 0, "detector"))
    course = train_instance(model, view_batches(groups, recipe, 0, "instance"))
    counts = course.watched[:, course.names.index("mask_weight")]
    assert counts[0] == pytest.approx(1.0)
    assert len(counts.unique()) == len(counts)


def test_the_instance_stage_asks_the_detector_by_the_settings(monkeypatch: pytest.MonkeyPatch):
    settings = replace(RECIPE.instance, steps=1, nms_threshold=0.3, max_detections=7)
    recipe = replace(RECIPE, instance=settings)
    model = build_model(recipe, SCENE_CATEGORIES, 0, CPU)
    assert model.detector is not None
    asked, detect = [], model.detector.detect

    def note(images: Tensor, *limits: Any) -> list[Detections]:
        asked.append((limits[0], limits[1], limits[3]))
        return detect(images, *limits)

    monkeypatch.setattr(model.detector, "detect", note)
    train_instance(model, view_batches([full_examples(2)], recipe, 0, "instance"))
    assert asked == [(settings.score_threshold, 7, 0.3)]
    predict_batch(model, [np.zeros((64, 64, 3), np.uint8)], [1])
    assert asked[1:] == [(settings.score_threshold, 7, 0.3)]
