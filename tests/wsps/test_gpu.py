import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from annotools.formats import read_dataset
from annotools.formats.source import Source
from annotools.scenes.world import SCENE_CATEGORIES
from wsps.crf.lattice import build_lattice
from wsps.detections import Detections
from wsps.inference import predict_images
from wsps.networks.instance import InstanceSubnetwork
from wsps.pseudo_labels.request import LabelRequest
from wsps.pseudo_labels.rounds import pseudo_label
from wsps.pseudo_labels.stored_networks import class_probabilities
from wsps.recipe import (
    DescentSettings,
    InstanceSettings,
    Recipe,
    RefinementSettings,
    SemanticSettings,
    StageSettings,
    ViewSettings,
)
from wsps.students import predict
from wsps.training.finished_runs import load_model
from wsps.training.losses import instance_loss
from wsps.training.train import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

STAGE = StageSettings(steps=20, learning_rate=3e-3)
RECIPE = Recipe(
    descent=DescentSettings(batch_size=2),
    views=ViewSettings(crop_size_wh=(64, 64)),
    classifier=replace(STAGE, steps=5),
    semantic=SemanticSettings(steps=20, learning_rate=3e-3),
    detector=STAGE,
    instance=InstanceSettings(steps=3, learning_rate=3e-3),
    refinement=RefinementSettings(rounds=1),
)


def test_the_chain_runs_on_the_gpu_and_its_model_predicts_there_as_on_the_cpu(
    tmp_path: Path,
) -> None:
    world = tmp_path / "world.toml"
    world.write_text("width = 64\nheight = 64\nnum_train = 4\nnum_val = 2\n")
    bought = Source(format_name="scenes", root=world, split="train")
    labels, run, out = (tmp_path / name for name in ("labels", "run", "out"))
    kinds = {0: "full", 1: "boxes+tags", 2: "boxes", 3: "none"}
    pseudo_label(LabelRequest(source=bought, labels=kinds, recipe=RECIPE), labels)
    train([labels], bought, RECIPE, 0, run)
    predict_images(run, replace(bought, split="val"), out)
    assert len(list((out / "panoptic").iterdir())) == 2
    model = load_model(run)
    assert model.device.type == "cuda"
    dataset = read_dataset("scenes", world, "train")
    photo = dataset.read_photo(dataset.images[0])
    prediction = predict(model, photo, 0)
    assert prediction.label.segment_map.shape == photo.shape[:2]
    assert all(0 <= score <= 1 for score in prediction.scores.values())
    on_gpu = class_probabilities(model.semantic.eval(), [photo], "float32")[0]
    on_cpu = class_probabilities(copy.deepcopy(model.semantic).cpu(), [photo], "float32")[0]
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-2)
    assert np.mean(on_gpu.argmax(axis=0) == on_cpu.argmax(axis=0)) > 0.99


def test_the_lattice_filters_on_the_gpu_as_on_the_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    features = 8 * torch.rand(2, 5000, 5, generator=generator)
    values = torch.rand(10_000, 21, generator=generator)
    weight = torch.rand(10_000, 21, generator=generator)
    found = []
    for device in ("cpu", "cuda"):
        given = values.detach().to(device).requires_grad_()
        filtered = build_lattice(features.to(device), "after").filter(given)
        (filtered * weight.to(device)).sum().backward()
        assert given.grad is not None
        found.append((filtered.detach().cpu(), given.grad.cpu()))
    # A point right between two simplices may fall into either, with a corner of no weight.
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("mask_weight", [0.0, 2.0])
def test_the_subnetwork_has_the_same_loss_and_gradient_on_the_gpu_as_on_the_cpu(
    mask_weight: float,
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 9, 40, 60, generator=generator)
    images = 120 + 58 * torch.randn(2, 3, 40, 60, generator=generator)
    instances = torch.zeros(2, 40, 60, dtype=torch.int32)
    instances[:, 5:20, 5:30], instances[:, 15:35, 20:50] = 1, 2
    thing, stuff = SCENE_CATEGORIES.thing_indices[0], SCENE_CATEGORIES.stuff_indices[0]
    classes = torch.where(instances > 0, thing, stuff)
    boxes = torch.tensor([[4.0, 4.0, 31.0, 21.0], [19.0, 14.0, 52.0, 36.0]])
    masks = torch.rand(2, 28, 28, generator=generator)
    losses, gradients = [], []
    for name in ("cpu", "cuda"):
        network = InstanceSubnetwork(
            SCENE_CATEGORIES, replace(RECIPE.instance, mask_weight=mask_weight)
        ).to(name)
        detections = Detections(
            boxes_xyxy=boxes.to(name),
            class_indices=torch.tensor([thing, thing], device=name),
            scores=torch.tensor([0.9, 0.6], device=name),
            masks=masks.to(name),
        )
        given = logits.detach().to(name).requires_grad_()
        sides = torch.tensor([500, 250], device=name)
        marginals = network(
            given.softmax(dim=1), images.to(name), sides, [detections, detections], 3
        )
        loss = instance_loss(marginals, classes.to(name), instances.to(name))
        loss.backward()
        assert given.grad is not None
        losses.append(loss.item())
        gradients.append(given.grad.cpu())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-5, rtol=1e-2)
