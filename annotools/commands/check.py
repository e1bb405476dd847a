"""The command `check` lists what is wrong with a dataset."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands import options

if TYPE_CHECKING:
    from annotools.checks.dataset_checks import CheckReport
    from annotools.checks.problems import Problem

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)


@app.command()
def check(
    root: options.Root,
    format_name: options.Format,
    splits: Annotated[
        list[str] | None,
        typer.Option("--split", help="A part to check; repeat it. Train if absent."),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="A part that must share no image with those checked; repeat it."),
    ] = None,
    decode: Annotated[
        bool,
        typer.Option("--decode", help="Decode every photo, to find damage inside: takes minutes."),
    ] = False,
    json_file: options.JsonFile = None,
) -> None:
    """List everything that is wrong with a dataset; exit status 1 if there is an error.

    Warnings are what the readers resolve by a rule of theirs, such as overlapping masks; they
    alone leave the exit status 0. Of a photo its size and its end are read, unless --decode is
    given; labels are always decoded.

    [bold]Examples[/bold]

    \b
    annotools check DATA --format coco-panoptic --split train --split val
    annotools check DATA --format cityscapes --split train --against val --json problems.json
    """  # noqa: D301
    from annotools.checks.dataset_checks import check_dataset
    from annotools.settings import as_table

    options.check_outputs({"--json": json_file}, [root])
    _refuse_replacing(json_file, root)
    chosen = tuple(dict.fromkeys(splits or ["train"]))
    report = check_dataset(format_name, root, chosen, tuple(against or ()), decode=decode)
    for problem in report.problems:
        typer.echo(_line_of(problem))
    typer.echo(_conclusion(report, chosen))
    head = {"format": format_name, "splits": chosen, "against": against or []}
    options.write_answer(json_file, head | as_table(report))
    if any(problem.severity == "error" for problem in report.problems):
        raise typer.Exit(1)


def _refuse_replacing(json_file: Path | None, root: Path) -> None:
    """Refuse to write the answer over any file in the dataset's folder.

    A dataset with errors may not open, so that its files cannot be asked for by name.
    """
    if json_file is None or not json_file.is_file():
        return
    # A linked folder of photos shows only in the path as it is written, other links only resolved.
    file, folder = (Path(os.path.normpath(path.absolute())) for path in (json_file, root))
    if file.is_relative_to(folder) or json_file.resolve().is_relative_to(root.resolve()):
        raise typer.BadParameter(f"--json {json_file}: is a file in {root}: give another")


def _line_of(problem: "Problem") -> str:
    """Return a problem as one line that a terminal can show, whatever the files hold."""
    text = f"{problem.severity}: {problem.place}: {problem.message}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _conclusion(report: "CheckReport", splits: tuple[str, ...]) -> str:
    looked_at = f"{report.images:,} images, {report.photos:,} with a photo, of {', '.join(splits)}"
    num_errors = sum(problem.severity == "error" for problem in report.problems)
    num_warnings = len(report.problems) - num_errors
    if not report.problems:
        return f"No problem in {looked_at}: files, sizes, categories, labels, names."
    return f"{num_errors:,} errors and {num_warnings:,} warnings in {looked_at}."
