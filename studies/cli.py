"""The front door: the one command, with what each package adds to it."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import annotools.cli
import wsps.cli
from annotools.commands.options import JsonFile
from studies.commands import break_even as break_even_cli

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.results import TrialResult
    from studies.study import Study

app = typer.Typer(
    name="annotools",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
study_app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)
app.add_typer(annotools.cli.app)
app.add_typer(wsps.cli.app)
study_app.add_typer(break_even_cli.app)
app.add_typer(study_app, name="study", help="Run a study, or write its report again.")

PIPED_WIDTH = 160
"""Columns of a table that goes to a file or another program."""

Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Trials at the same time; one per processor, or one with a GPU."),
]


def main() -> None:
    """Run the command; what the user's input is wrong about becomes one line on stderr."""
    from annotools.errors import AnnotationError

    try:
        app()
    except AnnotationError as error:
        _fail(str(error))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}")


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("annotools"))
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Decide how to spend annotation hours: cheaper labels, their price, the quality they buy."""


@study_app.command()
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

    from studies.folder import load_stored_study
    from studies.study import load_study

    numbers = _parse_seeds(seeds)
    load = load_stored_study if recipe.suffix == ".json" else load_study
    study = load(recipe, changes or ())
    _run_and_show(replace(study, seeds=numbers or study.seeds), out, workers, json_file)


@study_app.command()
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
    from studies.folder import STUDY_FILE, finished_results, load_stored_study

    study = load_stored_study(folder / STUDY_FILE)
    _show(study, finished_results(study, folder), folder, json_file)


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Default: runs/demo, or runs/demo-thorough.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="How many, or a list such as 0,1,2. Default: 2, thorough 4.")
    ] = None,
    thorough: Annotated[
        bool,
        typer.Option(
            "--thorough", help="Also half of each, five budgets, four seeds, twice the training."
        ),
    ] = False,
    workers: Workers = None,
    json_file: JsonFile = None,
) -> None:
    """Compare cheap, full and mixed labels in the built-in world of street scenes.

    [bold]Examples[/bold]

    \b
    annotools demo
    annotools demo --thorough --workers 4
    """  # noqa: D301
    from dataclasses import replace
    from importlib import resources

    from studies.study import load_study

    numbers = _parse_seeds(seeds)
    study = load_study(Path(str(resources.files("studies") / "recipes" / "demo.toml")))
    if thorough:
        study = _make_thorough(study)
    folder = out or Path("runs/demo-thorough" if thorough else "runs/demo")
    _run_and_show(replace(study, seeds=numbers or study.seeds), folder, workers, json_file)


def _parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """Return seeds 0..N-1 of a number N, or those of a list."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"--seeds {text!r}: write a number, or a list such as 0,1,2")
    if "," in text:
        return tuple(int(part) for part in parts)
    if int(text) < 1:
        raise typer.BadParameter("--seeds: give at least one")
    return tuple(range(int(text)))


def _make_thorough(study: "Study") -> "Study":
    """Return the study with twice the training, four seeds, more budgets, and a mix of both."""
    from dataclasses import replace

    stages = ("classifier", "semantic", "detector", "instance")
    longer = {stage: getattr(study.recipe, stage) for stage in stages}
    longer = {stage: replace(old, steps=2 * old.steps) for stage, old in longer.items()}
    budgets = sorted(study.budgets_hours)
    between = [float(f"{(low * high) ** 0.5:.2g}") for low, high in pairwise(budgets)]
    return replace(
        study,
        mixes={**study.mixes, "half and half": {"full": 1.0, "boxes+tags": 1.0}},
        seeds=(0, 1, 2, 3),
        budgets_hours=tuple(sorted({*budgets, *between})),
        recipe=replace(study.recipe, **longer),
    )


def _run_and_show(
    study: "Study", folder: Path, workers: int | None, json_file: Path | None
) -> None:
    from studies.runner import run_study

    _show(study, run_study(study, folder, workers), folder, json_file)


def _show(
    study: "Study", results: "Sequence[TrialResult]", folder: Path, json_file: Path | None
) -> None:
    """Write the report; print table, answer and where the files are."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from annotools.files import write_json
    from studies.report import (
        PICTURE_FILE,
        REPORT_FILE,
        answer,
        readable_table,
        summary_table,
        write_report,
    )

    write_report(study, results, folder)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    readable = readable_table(results)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in readable.columns:
        if column == "mix":
            table.add_column(column, no_wrap=True)
        else:
            table.add_column(column, justify="right", overflow="fold")
    for row in readable.to_numpy().tolist():
        table.add_row(*row)
    console.print(table, markup=False)
    console.print(answer(results), markup=False, highlight=False)
    for name in (PICTURE_FILE, REPORT_FILE):
        console.print(str(folder / name), markup=False, highlight=False, soft_wrap=True)
    if json_file is not None:
        rows = json.loads(summary_table(results).to_json(orient="records"))
        write_json(json_file, {"answer": answer(results), "rows": rows})


def _fail(message: str) -> None:
    typer.echo(f"error: {' '.join(message.split())}", err=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
