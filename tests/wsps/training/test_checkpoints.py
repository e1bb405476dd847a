import io
from pathlib import Path

import pytest
import torch
from torch import nn

from annotools.errors import DatasetError
from wsps.device import choose_device
from wsps.training.checkpoints import StoredNetwork, load_weights, store_weights


def test_a_network_is_trained_once_for_its_key(tmp_path: Path) -> None:
    path, trained = tmp_path / "networks/first.pt", []

    def train(_: StoredNetwork) -> nn.Module:
        trained.append(nn.BatchNorm1d(2))
        nn.init.constant_(trained[-1].weight, len(trained))
        return trained[-1]

    def stored_weight() -> list[float]:
        return load_weights(path, nn.BatchNorm1d(2), None).weight.tolist()

    store_weights(path, "key", train)
    store_weights(path, "key", train)
    assert (len(trained), stored_weight()) == (1, [1.0, 1.0])
    store_weights(path, "another key", train)
    assert (len(trained), stored_weight()) == (2, [2.0, 2.0])
    tensor = io.BytesIO()
    torch.save(torch.zeros(3), tensor)
    other_bits = io.BytesIO()
    content = torch.load(path, weights_only=True)
    content["state"]["weight"] += 1
    torch.save(content, other_bits)
    hurt = (path.read_bytes()[:100], b"", b"not of torch", tensor.getvalue(), other_bits.getvalue())
    for damaged in hurt:
        path.write_bytes(damaged)
        store_weights(path, "another key", train)
    assert (len(trained), stored_weight()) == (7, [7.0, 7.0])
    assert [file.name for file in path.parent.iterdir()] == ["first.pt"]


def test_a_network_is_loaded_for_use(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    store_weights(path, "key", lambda _: nn.BatchNorm1d(2).train())
    loaded = load_weights(path, nn.BatchNorm1d(2), "key")
    assert not loaded.training
    assert loaded.weight.device.type == choose_device().type
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_an_unfinished_stage_is_kept_until_it_is_finished(tmp_path: Path) -> None:
    stored = StoredNetwork(path=tmp_path / "network.pt", key="key")
    network = nn.BatchNorm1d(2)
    assert stored.read_progress() is None
    progress = {"losses": [0.1 + 0.2], "optimizer": {"state": {0: torch.ones(2)}}, "at": None}
    stored.write_progress(network.state_dict(), progress)
    found = stored.read_progress()
    assert found is not None
    assert found["progress"]["losses"] == [0.1 + 0.2]
    assert StoredNetwork(path=stored.path, key="another").read_progress() is None
    with pytest.raises(DatasetError, match="its training was stopped: repeat it"):
        load_weights(stored.path, network, "key")
    calls = []

    def train(file: StoredNetwork) -> nn.Module:
        calls.append(file)
        return network

    for _ in range(2):
        store_weights(stored.path, "key", train)
    assert calls == [stored]
    finished = stored.read_progress()
    assert finished is not None
    assert finished["progress"] is None


def test_a_file_that_cannot_be_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = StoredNetwork(path=tmp_path / "network.pt", key="key")
    stored.write_progress(nn.BatchNorm1d(2).state_dict(), {"step": 1})

    def full_disk(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        stored.write_progress(nn.BatchNorm1d(2).state_dict(), {"step": 2})
    found = stored.read_progress()
    assert found is not None
    assert found["progress"] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["network.pt"]


def test_a_file_of_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "network.pt"
    with pytest.raises(DatasetError, match=r"network\.pt: missing: repeat its training"):
        load_weights(path, nn.BatchNorm1d(2), "key")
    path.write_bytes(b"not of torch")
    with pytest.raises(DatasetError, match=r"network\.pt: damaged, or not a network of annotools"):
        load_weights(path, nn.BatchNorm1d(2), "key")
    store_weights(path, "key", lambda _: nn.BatchNorm1d(2))
    with pytest.raises(DatasetError, match=r"network\.pt: has another network"):
        load_weights(path, nn.BatchNorm1d(3), "key")
    with pytest.raises(DatasetError, match=r"network\.pt: is of another training than what stands"):
        load_weights(path, nn.BatchNorm1d(2), "another")
