from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from annotools.categories import CategorySet
from annotools.label_maps import measure_segments
from annotools.records import VOID
from tests.builders import make_categories
from wsps.inference import Prediction, predict
from wsps.networks.detector import Detections
from wsps.networks.instance import InstanceSubnetwork
from wsps.networks.model import PanopticModel, build_model
from wsps.recipe import ImageSettings, InstanceSettings, PredictionSettings, Recipe

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))  # ids 30; 10 and 20
CPU = torch.device("cpu")
GREEDY = InstanceSettings(steps=1, learning_rate=1e-3, score_threshold=0.05, max_detections=5)


class SkyAboveCarsAboveRoad(nn.Module):
    """Semantic logits of rows: the top quarter sky, the bottom quarter road, cars between."""

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        logits = torch.zeros(1, 3, height, width)
        logits[:, 1, : height // 4] = 6.0
        logits[:, 2, height // 4 : height - height // 4] = 6.0
        logits[:, 0, height - height // 4 :] = 6.0
        return logits


class TwoCars:
    """Detects a car in the left and a car in the right half of the image."""

    def detect(self, images: Tensor, _threshold: float, _maximum: int) -> list[Detections]:
        height, width = images.shape[-2:]
        boxes = [[0, 0, width / 2, height], [width / 2, 0, width, height]]
        return [
            Detections(
                boxes_xyxy=torch.tensor(boxes),
                class_indices=torch.tensor([2, 2]),
                scores=torch.tensor([0.9, 0.6]),
            )
        ]


def predict_two_cars(max_side: int | None) -> Prediction:
    model = PanopticModel(
        # Without iterations, so that the borders are those of the unary terms.
        recipe=Recipe(
            images=ImageSettings(max_side=max_side), prediction=PredictionSettings(iterations=0)
        ),
        categories=CATEGORIES,
        semantic=cast(Any, SkyAboveCarsAboveRoad()),
        detector=cast(Any, TwoCars()),
        instance=InstanceSubnetwork(CATEGORIES, GREEDY),
        device=CPU,
    )
    return predict(model, np.zeros((48, 80, 3), dtype=np.uint8), "street 1")


@pytest.mark.parametrize("max_side", [None, 40])
def test_segments_categories_and_scores_by_hand(max_side: int | None):
    prediction = predict_two_cars(max_side)
    expected = np.zeros((48, 80), dtype=np.int32)
    expected[:12], expected[36:] = 4, 3
    expected[12:36, :40], expected[12:36, 40:] = 1, 2
    assert np.array_equal(prediction.label.segment_map, expected)
    assert {s.segment_id: s.category_id for s in prediction.label.segments} == {
        1: 30,
        2: 30,
        3: 10,
        4: 20,
    }
    assert prediction.label.image_id == "street 1"
    certain = np.exp(6) / (np.exp(6) + 2)
    assert prediction.scores == pytest.approx({1: 0.9, 2: 0.6, 3: certain, 4: certain})
    assert np.array_equal(prediction.semantic_classes, np.array([0, 2, 2, 0, 1])[expected])


@pytest.mark.parametrize(
    ("size_hw", "max_side"), [((40, 64), None), ((75, 51), 48), ((33, 33), 64)]
)
def test_every_pixel_has_a_segment_and_every_segment_a_score(
    size_hw: tuple[int, int], max_side: int | None
):
    recipe = Recipe(
        images=ImageSettings(max_side=max_side),
        instance=GREEDY,
        prediction=PredictionSettings(iterations=1),
    )
    model = build_model(recipe, CATEGORIES, 3, CPU)
    photo = np.random.default_rng(0).integers(0, 255, (*size_hw, 3), dtype=np.uint8)
    prediction = predict(model, photo, 1)
    assert prediction.label.segment_map.shape == prediction.semantic_classes.shape == size_hw
    assert (prediction.label.segment_map > 0).all()
    segments = {s.segment_id: (s.area, s.box_xyxy) for s in prediction.label.segments}
    assert segments == measure_segments(prediction.label.segment_map)
    assert prediction.scores.keys() == segments.keys()
    assert all(0 <= score <= 1 for score in prediction.scores.values())
    assert prediction.semantic_classes.max() < 3
    assert np.array_equal(predict(model, photo, 1).label.segment_map, prediction.label.segment_map)


def test_a_photo_without_any_label_is_void():
    things = CategorySet(categories=tuple(c for c in CATEGORIES.categories if c.is_thing))
    model = build_model(Recipe(instance=replace(GREEDY, score_threshold=1.0)), things, 3, CPU)
    prediction = predict(model, np.zeros((20, 30, 3), dtype=np.uint8), 1)
    assert prediction.label.segment_map.shape == (20, 30)
    assert (prediction.label.segment_map == VOID).all()
    assert prediction.label.segments == ()
    assert prediction.scores == {}


class Recorder(nn.Module):
    """Notes of which photo's longer side the subnetwork is told."""

    def __init__(self) -> None:
        super().__init__()
        self.sides: list[list[int]] = []
        self.network = InstanceSubnetwork(CATEGORIES, GREEDY)

    def forward(self, semantic: Tensor, images: Tensor, sides: Tensor, *rest: Any) -> Any:
        self.sides.append(sides.tolist())
        return self.network(semantic, images, sides, *rest)


def test_kernels_follow_the_longer_side_of_the_photo_that_the_network_sees():
    recipe = Recipe(images=ImageSettings(max_side=48), instance=GREEDY)
    recorder = Recorder()
    model = replace(build_model(recipe, CATEGORIES, 3, CPU), instance=cast(Any, recorder))
    for height, width in ((20, 40), (60, 96), (96, 60)):
        predict(model, np.zeros((height, width, 3), dtype=np.uint8), 1)
    assert recorder.sides == [[40], [48], [48]]
