import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from annotools.formats import read_dataset
from annotools.formats.source import Source
from wsps.inference import predict, predict_images
from wsps.pseudo_labels.request import LabelRequest
from wsps.pseudo_labels.rounds import pseudo_label
from wsps.pseudo_labels.stored_networks import class_probabilities
from wsps.recipe import (
    DescentSettings,
    InstanceSettings,
    Recipe,
    RefinementSettings,
    StageSettings,
    ViewSettings,
)
from wsps.training.train import load_model, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

STAGE = StageSettings(steps=20, learning_rate=3e-3)
RECIPE = Recipe(
    descent=DescentSettings(batch_size=2),
    views=ViewSettings(crop_size_wh=(64, 64)),
    classifier=replace(STAGE, steps=5),
    semantic=STAGE,
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
    train(labels, bought, RECIPE, 0, run)
    predict_images(run, replace(bought, split="val"), out)
    assert len(list((out / "panoptic").iterdir())) == 2
    model = load_model(run)
    assert model.device.type == "cuda"
    dataset = read_dataset("scenes", world, "train")
    photo = dataset.read_photo(dataset.images[0])
    prediction = predict(model, photo, 0)
    assert prediction.label.segment_map.shape == photo.shape[:2]
    assert all(0 <= score <= 1 for score in prediction.scores.values())
    on_gpu = class_probabilities(model.semantic.eval(), photo, None)
    on_cpu = class_probabilities(copy.deepcopy(model.semantic).cpu(), photo, None)
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-2)
    assert np.mean(on_gpu.argmax(axis=0) == on_cpu.argmax(axis=0)) > 0.99
