"""Choose where networks run, and in what precision; torch is loaded where it is needed."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from annotools.parallel import available_processors

if TYPE_CHECKING:
    import torch

MAX_LOADERS = 8
"""More processes than this make batches no faster than a GPU takes them."""


BFLOAT16_UNITS = ("amx_bf16", "avx512_bf16")
"""What torch calls the units for bfloat16 of Intel's processors, and of AMD's from Zen 4 on."""


def choose_device() -> "torch.device":
    """Return the GPU where there is one, else the processor."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Products of single precision may be rounded to 10 bits (TF32), which a GPU has units for.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return torch.device("cuda", torch.cuda.current_device())


def count_loaders() -> int:
    """Return how many processes should make batches: enough that a GPU need not wait for them."""
    # On the CPU they would take the cores that train.
    return min(MAX_LOADERS, available_processors() - 1) if has_gpu() else 0


def autocast(device: "torch.device", precision: str) -> "torch.autocast":
    """Return the context in which networks compute with a precision of `PRECISIONS`.

    Args:
        device: where they run.
        precision: `float32`, `bfloat16`, or `auto` for the latter where the device has units.
    """
    import torch

    is_half = resolve_precision(device, precision) == "bfloat16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_half)


def resolve_precision(device: "torch.device", precision: str) -> str:
    """Return what a precision of `PRECISIONS` is on a device: `float32` or `bfloat16`."""
    if precision != "auto":
        return precision
    return "bfloat16" if _has_bfloat16(device) else "float32"


@lru_cache
def _has_bfloat16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of torch cannot tell; a processor without such units would be slower.
    can: Any = getattr(torch.cpu, "get_capabilities", dict)()
    return any(can.get(unit) for unit in BFLOAT16_UNITS)


def has_gpu() -> bool:
    """Return whether networks run on a GPU."""
    return choose_device().type == "cuda"
