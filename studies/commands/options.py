"""The commands that run trials share these arguments and options."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import tell
from annotools.commands.places import READS, Reads, Writes, keep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.results import TrialResult
    from studies.study import Study

StudyFile = Annotated[
    Path,
    typer.Argument(metavar="STUDY", help="A TOML file, or the study.json of a folder."),
    READS,
]
STUDY_FOLDER = Writes(folder=True, shared=True)
"""Of a folder that trials fill, which has a study that may be given to start them."""
ReadFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder of a study."), Reads(closed=True)
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
    READS,
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


def open_study(path: Path, changes: "Sequence[str]" = ()) -> "Study":
    """Return a study, as `load_study` does; no output may be its file or one that it names.

    Raises:
        typer.BadParameter: when an output is one.
        RecipeError: when the file is missing or not a study, or a setting is impossible.
    """
    from studies.study import load_study

    study = load_study(path, changes)
    weights = study.recipe.backbone.weights
    named = (study.times, study.order, study.allocation, study.annotator, weights)
    keep([path, study.dataset.root, *named], f"a file of the study {path}")
    return study


def tell_missing(folder: Path, results: "Sequence[TrialResult]") -> None:
    """Say on stderr how many trials of a folder's study are not finished, where some are.

    Nothing is said where that cannot be known: rows that were made elsewhere have no study.
    """
    from annotools.errors import RecipeError
    from studies.descriptions import progress
    from studies.failures import read_failures
    from studies.folder import STUDY_FILE, results_of
    from studies.study import load_study

    with suppress(RecipeError):
        study = load_study(folder / STUDY_FILE)
        own = results_of(study, results)
        tell(filter(None, [progress(study, own, read_failures(study, folder))]))


def check_hours(hours: float) -> None:
    """Make sure that hours of an option are some.

    Raises:
        typer.BadParameter: when they are not.
    """
    from annotools.prices.times import MAX_HOURS

    # What is not a number is refused too.
    if not 0 < hours <= MAX_HOURS:
        raise typer.BadParameter(
            f"--hours {hours:g}: must be a number above 0 and up to {MAX_HOURS:g}"
        )


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
