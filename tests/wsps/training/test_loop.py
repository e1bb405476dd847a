import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from annotools.errors import RecipeError
from wsps.recipe import DescentSettings, StageSettings
from wsps.training.loop import descend

STAGE = StageSettings(steps=100, learning_rate=0.1)


def run(optimizer: str, stage: StageSettings, seed: int = 0) -> tuple[list[float], Tensor]:
    """Fit a linear layer to y = 2 x - 1."""
    torch.manual_seed(seed)
    layer = nn.Linear(1, 1)
    x = torch.linspace(-1, 1, 16)[:, None]

    def loss_of(noise: float) -> Tensor:
        return (layer(x) - (2 * x - 1) + noise).square().mean()

    descent = DescentSettings(optimizer=optimizer, weight_decay=0.0)
    losses = descend(layer.parameters(), itertools.repeat(0.0), loss_of, descent, stage, "toy")
    return losses, torch.cat([layer.weight.detach().flatten(), layer.bias.detach()])


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_toy_problem_is_solved_and_repeats_bit_by_bit(optimizer: str):
    losses, solution = run(optimizer, STAGE)
    assert len(losses) == STAGE.steps
    assert solution.tolist() == pytest.approx([2.0, -1.0], abs=0.05)
    assert losses[-1] < 1e-3 < losses[0]
    again, same = run(optimizer, STAGE)
    assert again == losses
    assert torch.equal(same, solution)


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    weight = nn.Parameter(torch.zeros(()))
    descent = DescentSettings(optimizer="adam", weight_decay=0.0)
    # Of a constant gradient Adam makes steps of exactly the learning rate.
    places = descend(
        [weight], itertools.repeat(None), lambda _: weight * 1.0, descent, STAGE, "toy"
    )
    rates = [a - b for a, b in itertools.pairwise(places)]
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(STAGE.learning_rate, rel=1e-3)
    assert rates[0] < 0.2 * STAGE.learning_rate
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert peak < 0.2 * STAGE.steps
    assert rates[-1] < 0.01 * STAGE.learning_rate


def test_no_steps_change_nothing_and_frozen_weights_stay():
    losses, start = run("adam", StageSettings(steps=0, learning_rate=0.1))
    assert losses == []
    frozen, free = nn.Parameter(torch.ones(1), requires_grad=False), nn.Parameter(torch.ones(1))
    descend(
        [frozen, free],
        itertools.repeat(None),
        lambda _: (frozen * free).square().sum(),
        DescentSettings(),
        StageSettings(steps=3, learning_rate=0.1),
        "toy",
    )
    assert frozen.item() == 1.0
    assert free.item() < 1.0
    assert all(math.isfinite(value) for value in start.tolist())


def test_an_unknown_optimizer_is_named():
    with pytest.raises(RecipeError, match="unknown optimizer 'lion': use adam or sgd"):
        run("lion", STAGE)


def test_a_gradient_that_is_no_number_is_told():
    weight = nn.Parameter(torch.zeros(()))

    def loss_of(_: None) -> Tensor:
        return (weight**2).sqrt() * 0.0  # The gradient of the root is infinite at 0.

    with pytest.raises(RecipeError, match="training of toy diverged"):
        descend([weight], itertools.repeat(None), loss_of, DescentSettings(), STAGE, "toy")


def test_a_group_of_parameters_has_its_own_rate_and_decay():
    first, second = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))
    groups = [{"params": [first]}, {"params": [second], "lr": 0.5, "weight_decay": 0.0}]
    descent = DescentSettings(optimizer="sgd", weight_decay=0.1)
    stage = StageSettings(steps=1, learning_rate=0.1)
    descend(groups, itertools.repeat(None), lambda _: first + second, descent, stage, "toy")
    assert first.item() == pytest.approx(1 - 0.1 * (1 + 0.1))
    assert second.item() == pytest.approx(1 - 0.5)
