from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from annotools.categories import CategorySet
from annotools.errors import RecipeError
from annotools.label_maps import measure_segments
from annotools.records import VOID, Photo
from tests.builders import make_categories
from wsps.detections import Detections
from wsps.inference import change_recipe
from wsps.networks.instance import InstanceSubnetwork
from wsps.networks.model import PanopticModel, build_model
from wsps.prediction import Prediction
from wsps.recipe import ImageSettings, InstanceSettings, PredictionSettings, Recipe
from wsps.students import predict, predict_batch

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))  # ids 30; 10 and 20
CPU = torch.device("cpu")
GREEDY = InstanceSettings(steps=1, learning_rate=1e-3, score_threshold=0.05, max_detections=5)
AS_THEY_ARE = ImageSettings()


class SkyAboveCarsAboveRoad(nn.Module):
    """Semantic logits of rows: the top quarter sky, the bottom quarter road, cars between."""

    def forward(self, images: Tensor, _features: Tensor | None = None) -> Tensor:
        height, width = images.shape[-2:]
        logits = torch.zeros(1, 3, height, width)
        logits[:, 1, : height // 4] = 6.0
        logits[:, 2, height // 4 : height - height // 4] = 6.0
        logits[:, 0, height - height // 4 :] = 6.0
        return logits


class TwoCars:
    """Detects a car in the left and a car in the right half of the image."""

    def detect(self, images: Tensor, *_limits: float | Tensor | None) -> list[Detections]:
        height, width = images.shape[-2:]
        boxes = [[0, 0, width / 2, height], [width / 2, 0, width, height]]
        return [
            Detections(
                boxes_xyxy=torch.tensor(boxes),
                class_indices=torch.tensor([2, 2]),
                scores=torch.tensor([0.9, 0.6]),
            )
        ]


def two_cars(images: ImageSettings = AS_THEY_ARE, tile_side: int | None = None) -> PanopticModel:
    return PanopticModel(
        # Without iterations, so that the borders are those of the unary terms.
        recipe=Recipe(
            images=images,
            prediction=PredictionSettings(iterations=0, tile_side=tile_side),
        ),
        categories=CATEGORIES,
        semantic=cast(Any, SkyAboveCarsAboveRoad()),
        detector=cast(Any, TwoCars()),
        instance=InstanceSubnetwork(CATEGORIES, GREEDY),
        device=CPU,
    )


@pytest.mark.parametrize(
    "images", [AS_THEY_ARE, ImageSettings(max_side=40), ImageSettings(min_side=160, stretch=True)]
)
def test_segments_categories_and_scores_by_hand(images: ImageSettings):
    prediction = predict(two_cars(images), np.zeros((48, 80, 3), dtype=np.uint8), "street 1")
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
    ("size_hw", "images"),
    [
        ((40, 64), AS_THEY_ARE),
        ((75, 51), ImageSettings(max_side=48)),
        ((33, 33), ImageSettings(min_side=64)),
    ],
)
def test_every_pixel_has_a_segment_and_every_segment_a_score(
    size_hw: tuple[int, int], images: ImageSettings
):
    recipe = Recipe(
        images=images,
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


def test_a_segment_across_the_border_of_tiles_is_one():
    photo = np.zeros((48, 500, 3), dtype=np.uint8)
    whole, tiled = predict(two_cars(), photo, 1), predict(two_cars(tile_side=128), photo, 1)
    assert np.array_equal(tiled.label.segment_map, whole.label.segment_map)
    assert tiled.label.segments == whole.label.segments
    assert len(tiled.label.segments) == 4
    assert tiled.scores == pytest.approx(whole.scores)
    assert max(tiled.scores.values()) <= 1


def random_photos(count: int, size_hw: tuple[int, int]) -> list[Photo]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, 255, (*size_hw, 3), dtype=np.uint8) for _ in range(count)]


def untrained(categories: CategorySet = CATEGORIES, **prediction: Any) -> PanopticModel:
    settings = PredictionSettings(iterations=1, **prediction)
    return build_model(Recipe(instance=GREEDY, prediction=settings), categories, 3, CPU)


def are_equal(first: Prediction, second: Prediction) -> bool:
    return (
        np.array_equal(first.label.segment_map, second.label.segment_map)
        and np.array_equal(first.semantic_classes, second.semantic_classes)
        and first.scores == second.scores
    )


def test_a_photo_no_larger_than_a_tile_is_predicted_as_without_tiles_to_the_bit():
    (photo,) = random_photos(1, (100, 128))
    found = [predict(untrained(tile_side=side), photo, 1) for side in (None, 128, 1000)]
    assert are_equal(found[0], found[1])
    assert are_equal(found[0], found[2])


def test_tiles_go_through_the_semantic_network_and_the_whole_photo_through_the_others():
    (photo,) = random_photos(1, (150, 260))
    model, sizes = untrained(tile_side=128), []
    forward = model.semantic.forward

    def note(images: Tensor, _features: Tensor | None) -> Tensor:
        sizes.append(tuple(images.shape[2:]))
        return forward(images)

    model.semantic.forward = note  # type: ignore[method-assign]
    prediction = predict(model, photo, 1)
    assert prediction.label.segment_map.shape == (150, 260)
    assert len(sizes) > 1
    assert max(max(size) for size in sizes) == 128
    settings = PredictionSettings(iterations=0, tile_side=128, tile_overlap=0.5)
    before = len(sizes)
    predict(replace(model, recipe=replace(model.recipe, prediction=settings)), photo, 1)
    # Tiles that share half of their sides are more.
    assert len(sizes) - before > before


def test_photos_of_one_size_together_give_what_each_gives_alone():
    photos, model = random_photos(3, (60, 90)), untrained()
    together = predict_batch(model, photos, [1, "b", 3])
    assert [prediction.label.image_id for prediction in together] == [1, "b", 3]
    for photo, prediction in zip(photos, together, strict=True):
        alone = predict(model, photo, 1)
        # Sums in another order may part pixels between labels that are all but equally likely.
        same = prediction.label.segment_map == alone.label.segment_map
        assert same.mean() > 0.99
        assert (prediction.semantic_classes == alone.semantic_classes).mean() > 0.99


class CarsOfTheFirst(TwoCars):
    """Detects two cars in the first photo and none in the second."""

    def detect(self, images: Tensor, *limits: float | Tensor | None) -> list[Detections]:
        (found,) = super().detect(images, *limits)
        none = Detections(
            boxes_xyxy=found.boxes_xyxy[:0],
            class_indices=found.class_indices[:0],
            scores=found.scores[:0],
        )
        return [found, none]


def test_a_photo_without_any_label_is_void_beside_another_that_has_some():
    things = CategorySet(categories=tuple(c for c in CATEGORIES.categories if c.is_thing))
    detector = CarsOfTheFirst()
    cars = replace(untrained(things), detector=cast(Any, detector))
    found = [
        replace(one, class_indices=one.class_indices * 0)
        for one in detector.detect(torch.zeros(1, 3, 40, 60), 0, 0)
    ]
    detector.detect = lambda *_: found  # type: ignore[method-assign]
    first, second = predict_batch(cars, random_photos(2, (40, 60)), [1, 2])
    assert (first.label.segment_map > 0).all()
    assert (second.label.segment_map == VOID).all()
    assert second.scores == {}


class Greedy(nn.Module):
    """Asks for more memory than there is."""

    def forward(self, *_: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB.")


@pytest.mark.parametrize(
    ("part", "max_side", "tile_side", "remedy"),
    [
        ("semantic", None, None, "set prediction.tile_side = 200, or images.max_side = 200"),
        ("semantic", 300, 260, "set prediction.tile_side = 130, or images.max_side = 150"),
        ("semantic", None, 150, "set images.max_side = 200"),
        ("instance", None, 150, "set images.max_side = 200"),
    ],
)
def test_where_memory_is_not_enough_the_setting_to_lower_is_named(
    part: str, max_side: int | None, tile_side: int | None, remedy: str
) -> None:
    images = ImageSettings(max_side=max_side)
    model = replace(two_cars(images, tile_side), **{part: Greedy()})
    with pytest.raises(RecipeError) as caught:
        predict(model, np.zeros((48, 400, 3), dtype=np.uint8), 1)
    assert str(caught.value) == f"memory is not enough (9.00 GiB more were asked for): {remedy}"


def test_settings_of_prediction_alone_can_be_changed():
    changes = ["prediction.iterations=3", "images.max_side=64", "instance.nms_threshold=0.3"]
    assert change_recipe(Recipe(), changes) == Recipe(
        images=ImageSettings(max_side=64),
        instance=replace(Recipe().instance, nms_threshold=0.3),
        prediction=PredictionSettings(iterations=3),
    )
    assert change_recipe(Recipe(), []) == Recipe()
    with pytest.raises(RecipeError, match=r"instance.iterations=3.*others: prediction"):
        change_recipe(Recipe(), ["instance.iterations=3"])
    with pytest.raises(RecipeError, match="--set: prediction: tile_side must be at least 128"):
        change_recipe(Recipe(), ["prediction.tile_side=12"])
    with pytest.raises(RecipeError, match="unknown setting tiles"):
        change_recipe(Recipe(), ["prediction.tiles=12"])
