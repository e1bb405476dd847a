"""Networks as files, each with the key of what it was trained from: none is trained twice.

Torch is loaded by the functions that need it: a process that labels from boxes does without.
"""

import io
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, TypeVar

from annotools.files import write_whole

if TYPE_CHECKING:
    import torch
    from torch import nn

    Network = TypeVar("Network", bound=nn.Module)


def store_weights(path: Path, key: str, train: "Callable[[], nn.Module]") -> None:
    """Train a network and write it to a file, unless the file has it already.

    Args:
        path: of the file.
        key: names all that the network depends on.
        train: returns the trained network.

    Raises:
        OSError: when the file cannot be written.
    """
    import torch

    if _stored_key(path) == key:
        return
    state = {name: values.cpu() for name, values in train().state_dict().items()}
    content = io.BytesIO()
    torch.save({"key": key, "state": state}, content)
    write_whole(path, content.getvalue())


def load_weights(path: Path, network: "Network") -> "Network":
    """Return the network with the weights of a file, in evaluation mode, on `choose_device()`."""
    import torch

    network.load_state_dict(torch.load(path, weights_only=True)["state"])
    return network.to(choose_device()).eval()


def choose_device() -> "torch.device":
    """Return the GPU where there is one, else the processor."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _stored_key(path: Path) -> str | None:
    """Return what the network of a file was trained from, None for a missing or damaged file."""
    import torch

    try:
        stored: dict[str, str] = torch.load(path, weights_only=True)
        return stored["key"]
    except (OSError, RuntimeError, EOFError, UnpicklingError, KeyError):
        return None
