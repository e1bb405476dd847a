import io
from pathlib import Path

import torch
from torch import nn

from wsps.training.checkpoints import choose_device, load_weights, store_weights


def test_a_network_is_trained_once_for_its_key(tmp_path: Path) -> None:
    path, trained = tmp_path / "networks/first.pt", []

    def train() -> nn.Module:
        trained.append(nn.BatchNorm1d(2))
        nn.init.constant_(trained[-1].weight, len(trained))
        return trained[-1]

    def stored_weight() -> list[float]:
        return load_weights(path, nn.BatchNorm1d(2)).weight.tolist()

    store_weights(path, "key", train)
    store_weights(path, "key", train)
    assert (len(trained), stored_weight()) == (1, [1.0, 1.0])
    store_weights(path, "another key", train)
    assert (len(trained), stored_weight()) == (2, [2.0, 2.0])
    tensor = io.BytesIO()
    torch.save(torch.zeros(3), tensor)
    for damaged in (path.read_bytes()[:100], b"", b"not of torch", tensor.getvalue()):
        path.write_bytes(damaged)
        store_weights(path, "another key", train)
    assert (len(trained), stored_weight()) == (6, [6.0, 6.0])
    assert [file.name for file in path.parent.iterdir()] == ["first.pt"]


def test_a_network_is_loaded_for_use(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    store_weights(path, "key", lambda: nn.BatchNorm1d(2).train())
    loaded = load_weights(path, nn.BatchNorm1d(2))
    assert not loaded.training
    assert loaded.weight.device.type == choose_device().type
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
