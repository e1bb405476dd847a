from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from annotools.formats.scenes import world_dataset
from annotools.records import Box, FullLabel
from annotools.scenes.world import SCENE_CATEGORIES, SceneWorld
from annotools.weak_labels.weaken import weaken
from wsps.data import Batch, TrainingExample
from wsps.label_sets import make_example
from wsps.networks.model import build_model
from wsps.recipe import (
    BackboneSettings,
    DescentSettings,
    InstanceSettings,
    Recipe,
    SemanticSettings,
    StageSettings,
    ViewSettings,
)
from wsps.training.stages import (
    draw_batches,
    train_detector,
    train_instance,
    train_semantic,
)

CPU = torch.device("cpu")
RECIPE = Recipe(
    descent=DescentSettings(batch_size=2),
    views=ViewSettings(crop_size_wh=(64, 64)),
    semantic=SemanticSettings(steps=20, learning_rate=5e-3),
    detector=StageSettings(steps=20, learning_rate=3e-3),
    instance=InstanceSettings(steps=3, learning_rate=1e-3),
)


def full_examples(count: int) -> list[TrainingExample]:
    dataset = world_dataset(SceneWorld(width=64, height=64, num_train=count), "train")
    labels = [dataset.read_label(image) for image in dataset.images]
    photos = [dataset.read_photo(image) for image in dataset.images]
    return [
        make_example(photo, label, boxes_of(label), dataset.categories)
        for photo, label in zip(photos, labels, strict=True)
    ]


def boxes_of(label: FullLabel) -> tuple[Box, ...]:
    return weaken(label, SCENE_CATEGORIES, "boxes", None).boxes


def losses_of_a_run(seed: int) -> tuple[list[float], list[float], list[float]]:
    model = build_model(RECIPE, SCENE_CATEGORIES, seed, CPU)

    def batches(stage: str) -> Iterator[Batch]:
        return draw_batches([full_examples(4)], RECIPE, seed, stage, CPU)

    return (
        train_semantic(model.semantic, [full_examples(4)], RECIPE, seed, 0),
        train_detector(model, batches("detector")),
        train_instance(model, batches("instance"))[0],
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


def test_the_weights_of_the_subnetwork_are_learnt_ten_times_as_fast_and_do_not_decay():
    instance = InstanceSettings(steps=1, learning_rate=1e-3)
    descent = DescentSettings(batch_size=1, weight_decay=0.5)
    recipe = replace(RECIPE, instance=instance, descent=descent)
    model = build_model(recipe, SCENE_CATEGORIES, 0, CPU)
    before = [p.detach().clone() for p in model.instance.parameters()]
    losses, course = train_instance(
        model, draw_batches([full_examples(2)], recipe, 0, "instance", CPU)
    )
    # The first step of Adam is the learning rate, whatever the gradient.
    for weight, start in zip(model.instance.parameters(), before, strict=True):
        assert (weight - start).abs().item() == pytest.approx(1e-2, rel=0.05)
    assert len(losses) == 1
    assert course.shape == (2, 4)
    torch.testing.assert_close(course[0], torch.tensor([1.0, 1.0, 3.0, 4.0]))
    torch.testing.assert_close(course[1], model.instance.weights())


def test_every_kind_is_drawn_equally_often_and_every_example_in_turn():
    few, many = full_examples(6)[:1], full_examples(6)[1:]
    plain = [replace(e, classes=np.full_like(e.classes, 0)) for e in few]
    others = [replace(e, classes=np.full_like(e.classes, 1 + i)) for i, e in enumerate(many)]
    recipe = replace(
        RECIPE,
        descent=DescentSettings(batch_size=50),
        views=ViewSettings(crop_size_wh=(64, 64), scale_range=(1.0, 1.0)),
    )
    (batch,) = islice(draw_batches([plain, others], recipe, 0, "semantic", CPU), 1)
    drawn = np.bincount([int(c[32, 32]) for c in batch.classes], minlength=6)
    assert 15 <= drawn[0] <= 35
    assert drawn[1:].max() - drawn[1:].min() <= 1
    assert drawn.sum() == 50


def test_the_auxiliary_loss_counts_as_much_as_its_weight():
    backbone = BackboneSettings(name="resnet18", output_stride=16)
    losses = []
    for weight in (0.4, 0.8, 1.2):
        stage = SemanticSettings(steps=1, learning_rate=1e-3, auxiliary_weight=weight)
        recipe = replace(RECIPE, backbone=backbone, semantic=stage)
        network = build_model(recipe, SCENE_CATEGORIES, 0, CPU).semantic
        losses += train_semantic(network, [full_examples(2)], recipe, 0, 0)
    step = losses[1] - losses[0]
    # Of nine classes that it does not tell apart the cross-entropy is about log 9.
    assert step == pytest.approx(0.4 * np.log(9), rel=0.5)
    assert losses[2] - losses[1] == pytest.approx(step, rel=1e-4)
