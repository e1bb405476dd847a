"""`annotools study trial` runs one trial of a study."""

from pathlib import Path
from typing import Annotated

import typer

from annotools.commands.places import Commands
from annotools.commands.tables import console, percent
from studies.commands.options import (
    STUDY_FOLDER,
    Changes,
    Seeds,
    StudyFile,
    open_study,
    parse_seeds,
)

app = Commands()


@app.command()
def trial(
    recipe: StudyFile,
    name: Annotated[
        str,
        typer.Option(
            "--trial",
            metavar="ID",
            help="Which trial, by the name of its folder such as boxes_2h_seed0; study run "
            "--dry-run lists all.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="The study's folder, shared by all who run trials."),
        STUDY_FOLDER,
    ],
    seeds: Seeds = None,
    changes: Changes = None,
) -> None:
    """Run one trial of a study in this process, or what is left of it.

    Trials of a folder may run in any order and at the same time, on all machines that share it.
    study report DIR then writes the report.

    [bold]Examples[/bold]

    \b
    annotools study trial street.toml --trial boxes_2h_seed0 --out runs/street
    annotools study trial runs/street/study.json --trial full_2h_seed1 --out runs/street
    """  # noqa: D301
    from dataclasses import replace

    from studies.running.one_trial import run_one
    from studies.validate import check_study

    numbers = parse_seeds(seeds)
    study = open_study(recipe, changes or ())
    check_study(study, recipe)
    row = run_one(replace(study, seeds=numbers or study.seeds), out, name)
    console().print(f"{name}: PQ {percent(row.pq)} in {row.seconds:.0f} s", soft_wrap=True)
