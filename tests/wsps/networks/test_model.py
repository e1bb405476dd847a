import torch

from tests.builders import make_categories
from wsps.networks.model import PanopticModel, build_model
from wsps.recipe import Recipe

CATEGORIES = make_categories(things=("car", "bus"), stuff=("road",))


def build(seed: int) -> PanopticModel:
    return build_model(Recipe(), CATEGORIES, seed, torch.device("cpu"))


def test_the_weights_follow_from_the_seed():
    first, same, other = (build(seed).semantic.state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_the_networks_have_the_classes_of_the_dataset():
    model = build(0)
    assert model.semantic.eval()(torch.zeros(1, 3, 32, 32)).shape[1] == 3
    assert model.detector.get_buffer("thing_indices").tolist() == [1, 2]
    assert model.instance.get_buffer("stuff_indices").tolist() == [0]
