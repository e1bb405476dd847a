from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from annotools.errors import DatasetError, RecipeError
from annotools.formats.scenes import world_dataset
from annotools.random_streams import stream_seed
from annotools.scenes.world import SCENE_CATEGORIES, SceneWorld
from wsps.data import Batch, TrainingExample
from wsps.examples import example_from_full
from wsps.networks.model import build_model
from wsps.recipe import Recipe, StageSettings
from wsps.training.stages import (
    draw_batches,
    train_detector,
    train_instance,
    train_model,
    train_semantic,
)

CPU = torch.device("cpu")
RECIPE = Recipe(
    batch_size=2,
    crop_size_wh=(64, 64),
    semantic=StageSettings(steps=20, learning_rate=5e-3),
    detector=StageSettings(steps=20, learning_rate=3e-3),
    instance=StageSettings(steps=3, learning_rate=1e-3),
)


def full_examples(count: int) -> list[TrainingExample]:
    dataset = world_dataset(SceneWorld(width=64, height=64, num_train=count), "train")
    return [
        example_from_full(dataset.read_photo(image), dataset.read_label(image), dataset.categories)
        for image in dataset.images
    ]


def losses_of_a_run(seed: int) -> tuple[list[float], list[float], list[float]]:
    model = build_model(RECIPE, SCENE_CATEGORIES, seed, CPU)

    def batches(stage: str) -> Iterator[Batch]:
        return draw_batches([full_examples(4)], RECIPE, seed, stage, CPU)

    return (
        train_semantic(model.semantic, [full_examples(4)], RECIPE, seed, 0),
        train_detector(model, batches("detector")),
        train_instance(model, batches("instance")),
    )


def test_a_toy_run_lowers_the_losses_and_repeats_with_its_seed():
    losses = losses_of_a_run(seed=0)
    for stage in losses[:2]:
        assert np.mean(stage[-4:]) < 0.8 * np.mean(stage[:4])
    assert np.isfinite(losses[2]).all()
    assert losses_of_a_run(seed=0) == losses


def test_fine_tuning_leaves_the_detector_and_the_running_statistics_alone():
    model = build_model(RECIPE, SCENE_CATEGORIES, 0, CPU)
    networks = (model.semantic, model.detector, model.instance)
    before = [{k: v.clone() for k, v in n.state_dict().items()} for n in networks]
    train_instance(model, draw_batches([full_examples(2)], RECIPE, 0, "instance", CPU))
    changed = [
        {k for k, v in n.state_dict().items() if not torch.equal(v, old[k])}
        for n, old in zip(networks, before, strict=True)
    ]
    assert changed[1] == set()
    assert "classify.weight" in changed[0]
    assert not any("running" in name for name in changed[0])
    assert "global_weight" in changed[2]


def test_a_model_is_trained_on_kinds_with_and_without_boxes():
    full = full_examples(3)
    nobody_asked = [
        replace(e, boxes_xyxy=e.boxes_xyxy[:0], box_classes=e.box_classes[:0], has_boxes=False)
        for e in full
    ]
    empty_streets = [replace(e, has_boxes=True) for e in nobody_asked]
    one_step = StageSettings(steps=1, learning_rate=1e-3)
    recipe = replace(RECIPE, semantic=one_step, detector=one_step, instance=one_step)

    def detector_weights(groups: list[list[TrainingExample]]) -> list[torch.Tensor]:
        model = train_model(groups, SCENE_CATEGORIES, recipe, 0, CPU)
        return [p.detach() for p in model.detector.parameters()]

    unasked = detector_weights([[], nobody_asked])
    asked = detector_weights([nobody_asked, empty_streets])
    assert all(weights.isfinite().all() for weights in asked)
    assert any(not torch.equal(a, b) for a, b in zip(asked, unasked, strict=True))
    model = build_model(recipe, SCENE_CATEGORIES, stream_seed(0, "weights"), CPU)
    untrained = list(model.detector.parameters())
    assert all(torch.equal(a, b) for a, b in zip(unasked, untrained, strict=True))


def test_every_kind_is_drawn_equally_often_and_every_example_in_turn():
    few, many = full_examples(6)[:1], full_examples(6)[1:]
    plain = [replace(e, classes=np.full_like(e.classes, 0)) for e in few]
    others = [replace(e, classes=np.full_like(e.classes, 1 + i)) for i, e in enumerate(many)]
    recipe = replace(RECIPE, batch_size=50, scale_range=(1.0, 1.0))
    (batch,) = islice(draw_batches([plain, others], recipe, 0, "semantic", CPU), 1)
    drawn = np.bincount([int(c[32, 32]) for c in batch.classes], minlength=6)
    assert 15 <= drawn[0] <= 35
    assert drawn[1:].max() - drawn[1:].min() <= 1
    assert drawn.sum() == 50


def test_nothing_to_train_on_and_unknown_names_are_errors():
    with pytest.raises(DatasetError, match="no image has a label"):
        train_model([[], []], SCENE_CATEGORIES, RECIPE, 0, CPU)
    for wrong in ({"optimizer": "lion"}, {"backbone": "vgg"}):
        with pytest.raises(RecipeError, match="unknown"):
            train_model([full_examples(1)], SCENE_CATEGORIES, replace(RECIPE, **wrong), 0, CPU)


def test_each_round_relabels_with_the_network_of_the_round_before():
    examples = full_examples(2)
    rounds = []

    def relabel(network: torch.nn.Module, number: int) -> list[list[TrainingExample]]:
        assert not network.training
        weights = torch.cat([p.detach().flatten() for p in network.parameters()])
        rounds.append((number, network, weights))
        return [examples]

    refinement = replace(RECIPE.refinement, rounds=2)
    recipe = replace(
        RECIPE,
        refinement=refinement,
        semantic=replace(RECIPE.semantic, steps=2),
        detector=replace(RECIPE.detector, steps=1),
        instance=replace(RECIPE.instance, steps=1),
    )
    model = train_model([examples], SCENE_CATEGORIES, recipe, 0, CPU, relabel)
    assert [number for number, _, _ in rounds] == [1, 2]
    for _, network, weights in rounds:
        after = torch.cat([p.detach().flatten() for p in network.parameters()])
        assert torch.equal(weights, after)
    assert not torch.equal(rounds[0][2], rounds[1][2])
    last = torch.cat([p.detach().flatten() for p in model.semantic.parameters()])
    assert not torch.equal(rounds[1][2], last)
