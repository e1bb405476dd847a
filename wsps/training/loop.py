"""Every network is trained with this one loop of gradient descent.

The paper's learning rates (sec. B.1) fine-tune ImageNet weights with stochastic gradient descent;
the small networks start from nothing, so the default is Adam with a warm-up and a cosine decay.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from annotools.errors import RecipeError
from annotools.progress import track
from wsps.recipe import DescentSettings, StageSettings

Batch = TypeVar("Batch")

ParameterGroup = dict[str, Any]
"""What torch calls so: `params`, and where they differ from the stage's, `lr` and
`weight_decay`."""

WARM_UP_SHARE = 0.1
"""Share of a stage's steps in which the learning rate rises to its peak."""

GRADIENT_NORM_LIMIT = 10.0


def descend(
    parameters: Iterable[nn.Parameter] | Sequence[ParameterGroup],
    batches: Iterator[Batch],
    loss_of: Callable[[Batch], Tensor],
    descent: DescentSettings,
    stage: StageSettings,
    name: str,
) -> list[float]:
    """Minimise a loss for a stage's steps and return its values.

    Args:
        parameters: what is trained; those of a group have its own learning rate and weight decay.
        batches: to learn from, one a step.
        loss_of: the loss of a batch.
        descent: the optimizer and its weight decay.
        stage: steps and peak learning rate.
        name: of the stage, for the progress bar and messages.

    Raises:
        RecipeError: when the loss is no longer finite.
    """
    optimizer = build_optimizer(descent.optimizer, parameters, stage, descent.weight_decay)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i, stage.steps))
    losses = []
    for _ in track(range(stage.steps), f"training: {name}", total=stage.steps):
        loss = loss_of(next(batches))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(trained, GRADIENT_NORM_LIMIT)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        # Weights that are not finite would be stored and predict nothing.
        if not (math.isfinite(losses[-1]) and math.isfinite(norm)):
            raise RecipeError(f"training of {name} diverged: lower its learning_rate")
    return losses


def build_optimizer(
    name: str,
    parameters: Iterable[nn.Parameter] | Sequence[ParameterGroup],
    stage: StageSettings,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Return the optimizer with this name of `OPTIMIZERS`, at the stage's peak learning rate."""
    if name == "adam":
        return torch.optim.AdamW(parameters, lr=stage.learning_rate, weight_decay=weight_decay)
    return torch.optim.SGD(
        parameters, lr=stage.learning_rate, momentum=0.9, weight_decay=weight_decay
    )


def _rate(step: int, steps: int) -> float:
    """Return the learning rate at a step as a share of its peak: linear rise, cosine fall."""
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    if step < warm_up:
        # From 1 on, because a step at the rate 0 would learn nothing.
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
