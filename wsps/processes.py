"""Several processes under `torchrun` train one network, each on its share of every batch.

A process alone is one of one: then nothing here does anything. Torch is loaded by the functions
that need it.
"""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from annotools.errors import RecipeError

if TYPE_CHECKING:
    from torch import Tensor, nn


def count_processes() -> int:
    """Return how many processes train together; `torchrun` says so in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Return whether this process is the one that writes files and talks."""
    return _rank() == 0


def join_processes() -> None:
    """Meet the other processes, each on a GPU of its own where there are some; once is enough.

    Raises:
        RecipeError: when Accelerate is not installed.
    """
    if count_processes() == 1:
        return
    try:
        from accelerate import PartialState
    except ModuleNotFoundError as error:
        raise RecipeError(
            "several processes need Accelerate: pip install 'annotools[parallel]'"
        ) from error
    import torch

    PartialState(cpu=not torch.cuda.is_available())


def wait_for_all() -> None:
    """Return when all processes are here."""
    if count_processes() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def own_places(batch_size: int) -> range:
    """Return the places in a batch that are this process's.

    Raises:
        RecipeError: when the processes cannot share the batch equally.
    """
    count = count_processes()
    if batch_size % count:
        raise RecipeError(
            f"descent.batch_size = {batch_size}: {count} processes cannot share it equally: set "
            f"{count * -(-batch_size // count)}"
        )
    share = batch_size // count
    return range(_rank() * share, (_rank() + 1) * share)


def mean_over_processes(values: "Tensor") -> "Tensor":
    """Return the mean of a tensor over the processes; no gradient flows through it."""
    if count_processes() == 1:
        return values
    from accelerate.utils import reduce

    mean: Tensor = reduce(values.detach().float(), reduction="mean")
    return mean


def agree(flags: Sequence[bool]) -> list[bool]:
    """Return which flags any process has raised."""
    if count_processes() == 1:
        return list(flags)
    import torch
    from accelerate import PartialState

    told = torch.tensor([float(flag) for flag in flags], device=PartialState().device)
    return [share > 0 for share in mean_over_processes(told).tolist()]


def average_gradients(parameters: "Iterable[nn.Parameter]") -> None:
    """Replace gradients by their mean over the processes, all in one message."""
    if count_processes() == 1:
        return
    import torch

    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trained:
        # A process whose images have nothing to learn from has no gradient, and still takes part.
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    mean = mean_over_processes(torch.cat([gradient.flatten() for gradient in gradients]))
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, part in zip(gradients, torch.split(mean, sizes), strict=True):
        gradient.copy_(part.view_as(gradient))


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))
