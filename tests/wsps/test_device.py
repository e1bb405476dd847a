import pytest
import torch

from wsps import device
from wsps.device import autocast, count_loaders

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _ask_again():
    device._has_bfloat16.cache_clear()
    yield
    device._has_bfloat16.cache_clear()


def computes_in(precision: str) -> torch.dtype:
    layer = torch.nn.Linear(2, 2)
    with autocast(CPU, precision):
        found: torch.Tensor = layer(torch.ones(1, 2))
    return found.dtype


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_a_processor_computes_in_bfloat16_where_it_has_units_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], dtype: torch.dtype
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert computes_in("auto") == dtype
    assert computes_in("float32") == torch.float32
    assert computes_in("bfloat16") == torch.bfloat16


def test_a_version_of_torch_that_cannot_tell_computes_in_float32(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert computes_in("auto") == torch.float32


@pytest.mark.usefixtures("on_the_cpu")
def test_on_a_cpu_no_process_loads_batches():
    assert count_loaders() == 0
