"""The commands that run trials share these arguments and options."""

from pathlib import Path
from typing import Annotated

import typer

StudyFile = Annotated[
    Path, typer.Argument(metavar="STUDY", help="A TOML file, or the study.json of a folder.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Trials at the same time; one per processor, or as many as GPUs have room for, or as "
        "a cluster allows.",
    ),
]
Seeds = Annotated[
    str | None, typer.Option(help="How many, or a list such as 0,1,2; the study's if absent.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting; repeat it."),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Run trials again that failed before.")
]
EngineName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Where trials run: local (processes of this machine), ray (the cluster of "
        "RAY_ADDRESS, or this machine) or submitit (jobs of Slurm). The folder, the dataset and "
        "annotools must be on all machines.",
    ),
]
Cpus = Annotated[int | None, typer.Option(min=1, help="Processors of each trial on ray or Slurm.")]
Gpus = Annotated[int | None, typer.Option(min=0, help="GPUs of each trial on ray or Slurm.")]
Memory = Annotated[
    float | None,
    typer.Option(metavar="GIB", help="Main memory of each trial on ray or Slurm."),
]
SlurmOptions = Annotated[
    list[str] | None,
    typer.Option("--slurm", metavar="NAME=VALUE", help="A further option of sbatch; repeat it."),
]
PrintSbatch = Annotated[
    bool,
    typer.Option(
        "--print-sbatch",
        help="Plan the trials in the folder and print a script for sbatch in place of running "
        "them: an array of annotools study trial.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print the trials, what each buys, and what is left in hours of computing and in "
        "disk; write nothing into the folder.",
    ),
]


MOST_SEEDS = 10_000
"""More trials of one point are a slip of the hand."""


def parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """Return seeds 0..N-1 of a number N, or those of a list."""
    from studies.study import MAX_SEED

    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"--seeds {text!r}: write a number, or a list such as 0,1,2")
    if any(len(part) > len(str(MAX_SEED)) for part in parts):
        raise typer.BadParameter(f"--seeds: give seeds up to {MAX_SEED:,}")
    # A comma makes a list of one: `3,` is the seed 3, and `3` the seeds 0 to 2.
    if "," in text:
        return tuple(int(part) for part in parts)
    if not 0 < int(text) <= MOST_SEEDS:
        raise typer.BadParameter(f"--seeds: give at least one, and at most {MOST_SEEDS:,}")
    return tuple(range(int(text)))


def parse_slurm(texts: list[str] | None) -> dict[str, str]:
    """Return options of sbatch by their names."""
    options = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"--slurm {text!r}: write NAME=VALUE, such as partition=gpu")
        options[name.lstrip("-")] = value
    return options
