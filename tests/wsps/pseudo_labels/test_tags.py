from dataclasses import replace

import numpy as np
import pytest
import torch

from annotools.categories import IGNORE_INDEX
from annotools.records import Image, Photo, TaggedCrop, WeakLabel
from tests.builders import make_categories, make_dataset, make_label
from wsps.data import as_tensor, stretch_photo
from wsps.networks.classifier import build_classifier
from wsps.pseudo_labels import tags
from wsps.pseudo_labels.tags import (
    TaggedPhoto,
    label_from_tags,
    score_crops,
    see_classes,
    tagged_photos,
    threshold_heat,
    train_classifier,
)
from wsps.recipe import BackboneSettings, DescentSettings, ImageSettings, Recipe, StageSettings

CATEGORIES = make_categories(things=("car",), stuff=("road", "sky"))  # ids 30; 10 and 20
ROAD, SKY, CAR, NO = 0, 1, 2, IGNORE_INDEX
CPU = torch.device("cpu")


def threshold(heat: list[list[float]], present: list[int]) -> list[int]:
    array = np.array(heat, dtype=np.float32)[:, None]  # (K, 1, W)
    return threshold_heat(array, present, cam_threshold=0.5)[0].tolist()


def test_a_class_takes_what_reaches_its_share_of_its_own_maximum():
    heat = [[4.0, 2.0, 1.9, 0.0], [0.0, 0.0, 0.04, 0.1], [9.0, 9.0, 9.0, 9.0]]
    assert threshold(heat, [ROAD, SKY]) == [ROAD, ROAD, NO, SKY]


def test_where_several_classes_are_hot_the_smaller_one_wins():
    heat = [[1.0, 1.0, 1.0, 1.0], [0.0, 5.0, 5.0, 0.0], [0.0, 0.0, 1.0, 0.0]]
    assert threshold(heat, [CAR, ROAD, SKY]) == [ROAD, SKY, CAR, ROAD]


