"""What goes over from one run to another, row by row."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from annotools.categories import CategorySet
from annotools.errors import RecipeError
from tests.builders import make_categories
from wsps.networks.model import PanopticModel, build_model
from wsps.recipe import BackboneSettings, InstanceSettings, Recipe, SemanticSettings
from wsps.training.start import take_over

ALL = ("semantic", "detector", "instance")
RUN = Path("run")
RECIPE = Recipe(instance=InstanceSettings(steps=0, learning_rate=1e-3))
# Places in the set, and numbers of the detector: road 0, sky 1, car 2 (1), bus 3 (2), dog 4 (3).
OLD = make_categories(things=("car", "bus", "dog"), stuff=("road", "sky"))
# sea 0, road 1, dog 2 (1), cat 3 (2), car 4 (3)
NEW = make_categories(things=("dog", "cat", "car"), stuff=("sea", "road"))
CLASS_LAYERS = ("classify.", "box_predictor.")


def build(categories: CategorySet, seed: int, recipe: Recipe = RECIPE) -> PanopticModel:
    return build_model(recipe, categories, seed, torch.device("cpu"))


def tensors_of(model: PanopticModel) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": tensor.clone()
        for name in ALL
        for key, tensor in getattr(model, name).state_dict().items()
    }


def check_rows(before: Tensor, old: Tensor, after: Tensor, rows: Sequence[int | None]) -> None:
    """Each row is that of the old layer which `rows` names, or as it was where that is None."""
    assert len(after) == len(rows)
    for number, row in enumerate(rows):
        assert torch.equal(after[number], before[number] if row is None else old[row]), number


@pytest.fixture
def models() -> tuple[PanopticModel, PanopticModel]:
    """A model to train, and one whose every weight differs, those of normalisation too."""
    other = build(OLD, 1)
    for name in ALL:
        for values in getattr(other, name).parameters():
            values.data += 0.5
        for key, values in getattr(other, name).named_buffers():
            if key.endswith(("running_mean", "running_var")):
                values += 0.5
    return build(NEW, 0), other


def test_layers_that_classify_go_over_by_the_names_of_categories(
    models: tuple[PanopticModel, PanopticModel],
) -> None:
    model, other = models
    before, old = tensors_of(model), tensors_of(other)
    take_over(model, other, ALL, RUN)
    after = tensors_of(model)
    predictor = "detector.network.roi_heads.box_predictor"
    corners = [*range(4), *range(12, 16), *[None] * 4, *range(4, 8)]
    for kind in ("weight", "bias"):
        rows_of: dict[str, Sequence[int | None]] = {
            "semantic.classify": (None, 0, 4, None, 2),
            f"{predictor}.cls_score": (0, 3, None, 1),
            f"{predictor}.bbox_pred": corners,
        }
        for layer, rows in rows_of.items():
            name = f"{layer}.{kind}"
            assert not torch.equal(before[name][1], old[name][1])
            check_rows(before[name], old[name], after[name], rows)


def test_all_other_layers_go_over_whole(models: tuple[PanopticModel, PanopticModel]) -> None:
    model, other = models
    old = tensors_of(other)
    taken = take_over(model, other, ALL, RUN)
    for name, tensor in tensors_of(model).items():
        if name.endswith("_indices"):  # These are the model's own.
            continue
        if not any(part in name for part in CLASS_LAYERS):
            assert torch.equal(tensor, old[name]), name
    assert model.detector.get_buffer("thing_indices").tolist() == [2, 3, 4]
    assert all(found["taken"] == found["tensors"] > 0 for found in taken.values())


def test_more_categories_than_the_run_knew_and_none_in_common(
    models: tuple[PanopticModel, PanopticModel],
) -> None:
    _, other = models
    model = build(make_categories(things=("cup",), stuff=("table",)), 0)
    before, old = tensors_of(model), tensors_of(other)
    taken = take_over(model, other, ALL, RUN)
    after = tensors_of(model)
    assert torch.equal(before["semantic.classify.weight"], after["semantic.classify.weight"])
    name = "detector.network.roi_heads.box_predictor.cls_score.weight"
    check_rows(before[name], old[name], after[name], (0, None))
    # The weight and the bias of the pixels' classes.
    assert taken["semantic"]["tensors"] - taken["semantic"]["taken"] == 2


def test_a_thing_is_no_stuff_to_the_detector(models: tuple[PanopticModel, PanopticModel]) -> None:
    _, other = models
    model = build(make_categories(things=("road",), stuff=("car",)), 0)
    before, old = tensors_of(model), tensors_of(other)
    take_over(model, other, ALL, RUN)
    after = tensors_of(model)
    name = "detector.network.roi_heads.box_predictor.cls_score.weight"
    check_rows(before[name], old[name], after[name], (0, None))
    name = "semantic.classify.weight"  # car 0, road 1
    check_rows(before[name], old[name], after[name], (2, 0))


def test_networks_that_the_run_did_not_train_stay(
    models: tuple[PanopticModel, PanopticModel],
) -> None:
    model, other = models
    before = tensors_of(model)
    assert set(take_over(model, other, ("semantic",), RUN)) == {"semantic"}
    for name, tensor in tensors_of(model).items():
        if not name.startswith("semantic."):
            assert torch.equal(tensor, before[name])


def test_another_backbone_is_refused(models: tuple[PanopticModel, PanopticModel]) -> None:
    model, other = models
    for settings, message in (
        (BackboneSettings(name="resnet50"), "the backbone resnet50 for colours of its own, and"),
        (
            BackboneSettings(input="caffe"),
            "the backbone small for colours of caffe, and the recipe",
        ),
        (BackboneSettings(norm="group"), "backbone.norm = 'group', and the recipe has 'batch'"),
    ):
        recipe = replace(other.recipe, backbone=settings)
        with pytest.raises(RecipeError, match=f"^run: was trained with {message}"):
            take_over(model, replace(other, recipe=recipe), ALL, RUN)


def test_the_auxiliary_classifier_goes_over_by_category_too() -> None:
    recipe = replace(
        RECIPE,
        backbone=BackboneSettings(name="resnet18"),
        semantic=SemanticSettings(steps=0, learning_rate=1e-3, auxiliary_weight=0.4),
    )
    model, other = build(NEW, 0, recipe), build(OLD, 1, recipe)
    before, old = tensors_of(model), tensors_of(other)
    taken = take_over(model, other, ("semantic",), RUN)["semantic"]
    assert taken["taken"] == taken["tensors"]
    after = tensors_of(model)
    for kind in ("weight", "bias"):
        name = f"semantic.auxiliary.1.{kind}"
        check_rows(before[name], old[name], after[name], (None, 0, 4, None, 2))
    # A run without one leaves it as it was.
    plain = build(OLD, 1, replace(recipe, semantic=replace(recipe.semantic, auxiliary_weight=0.0)))
    model = build(NEW, 0, recipe)
    taken = take_over(model, plain, ("semantic",), RUN)["semantic"]
    missing = [name for name in before if name.startswith("semantic.auxiliary.")]
    assert taken["tensors"] - taken["taken"] == len(missing) > 0
    assert all(torch.equal(tensors_of(model)[name], before[name]) for name in missing)
