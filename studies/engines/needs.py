"""What each trial is given where trials share machines that a scheduler divides."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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
