from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from annotools.categories import IGNORE_INDEX
from annotools.formats import read_dataset
from annotools.scenes.world import SKY
from annotools.weak_labels.annotators import Annotator, read_annotator
from studies.purchases import Purchase, buy_labels, first_examples, relabelled_examples
from studies.study import Study
from tests.studies.study_builders import make_study
from wsps.data import TrainingExample
from wsps.pseudo_labels.label_store import BoxLabelStore

CPU = torch.device("cpu")
KIND_OF = {0: "full", 1: "boxes", 2: "none"}


class Sky(nn.Module):
    """Sees nothing but sky, and is sure of it."""

    def __init__(self, class_index: int, num_classes: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.eye(num_classes)[class_index] * 50)

    def forward(self, images: Tensor) -> Tensor:
        """Return (B, K, H, W) logits."""
        batch, _, height, width = images.shape
        return self.logits.reshape(1, -1, 1, 1).expand(batch, -1, height, width)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return make_study(tmp_path)


def buy(study: Study, folder: Path, annotator: Annotator | None = None, seed: int = 0) -> Purchase:
    root = study.dataset.root
    store = BoxLabelStore(folder=folder / "box_labels", source=("scenes", root, "train"))
    dataset = read_dataset("scenes", root, "train")
    return buy_labels(dataset, KIND_OF, annotator or Annotator(), store, study.recipe, seed)


def examples_of(bought: Purchase) -> tuple[TrainingExample, TrainingExample]:
    groups = first_examples(bought, CPU)
    assert sorted(groups) == ["boxes", "full"]
    assert [len(group) for group in groups.values()] == [1, 1]
    return groups["boxes"][0], groups["full"][0]


def annotator_with(folder: Path, text: str) -> Annotator:
    path = folder / "habits.toml"
    path.write_text(text)
    return read_annotator(path)


def box_labels(folder: Path) -> set[str]:
    return {path.name for path in (folder / "box_labels").iterdir()}


def test_images_without_a_label_are_no_examples_at_first(study: Study, tmp_path: Path) -> None:
    bought = buy(study, tmp_path)
    boxes, full = examples_of(bought)
    images = bought.dataset
    np.testing.assert_array_equal(full.photo, images.read_photo(images.images[0]))
    np.testing.assert_array_equal(boxes.photo, images.read_photo(images.images[1]))


def test_mistakes_are_in_the_training_labels(study: Study, tmp_path: Path) -> None:
    boxes, full = examples_of(buy(study, tmp_path))
    first = box_labels(tmp_path)
    habits = "[boxes]\ncorner_shift = 0.2\n[polygons]\nboundary_shift = 2"
    careless = annotator_with(tmp_path, habits)
    other_boxes, other_full = examples_of(buy(study, tmp_path, careless))
    assert boxes.boxes_xyxy.shape == other_boxes.boxes_xyxy.shape
    assert not np.array_equal(boxes.boxes_xyxy, other_boxes.boxes_xyxy)
    assert len(box_labels(tmp_path)) == len(first) + 1
    assert 0.5 < np.mean(full.classes == other_full.classes) < 1
    other_seed, _ = examples_of(buy(study, tmp_path, careless, seed=1))
    assert not np.array_equal(other_seed.boxes_xyxy, other_boxes.boxes_xyxy)


def test_the_perfect_annotator_changes_nothing(study: Study, tmp_path: Path) -> None:
    before = examples_of(buy(study, tmp_path))
    after = examples_of(buy(study, tmp_path, annotator_with(tmp_path, "")))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_array_equal(one.instances, other.instances)
        np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)
    assert len(box_labels(tmp_path)) == 1


def test_a_round_relabels_all_but_full_labels(study: Study, tmp_path: Path) -> None:
    bought = buy(study, tmp_path)
    categories = bought.dataset.categories
    sky = categories.class_index_of[SKY]
    first = first_examples(bought, CPU)
    network = Sky(sky, len(categories)).eval()
    boxes, full, none = (group[0] for group in relabelled_examples(bought, first, network, 1))
    assert full is first["full"][0]
    assert (none.classes == sky).all()
    assert not none.has_boxes
    # The masks from boxes overrule the network; all else is sky as it says.
    things = np.isin(first["boxes"][0].classes, categories.thing_indices)
    assert things.any()
    np.testing.assert_array_equal(boxes.classes[things], first["boxes"][0].classes[things])
    assert set(np.unique(boxes.classes[~things])) <= {sky, *categories.thing_indices}
    assert IGNORE_INDEX not in boxes.classes
    np.testing.assert_array_equal(boxes.boxes_xyxy, first["boxes"][0].boxes_xyxy)


def test_tags_train_a_classifier_whose_maps_are_the_labels(study: Study, tmp_path: Path) -> None:
    recipe = replace(study.recipe, tags=replace(study.recipe.tags, crop_size_wh=(32, 24)))
    bought = replace(buy(replace(study, recipe=recipe), tmp_path), images_of={})
    images = bought.dataset.images[:1]
    store = bought.box_labels
    kinds = {images[0].image_id: "tags"}
    bought = buy_labels(bought.dataset, kinds, Annotator(), store, recipe, 0)
    example = first_examples(bought, CPU)["tags"][0]
    tagged = bought.weak_of[images[0].image_id]
    present = {c for crop in tagged.crops for c in crop.category_ids}
    allowed = {bought.dataset.categories.class_index_of[c] for c in present} | {IGNORE_INDEX}
    assert set(np.unique(example.classes)) <= allowed
    assert not example.has_boxes
