"""Choose where networks run. Torch is loaded by the function that needs it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def choose_device() -> "torch.device":
    """Return the GPU where there is one, else the processor."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_gpu() -> bool:
    """Return whether networks run on a GPU."""
    return choose_device().type == "cuda"
