"""What a frozen backbone sees: once for each view, whoever asks, and the same as if seen anew."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from annotools.scenes.world import SCENE_CATEGORIES
from tests.wsps.lessons import RECIPE, full_examples
from wsps import device
from wsps.features import keep_features, name_pixels, see_frozen
from wsps.networks.backbone import Backbone, build_backbone
from wsps.networks.detector import Detector
from wsps.networks.model import build_model
from wsps.recipe import BackboneSettings, Recipe, ViewSettings
from wsps.students import predict
from wsps.training.loop import Running
from wsps.training.stages import (
    train_detector,
    train_instance,
    train_semantic,
    view_batches,
)

CPU = torch.device("cpu")
FROZEN = replace(
    RECIPE,
    backbone=BackboneSettings(frozen=True),
    views=ViewSettings(crop_size_wh=(64, 64), per_photo=2),
)


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    return build_backbone(FROZEN.backbone)


def count_passes(backbone: Backbone) -> list[int]:
    """A list that grows by the number of images of each pass."""
    passes: list[int] = []
    backbone.register_forward_pre_hook(lambda _, given: passes.append(len(given[0])))
    return passes


def test_what_another_precision_saw_is_not_taken(
    backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    keys = {}
    for has_units in (False, True):
        monkeypatch.setattr(device, "_has_bfloat16", lambda _, has=has_units: has)
        for precision in ("auto", "float32", "bfloat16"):
            keys[has_units, precision] = keep_features(backbone, tmp_path, precision).key
    # What `auto` is hangs on the machine.
    assert keys[False, "auto"] == keys[False, "float32"] == keys[True, "float32"]
    assert keys[True, "auto"] == keys[True, "bfloat16"] == keys[False, "bfloat16"]
    assert keys[False, "auto"] != keys[True, "auto"]


def test_equal_pictures_are_seen_once(backbone: Backbone, tmp_path: Path):
    passes = count_passes(backbone)
    kept = keep_features(backbone, tmp_path, "float32")
    photos = [np.full((8, 12, 3), grey, np.uint8) for grey in (10, 200, 10)]
    images = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float()
    names = [name_pixels(photo) for photo in photos]
    first = kept.see(images, names)
    assert passes == [1, 1]
    assert first.shape == (3, 64, 2, 3)
    again = keep_features(backbone, tmp_path, "float32").see(images, names)
    assert passes == [1, 1]
    assert torch.equal(first, again)
    # As half precision has it.
    assert torch.equal(first, see_frozen(backbone, images).half().float())
    assert not first.requires_grad


def test_pictures_of_another_shape_with_the_same_bytes_are_others():
    photo = np.zeros((4, 6, 3), np.uint8)
    assert name_pixels(photo) != name_pixels(photo.reshape(6, 4, 3))


@pytest.mark.parametrize("change", ["weights", "precision", "stride"])
def test_another_backbone_sees_anew(backbone: Backbone, tmp_path: Path, change: str):
    image, precision, other = torch.zeros(1, 3, 32, 32), "float32", backbone
    keep_features(backbone, tmp_path, precision).see(image, ["name"])
    if change == "weights":
        torch.manual_seed(1)
        other = build_backbone(FROZEN.backbone)
    elif change == "precision":
        precision = "bfloat16"
    else:
        other.layers.get_submodule("3.0").dilation = (1, 2)
    passes = count_passes(other)
    keep_features(other, tmp_path, precision).see(image, ["name"])
    assert passes == [1]


@pytest.mark.parametrize("content", [b"", b"no array", "cut", "wide"])
def test_a_damaged_file_is_made_again(backbone: Backbone, tmp_path: Path, content: bytes | str):
    kept, image = keep_features(backbone, tmp_path, "float32"), torch.rand(1, 3, 16, 16) * 255
    before = kept.see(image, ["name"])
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    if content == "cut":
        content = whole[:-10]
    if content == "wide":
        np.save(path, np.zeros((63, 4, 4), np.float16))
    else:
        assert isinstance(content, bytes)
        path.write_bytes(content)
    assert torch.equal(kept.see(image, ["name"]), before)
    assert path.read_bytes() == whole


def test_views_of_a_photo_come_again_in_turn_and_are_the_same_for_every_seed():
    examples = full_examples(2)
    numbered = [replace(e, name=str(n)) for n, e in enumerate(examples)]
    batches = [view_batches([numbered], FROZEN, seed, stage) for seed in (0, 1) for stage in "ab"]
    # Two photos with two views each: four steps of one epoch each show all of them twice.
    seen = [[name for step in range(4) for name in one[step].pixels] for one in batches]
    assert all(len(set(names)) == 4 and len(names) == 8 for names in seen)
    assert all(set(names) == set(seen[0]) for names in seen)
    assert all(set(names[:4]) == set(names[4:]) for names in seen)


def test_views_are_new_ones_and_have_no_names_where_their_number_is_open():
    batches = view_batches([full_examples(1)], RECIPE, 0, "a")
    assert batches[0].pixels == ()
    assert not torch.equal(batches[0].images, batches[1].images)


def train_all(recipe: Recipe, folder: Path | None) -> list[Tensor]:
    """All weights and losses after the three stages."""
    examples = full_examples(2)
    model = build_model(recipe, SCENE_CATEGORIES, seed=0, device=CPU)
    backbone = {n: v.clone() for n, v in model.semantic.trunk.backbone.state_dict().items()}
    running = Running(features=folder)
    batches = view_batches([examples], recipe, 0, "detector")
    assert model.detector is not None
    courses = [
        train_semantic(model.semantic, [examples], recipe, 0, 0, running),
        train_detector(model, batches, running),
        train_instance(model, batches, running),
    ]
    for name, values in model.semantic.trunk.backbone.state_dict().items():
        assert torch.equal(values, backbone[name])
    semantic, detector = courses[0].losses, courses[1].losses
    assert np.mean(semantic[-5:]) < np.mean(semantic[:5])
    assert np.mean(detector[-5:]) < np.mean(detector[:5])
    predict(model, examples[0].photo, 0)
    states = [model.semantic.state_dict(), model.detector.state_dict()]
    losses = [torch.tensor(course.losses) for course in courses]
    return [*(values for state in states for values in state.values()), *losses]


def test_stages_learn_on_kept_features_and_a_second_run_sees_nothing_again(tmp_path: Path):
    first = train_all(FROZEN, tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    # Two views of each of two photos, for all three stages.
    assert len(files) == 4
    again = train_all(FROZEN, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_without_a_number_of_views_or_a_folder_features_are_seen_at_each_step(tmp_path: Path):
    train_all(replace(FROZEN, views=RECIPE.views), tmp_path)
    assert not list(tmp_path.iterdir())
    train_all(FROZEN, None)


@pytest.mark.parametrize("size_hw", [(64, 96), (50, 70), (20, 33)])
def test_a_detector_on_one_map_finds_a_box_where_it_is(size_hw: tuple[int, int]):
    """Anchors of all levels lie where the pixels are, though the last cells are cut."""
    detector = Detector(BackboneSettings(frozen=True), (0,))
    height, width = size_hw
    features = torch.zeros(1, 64, -(-height // 4), -(-width // 4))
    levels = detector.network.backbone(features)
    strides = [2, 4, 8, 16]
    rows, columns = levels["0"].shape[2:]
    for stride, level in zip(strides, levels.values(), strict=True):
        assert level.shape[2:] == (rows * 2 // stride, columns * 2 // stride)
    assert rows * 2 >= height
    assert columns * 2 >= width
    found = detector.detect(torch.zeros(1, 3, height, width), 0.0, 50, features)[0].boxes_xyxy
    assert found[:, 2].max() <= width
    assert found[:, 3].max() <= height


def test_a_detector_with_its_own_backbone_and_one_map_pads_to_whole_cells_of_all_levels():
    detector = Detector(BackboneSettings(name="thin-resnet50", output_stride=32), (0, 1))
    boxes, classes = [torch.tensor([[3.0, 4.0, 60.0, 50.0]])], [torch.tensor([1])]
    loss = detector.loss(torch.rand(1, 3, 70, 90) * 255, boxes, classes)
    loss.backward()
    assert loss.isfinite()
    body = detector.network.backbone.get_submodule("0")
    assert all(p.grad is not None for p in body.parameters())
    backbone = build_backbone(BackboneSettings(name="thin-resnet50", output_stride=32))
    detector.start_from(backbone)
    for name, values in backbone.layers.state_dict().items():
        assert torch.equal(body.state_dict()[name], values)


def test_features_beyond_half_precision_are_kept_as_they_are(tmp_path: Path):
    class Loud(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.repeat(1, 22, 1, 1)[:, :64] * 1000

    loud = Loud()
    loud.out_channels = 64
    kept = keep_features(loud, tmp_path, "float32")
    image = torch.tensor([10.0, 255.0]).expand(1, 3, 4, 2)
    for _ in range(2):
        features = kept.see(image, ["name"])
        assert features.isfinite().all()
        assert features.max() == 255_000
