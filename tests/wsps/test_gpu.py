import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from annotools.formats.scenes import world_dataset
from annotools.scenes.world import SceneWorld
from wsps.examples import example_from_full
from wsps.inference import predict
from wsps.recipe import Recipe, StageSettings
from wsps.self_training import class_probabilities
from wsps.training.stages import train_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CUDA = torch.device("cuda")
STAGE = StageSettings(steps=20, learning_rate=3e-3)
RECIPE = Recipe(
    batch_size=2,
    crop_size_wh=(64, 64),
    semantic=STAGE,
    detector=STAGE,
    instance=replace(STAGE, steps=3),
)


def test_a_model_trained_on_the_gpu_predicts_there_as_on_the_cpu():
    dataset = world_dataset(SceneWorld(width=64, height=64, num_train=4), "train")
    examples = [
        example_from_full(dataset.read_photo(image), dataset.read_label(image), dataset.categories)
        for image in dataset.images
    ]
    model = train_model([examples], dataset.categories, RECIPE, 0, CUDA)
    image = dataset.images[0]
    photo = dataset.read_photo(image)
    prediction = predict(model, photo, image.image_id)
    assert prediction.label.segment_map.shape == photo.shape[:2]
    assert all(0 <= score <= 1 for score in prediction.scores.values())
    on_gpu = class_probabilities(model.semantic.eval(), photo, None)
    on_cpu = class_probabilities(copy.deepcopy(model.semantic).cpu(), photo, None)
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-2)
    assert np.mean(on_gpu.argmax(axis=0) == on_cpu.argmax(axis=0)) > 0.99
