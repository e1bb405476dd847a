import pytest
import torch

from annotools.errors import RecipeError
from wsps.memory import name_memory_remedy


def test_a_gpu_without_memory_is_one_line_with_the_remedy():
    with (
        pytest.raises(RecipeError) as caught,
        name_memory_remedy("set prediction.tile_side = 256"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has")
    assert str(caught.value) == (
        "memory is not enough (2.50 GiB more were asked for): set prediction.tile_side = 256"
    )


def test_a_processor_without_memory_too():
    with pytest.raises(RecipeError, match=r"^memory is not enough \(\d+ bytes more"):  # noqa: SIM117
        with name_memory_remedy("lower it"):
            torch.empty(2**55, dtype=torch.uint8)
    with pytest.raises(RecipeError, match=r"^memory is not enough: lower it$"):  # noqa: SIM117
        with name_memory_remedy("lower it"):
            raise MemoryError


def test_other_errors_stay():
    with pytest.raises(RuntimeError, match="shapes"), name_memory_remedy("lower it"):
        raise RuntimeError("shapes do not fit")
