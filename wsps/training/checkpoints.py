"""Keep networks as files, each with the key of what it was trained from: none is trained twice.

Torch is loaded by the functions that need it: a process that labels from boxes does without.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from annotools.files import write_whole
from wsps.device import choose_device

if TYPE_CHECKING:
    from torch import nn

    Network = TypeVar("Network", bound=nn.Module)


NETWORK_FILE = "network.pt"
"""The semantic network that the labels of a round trained, in the folder of the round."""


@dataclass(frozen=True, kw_only=True)
class StoredNetwork:
    """A network in a file; `key` names all that it was trained from."""

    path: Path
    key: str


def store_weights(path: Path, key: str, train: "Callable[[], nn.Module]") -> StoredNetwork:
    """Train a network and write it to a file, unless the file has it already.

    Args:
        path: of the file.
        key: names all that the network is trained from.
        train: returns the trained network.

    Raises:
        OSError: when the file cannot be written.
    """
    import torch

    stored = StoredNetwork(path=path, key=key)
    if _stored_key(path) == key:
        return stored
    # From the GPU to the CPU, so that a machine without a GPU can read the file.
    state = {name: values.cpu() for name, values in train().state_dict().items()}
    content = io.BytesIO()
    torch.save({"key": key, "state": state}, content)
    write_whole(path, content.getvalue())
    return stored


def load_weights(path: Path, network: "Network") -> "Network":
    """Return the network with the weights of a file, in evaluation mode, on `choose_device()`."""
    import torch

    network.load_state_dict(torch.load(path, weights_only=True)["state"])
    return network.to(choose_device()).eval()


def _stored_key(path: Path) -> str | None:
    """Return what the network of a file was trained from, None for a missing or damaged file."""
    import torch

    try:
        stored = torch.load(path, weights_only=True)
    # Damage shows in the decoder as any error: which one depends on the byte.
    except Exception:
        return None
    key = stored.get("key") if isinstance(stored, dict) else None
    return key if isinstance(key, str) else None
