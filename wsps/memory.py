"""Say in one line what to lower where memory is not enough."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from annotools.errors import RecipeError

_CPU_TEXTS = ("not enough memory", "can't allocate memory")
"""What torch says on a CPU, where it has no error of its own for it."""

_ASKED = re.compile(r"[Tt]ried to allocate ([0-9.]+ \w+)")


@contextmanager
def name_memory_remedy(remedy: str) -> Iterator[None]:
    """Turn an error of the block that says that memory is not enough into one that says what to do.

    Args:
        remedy: which setting to lower and by what.

    Raises:
        RecipeError: when the block asks for more memory than the device has.
    """
    try:
        yield
    # Torch's own error is a RuntimeError as well; arrays raise a MemoryError.
    except (RuntimeError, MemoryError) as error:
        is_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not is_memory and not any(text in str(error) for text in _CPU_TEXTS):
            raise
        asked = _ASKED.search(str(error))
        amount = f" ({asked[1]} more were asked for)" if asked else ""
        raise RecipeError(f"memory is not enough{amount}: {remedy}") from error
