"""Keep networks as files, each with the key of what it was trained from: none is trained twice.

The file of a stage that is not finished has all that the next step depends on, so that a training
that was stopped goes on as if it had not been. Torch is loaded by the functions that need it: a
process that labels from boxes does without.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from annotools.errors import DatasetError
from annotools.seals import read_sealed, write_sealed
from annotools.work_folder import STATE_FOLDER
from wsps.device import choose_device
from wsps.processes import agree, is_main, wait_for_all

if TYPE_CHECKING:
    from torch import Tensor, nn

    Network = TypeVar("Network", bound=nn.Module)


NETWORK_FILE = "network.pt"
"""The semantic network that the labels of a round trained, in the folder of the round."""

TRAINING_VERSION = 3
"""Raised whenever the same recipe, labels and seed would train another network: a stage that was
stopped before does not go on then."""

FEATURES_FOLDER = "features"
"""Where what a frozen backbone sees is kept while networks are trained, by `wsps.features`."""


def features_folder(out: Path) -> Path:
    """Return the folder of that name of a run, or of labels, which have one of their own."""
    return out / STATE_FOLDER / FEATURES_FOLDER


@dataclass(frozen=True, kw_only=True)
class StoredNetwork:
    """A network in a file; `key` names all that it was trained from."""

    path: Path
    key: str

    def read_progress(self) -> dict[str, Any] | None:
        """Return key, state and progress of the file, None without one or of another training.

        The progress of a finished stage is None.
        """
        content = _read(self.path)
        return content if content is not None and content["key"] == self.key else None

    def write_progress(self, state: "Mapping[str, Tensor]", progress: Mapping[str, Any]) -> None:
        """Write an unfinished stage: the network's state and what else its next step depends on.

        Raises:
            OSError: when the file cannot be written; the one before is still there then.
        """
        if is_main():
            _write(self.path, self.key, state, progress)


def store_weights(
    path: Path,
    key: str,
    train: "Callable[[StoredNetwork], nn.Module]",
    *,
    is_noted: bool = True,
) -> StoredNetwork:
    """Train a network and write it to a file, unless the file has it already.

    Of processes that train together the first one writes, and the others wait for it.

    Args:
        path: of the file.
        key: names all that the network is trained from.
        train: returns the trained network; it is given the file, for the progress on the way.
        is_noted: whether what else the training gives is there; if not, it is done again.

    Raises:
        OSError: when the file cannot be written.
    """
    stored = StoredNetwork(path=path, key=key)
    found = _read(path)
    is_there = found is not None and found["key"] == key and found["progress"] is None
    # All do the same: one that looks later may see what the first one has just written.
    (is_missing,) = agree([not (is_noted and is_there)])
    if not is_missing:
        return stored
    state = train(stored).state_dict()
    if is_main():
        _write(path, key, state, None)
    wait_for_all()
    return stored


def load_weights(path: Path, network: "Network", key: str | None) -> "Network":
    """Return the network with the weights of a file, in evaluation mode, on `choose_device()`.

    Args:
        path: of the file.
        network: of the same layers.
        key: of what the network has to be trained from, None where nobody knows it.

    Raises:
        DatasetError: when the file is missing, damaged or not finished, or has another network.
    """
    content = _read(path)
    if content is None:
        state = "damaged, or not a network of annotools" if path.is_file() else "missing"
        raise DatasetError(f"{path}: {state}: repeat its training, which makes what is not whole")
    if key is not None and content["key"] != key:
        raise DatasetError(
            f"{path}: is of another training than what stands beside it: take both from one run"
        )
    if content["progress"] is not None:
        raise DatasetError(f"{path}: its training was stopped: repeat it to go on")
    try:
        network.load_state_dict(content["state"])
    except RuntimeError as error:
        raise DatasetError(
            f"{path}: has another network than its manifest says: train again"
        ) from error
    return network.to(choose_device()).eval()


def _write(
    path: Path, key: str, state: "Mapping[str, Tensor]", progress: Mapping[str, Any] | None
) -> None:
    import torch

    # From the GPU to the CPU, so that a machine without a GPU can read the file.
    content = {
        "key": key,
        "state": {name: values.detach().cpu() for name, values in state.items()},
        "progress": None if progress is None else dict(progress),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_sealed(path, buffer.getvalue())


def _read(path: Path) -> dict[str, Any] | None:
    """Return key, state and progress of a file, None for a missing or damaged one."""
    import torch

    sealed = read_sealed(path)
    if sealed is None:
        return None
    content: dict[str, Any] = torch.load(io.BytesIO(sealed), weights_only=True, map_location="cpu")
    return content


def digest_tensors(content: Any) -> str:
    """Return a SHA-256 over nested tables and lists of tensors and plain values."""
    total = hashlib.sha256()
    _add(total, content)
    return total.hexdigest()


def _add(total: Any, value: Any) -> None:
    import torch

    if isinstance(value, torch.Tensor):
        flat = value.detach().cpu().contiguous()
        total.update(f"{flat.dtype}{tuple(flat.shape)}".encode())
        total.update(flat.flatten().view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            total.update(f"{key!r}:".encode())
            _add(total, inner)
    elif isinstance(value, list | tuple):
        total.update(f"[{len(value)}".encode())
        for inner in value:
            _add(total, inner)
    else:
        total.update(f"{value!r};".encode())