def test_only_tagged_classes_with_any_heat_appear():
    heat = [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
    assert threshold(heat, [ROAD, SKY]) == [ROAD, ROAD]
    assert threshold(heat, [SKY]) == [NO, NO]
    assert threshold(heat, []) == [NO, NO]


def test_where_overlapping_crops_disagree_nothing_is_known():
    road, sky = (
        [[[1.0, 1.0, 1.0]], [[0.0] * 3], [[0.0] * 3]],
        [[[0.0] * 3], [[1.0] * 3], [[0.0] * 3]],
    )
    hidden = [[[1.0, 0.0, 0.0]], [[0.0] * 3], [[0.0] * 3]]
    heat = np.array([road, sky, hidden], dtype=np.float32)
    crops = tuple(
        TaggedCrop(box_xyxy=(x, 0, x + 3, 1), category_ids=(category_id,))
        for x, category_id in [(0, 10), (2, 20), (4, 10)]
    )
    weak = WeakLabel(image_id=1, crops=crops, tagged_category_ids=(10, 20))
    tagged = TaggedPhoto(photo=np.zeros((1, 8, 3), dtype=np.uint8), weak=weak)
    classes = label_from_tags(heat, tagged, CATEGORIES, 0.5)
    assert classes.tolist() == [[ROAD, ROAD, NO, SKY, NO, NO, NO, NO]]


def road_and_sky() -> list[TaggedPhoto]:
    """Photos of two crops, dark road at the left and bright sky at the right or not at all."""
    rng = np.random.default_rng(0)
    photos = []
    for i in range(6):
        photo = rng.integers(20, 60, (32, 64, 3), dtype=np.uint8)
        if i % 2:
            photo[:, 32:] = rng.integers(180, 220, (32, 32, 3), dtype=np.uint8)
        crops = (
            TaggedCrop(box_xyxy=(0, 0, 32, 32), category_ids=(10,)),
            TaggedCrop(box_xyxy=(32, 0, 64, 32), category_ids=(20,) if i % 2 else (10,)),
        )
        weak = WeakLabel(image_id=i, crops=crops, tagged_category_ids=(10, 20))
        photos.append(TaggedPhoto(photo=photo, weak=weak))
    return photos


def test_a_classifier_of_tags_learns_repeats_and_labels_its_crops():
    recipe = Recipe(
        descent=DescentSettings(batch_size=3),
        classifier=StageSettings(steps=30, learning_rate=3e-3),
    )
    photos = road_and_sky()
    classifier = train_classifier(photos, CATEGORIES, recipe, seed=1, device=CPU)
    assert not classifier.training
    same = train_classifier(photos, CATEGORIES, recipe, seed=1, device=CPU)
    for name, values in classifier.state_dict().items():
        assert torch.equal(values, same.state_dict()[name])
    (heat,) = see_classes(classifier, [photos[1]], ImageSettings(), "float32")
    classes = label_from_tags(heat, photos[1], CATEGORIES, cam_threshold=0.3)
    assert set(np.unique(classes[:, :32])) <= {ROAD, NO}
    assert set(np.unique(classes[:, 32:])) <= {SKY, NO}
    assert (classes == ROAD).sum() > 100
    assert (classes == SKY).sum() > 100


def test_crops_of_a_large_photo_are_reduced_and_the_label_is_not():
    photo = road_and_sky()[1]
    sizes = []

    class Seen(torch.nn.Module):
        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            sizes.append(tuple(crops.shape))
            return crops.mean(dim=(2, 3))

    whole = score_crops(Seen(), photo, ImageSettings(), "float32", CPU)
    halved = score_crops(Seen(), photo, ImageSettings(max_side=32), "float32", CPU)
    assert sizes == [(2, 3, 32, 32), (2, 3, 16, 16)]
    np.testing.assert_allclose(whole, halved, atol=0.01)
    recipe = Recipe(
        images=ImageSettings(max_side=32), classifier=StageSettings(steps=1, learning_rate=3e-3)
    )
    classifier = train_classifier([photo], CATEGORIES, recipe, 0, CPU)
    (heat,) = see_classes(classifier, [photo], ImageSettings(max_side=32), "float32")
    assert heat.shape == (2, 3, 32, 32)
    assert label_from_tags(heat, photo, CATEGORIES, 0.5).shape == (32, 64)


def test_crops_have_the_colours_of_the_whole_photo_when_it_is_stretched():
    bright = road_and_sky()[1]
    dark = replace(bright, photo=bright.photo // 8)
    seen = []

    class Seen(torch.nn.Module):
        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            seen.append(crops)
            return crops.mean(dim=(2, 3))

    score_crops(Seen(), dark, ImageSettings(stretch=True), "float32", CPU)
    whole = stretch_photo(dark.photo, ImageSettings(stretch=True))
    for crop, tagged in zip(seen[0], dark.weak.crops, strict=True):
        x0, y0, x1, y1 = tagged.box_xyxy
        assert torch.equal(crop, as_tensor(whole[y0:y1, x0:x1]))
    assert dark.photo.max() < 32
    assert whole.max() == 255


def test_what_a_frozen_backbone_sees_of_a_stretched_crop_is_kept_as_another():
    photos = road_and_sky()[:1]
    names = [
        tags.TaggedBatches(
            photos=photos,
            categories=CATEGORIES,
            batch_size=1,
            settings=ImageSettings(stretch=stretch),
            seed=0,
        )[0].pixels
        for stretch in (False, False, True)
    ]
    assert names[0] == names[1]
    assert set(names[0][0]).isdisjoint(names[2][0])


def test_photos_are_looked_at_together_as_alone():
    torch.manual_seed(0)
    classifier = build_classifier(BackboneSettings(), len(CATEGORIES)).eval()
    photos = road_and_sky()[:3]
    together = see_classes(classifier, photos, ImageSettings(max_side=32), "float32")
    for photo, heat in zip(photos, together, strict=True):
        (alone,) = see_classes(classifier, [photo], ImageSettings(max_side=32), "float32")
        assert heat.shape == (2, 3, 32, 32)
        np.testing.assert_allclose(heat, alone, atol=1e-6)


def test_a_crop_without_tags_teaches_absence_and_is_left_unlabelled():
    weak = WeakLabel(
        image_id=1,
        crops=(TaggedCrop(box_xyxy=(0, 0, 32, 32), category_ids=()),),
        tagged_category_ids=(10, 20),
    )
    photo = TaggedPhoto(photo=np.full((32, 32, 3), 90, dtype=np.uint8), weak=weak)
    recipe = Recipe(
        descent=DescentSettings(batch_size=2, precision="float32"),
        classifier=StageSettings(steps=20, learning_rate=3e-3),
    )
    classifier = train_classifier([photo, photo], CATEGORIES, recipe, 0, CPU)
    (heat,) = see_classes(classifier, [photo], ImageSettings(), "float32")
    assert (label_from_tags(heat, photo, CATEGORIES, 0.5) == NO).all()
    logits = classifier(tags.as_tensor(photo.photo)[None])[0]
    assert logits[ROAD] < -0.5
    assert logits[SKY] < -0.5


def test_tagged_photos_are_read_once():
    labels = {f"{i}.png": make_label([[1, 1]], {1: 10}, image_id=i) for i in range(3)}
    dataset, read = make_dataset(labels, CATEGORIES), []

    def read_photo(image: Image) -> Photo:
        read.append(image.image_id)
        return dataset.read_photo(image)

    weak_of = {i: WeakLabel(image_id=i) for i in range(3)}
    counting = replace(dataset, read_photo=read_photo)
    photos = tagged_photos(counting, [(i, weak_of[int(i.image_id)]) for i in dataset.images[1:]])
    assert len(photos) == 2
    for _ in range(2):
        assert [tagged.weak.image_id for tagged in photos] == [1, 2]
        assert [tagged.photo.shape for tagged in photos] == [(1, 2, 3)] * 2
    assert read == [1, 2]


def test_crops_are_scored_with_probabilities():
    weak = WeakLabel(
        image_id=1,
        crops=tuple(TaggedCrop(box_xyxy=(x, 0, x + 4, 4), category_ids=(10,)) for x in (0, 4, 8)),
        tagged_category_ids=(10, 20),
    )
    tagged = TaggedPhoto(photo=np.zeros((4, 12, 3), dtype=np.uint8), weak=weak)

    class Fixed(torch.nn.Module):
        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 9.0, -9.0]]).expand(len(crops), -1)

    scores = score_crops(Fixed(), tagged, ImageSettings(), "float32", CPU)
    assert scores.shape == (3, 3)
    np.testing.assert_allclose(scores[2], [0.5, 1.0, 0.0], atol=2e-4)


def test_crops_count_alike_whatever_their_size(monkeypatch: pytest.MonkeyPatch):
    """Three wide photos and a tall one are a batch of two sizes, and of four crops."""
    asked = []
    real = tags.tag_loss

    def seen(logits: torch.Tensor, present: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(logits.shape))
        return real(logits, present, of)

    monkeypatch.setattr(tags, "tag_loss", seen)
    photos = []
    for number, (width, height) in enumerate([(40, 32)] * 3 + [(32, 40)]):
        crop = TaggedCrop(box_xyxy=(0, 0, width, height), category_ids=(10,))
        weak = WeakLabel(image_id=number, crops=(crop,), tagged_category_ids=(10, 20))
        photos.append(TaggedPhoto(photo=np.zeros((height, width, 3), np.uint8), weak=weak))
    recipe = Recipe(
        descent=DescentSettings(batch_size=4),
        classifier=StageSettings(steps=1, learning_rate=1e-3),
    )
    train_classifier(photos, CATEGORIES, recipe, 0, CPU)
    assert asked == [(4, 3)]
