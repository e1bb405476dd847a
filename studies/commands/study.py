"""`annotools study run` runs a study, and `annotools study report` writes its report again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import JsonFile, check_outputs, refuse_replacing
from annotools.commands.tables import COMPACT, console, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.results import TrialResult
    from studies.study import Study

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)

Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Trials at the same time; one per processor, or as many as a GPU has room for."
    ),
]


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="The study: a TOML file, or a stored study.json.")],
    out: Annotated[Path, typer.Option(help="The study's folder; what it has already is kept.")],
    workers: Workers = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many, or a list such as 0,1,2; the recipe's if absent.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting; repeat it."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Run what is missing of a study, and write its report.

    [bold]Examples[/bold]

    \b
    annotools study run street.toml --out runs/street
    annotools study run street.toml --out runs/quick --seeds 1 --set recipe.semantic.steps=40
    annotools study run runs/street/study.json --out runs/street --seeds 0,1,2,3
    """  # noqa: D301
    from dataclasses import replace

    from studies.study import load_study

    numbers = parse_seeds(seeds)
    study = load_study(recipe, changes or ())
    run_and_show(replace(study, seeds=numbers or study.seeds), recipe, out, workers, json_file)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study.")],
    json_file: JsonFile = None,
) -> None:
    """Write a study's report again, from the trials that are finished.

    [bold]Examples[/bold]

    \b
    annotools study report runs/street
    annotools study report runs/street --json table.json
    """  # noqa: D301
    from studies.folder import STUDY_FILE, finished_results
    from studies.study import load_study

    study = load_study(folder / STUDY_FILE)
    check_json_file(json_file, study, folder)
    _show(study, finished_results(study, folder), folder, json_file)


def run_and_show(
    study: "Study", recipe: Path, folder: Path, workers: int | None, json_file: Path | None
) -> None:
    """Run what is missing of a study that was read from a file; write and show its report."""
    from annotools.formats.source import open_source
    from studies.runner import run_study
    from studies.validate import check_study

    # The table is written last, but a place that is not free for it must be found before training.
    check_json_file(json_file, study, folder, recipe)
    if json_file is not None:
        for source in (study.dataset.train_source, study.dataset.val_source):
            refuse_replacing({"--json": json_file}, open_source(source))
    check_study(study, recipe)
    _show(study, run_study(study, folder, workers), folder, json_file)


def check_json_file(
    json_file: Path | None, study: "Study", folder: Path, recipe: Path | None = None
) -> None:
    """Make sure, before any work, that the table of a study can be written and replaces nothing.

    Args:
        json_file: the table; None where it is not given.
        study: its dataset, times, order, allocation and annotator are read.
        folder: of the study; its own files are kept, and a table of an earlier run is replaced.
        recipe: the file of the study, where it is not in the folder.

    Raises:
        typer.BadParameter: when it cannot be.
    """
    from studies.folder import OWN_FOLDERS, own_files

    if json_file is None:
        return
    read = (study.dataset.root, study.times, study.order, study.allocation, study.annotator)
    check_outputs({"--json": json_file}, [recipe, *read, *own_files(folder)])
    place, own = json_file.resolve(), folder.resolve()
    if place == own or any(place.is_relative_to(own / name) for name in OWN_FOLDERS):
        raise typer.BadParameter(
            f"--json {json_file}: its place is kept for the study in {folder}: name another file"
        )


def parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """Return seeds 0..N-1 of a number N, or those of a list."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"--seeds {text!r}: write a number, or a list such as 0,1,2")
    # A comma makes a list of one: `3,` is the seed 3, and `3` the seeds 0 to 2.
    if "," in text:
        return tuple(int(part) for part in parts)
    if int(text) < 1:
        raise typer.BadParameter("--seeds: give at least one")
    return tuple(range(int(text)))


def _show(
    study: "Study", results: "Sequence[TrialResult]", folder: Path, json_file: Path | None
) -> None:
    """Write the report; print table, answer and where the files are."""
    import json

    from annotools.files import write_json
    from studies.answers import answer, caveats
    from studies.folder import PICTURE_FILE, REPORT_FILE
    from studies.report import readable_table, write_report
    from studies.summary import has_learnt_nothing, summary_table

    write_report(study, results, folder)
    output = console()
    readable, summary = readable_table(results), summary_table(results)
    shown = [
        table(readable.columns.tolist(), readable.to_numpy().tolist(), padding=COMPACT),
        "\n".join([answer(results), *caveats(results)]),
    ]
    # That nothing was learnt comes before figures that then mean nothing.
    for part in reversed(shown) if has_learnt_nothing(summary) else shown:
        output.print(part)
    for name in (PICTURE_FILE, REPORT_FILE):
        output.print(str(folder / name), soft_wrap=True)
    if json_file is not None:
        # pandas writes an undefined score as null; the json module would write NaN, which no
        # other program has to accept.
        rows = json.loads(summary.to_json(orient="records"))
        found = {
            "answer": answer(results),
            "learnt_nothing": has_learnt_nothing(summary),
            "caveats": caveats(results),
            "rows": rows,
        }
        write_json(json_file, found)
