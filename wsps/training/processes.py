"""Several processes under `torchrun` train one network, each on its share of every batch.

A process alone is one of one: then nothing here does anything. Batch-normalisation statistics that
are trained are those of a process's own images, and are averaged when a network is stored.
"""

import os
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from annotools.errors import RecipeError


def count_processes() -> int:
    """Return how many processes train together; `torchrun` says so in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Return whether this process is the one that writes files and talks."""
    return os.environ.get("RANK", "0") == "0"


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
    PartialState(cpu=not torch.cuda.is_available())


def own_places(batch_size: int) -> range:
    """Return the places in a batch that are this process's.

    Raises:
        RecipeError: when the processes cannot share the batch equally.
    """
    count = count_processes()
    if batch_size % count:
        raise RecipeError(
            f"descent.batch_size {batch_size} is not a multiple of the {count} processes: change it"
        )
    share = batch_size // count
    first = int(os.environ.get("RANK", "0")) * share
    return range(first, first + share)


def mean_over_processes(values: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes; no gradient flows through it."""
    if count_processes() == 1:
        return values
    from accelerate.utils import reduce

    mean: Tensor = reduce(values.detach().to(torch.float32), reduction="mean")
    return mean


def agree(flags: Sequence[bool]) -> list[bool]:
    """Return which flags any process has raised."""
    if count_processes() == 1:
        return list(flags)
    from accelerate import PartialState

    told = torch.tensor([float(flag) for flag in flags], device=PartialState().device)
    return [share > 0 for share in mean_over_processes(told).tolist()]


def wait_for_all() -> None:
    """Return when all processes are here."""
    if count_processes() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their mean over the processes, all in one message."""
    if count_processes() == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    # A process whose images have nothing to learn from has no gradient, and still takes part.
    own = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    _spread(own, [parameter.shape for parameter in trained])
    for parameter, gradient in zip(trained, own, strict=True):
        parameter.grad = gradient


@torch.no_grad()
def average_statistics(network: nn.Module) -> None:
    """Replace what a network counts, such as running means, by its mean over the processes."""
    if count_processes() == 1:
        return
    counted = [values for values in network.buffers() if values.is_floating_point()]
    _spread(counted, [values.shape for values in counted])


def _spread(tensors: Sequence[Tensor], shapes: Sequence[torch.Size]) -> None:
    """Overwrite tensors by their means over the processes."""
    if not tensors:
        return
    mean = mean_over_processes(torch.cat([values.flatten() for values in tensors]))
    parts = torch.split(mean, [shape.numel() for shape in shapes])
    for values, part in zip(tensors, parts, strict=True):
        values.copy_(part.view_as(values))
