"""What each trial is given where trials share machines that a scheduler divides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module

from annotools.errors import RecipeError

_PACKAGE_OF = {"ray": "ray", "submitit": "submitit"}
"""What an engine needs beside the extra train."""


def check_engine(name: str) -> None:
    """Make sure, before anything is written, that the package of an engine is installed.

    Raises:
        RecipeError: when it is not.
    """
    if name not in _PACKAGE_OF:
        return
    try:
        import_module(_PACKAGE_OF[name])
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"--engine {name} needs a package that is not installed: pip install "
            f"'annotools[{name}]'"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What one trial is given; None leaves it to the engine.

    `memory_gib` is of main memory. `slurm` are further options of `sbatch` by name, such as
    `partition`.
    """

    cpus: int | None = None
    gpus: int | None = None
    memory_gib: float | None = None
    slurm: Mapping[str, str] = field(default_factory=dict)
