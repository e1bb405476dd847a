"""`annotools study run` runs a study, and `annotools study report` writes its report again."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotools.commands.options import JsonFile, keep_dataset, tell, write_answer
from annotools.commands.places import Commands
from annotools.commands.tables import COMPACT, console, table
from studies.commands.options import (
    STUDY_FOLDER,
    Changes,
    Cpus,
    DryRun,
    EngineName,
    Gpus,
    Memory,
    PrintSbatch,
    ReadFolder,
    RetryFailed,
    Seeds,
    SlurmOptions,
    StudyFile,
    Workers,
    open_study,
    parse_seeds,
    parse_slurm,
    tell_missing,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from studies.engines.needs import Needs
    from studies.failures import TrialFailure
    from studies.results import TrialResult
    from studies.study import Study

app = Commands()


@app.command()
def run(
    recipe: StudyFile,
    out: Annotated[
        Path,
        typer.Option(help="The study's folder; what it has already is kept."),
        STUDY_FOLDER,
    ],
    workers: Workers = None,
    seeds: Seeds = None,
    changes: Changes = None,
    dry_run: DryRun = False,
    retry_failed: RetryFailed = False,
    engine: EngineName = "local",
    cpus: Cpus = None,
    gpus: Gpus = None,
    memory: Memory = None,
    slurm: SlurmOptions = None,
    print_sbatch: PrintSbatch = False,
    json_file: JsonFile = None,
) -> None:
    """Run what is missing of a study, and write its report.

    A trial that fails, or whose process is killed, leaves the error in trials/ID/failure.json, and
    the rest goes on. Whatever is stopped goes on when the command is repeated.

    [bold]Examples[/bold]

    \b
    annotools study run street.toml --out runs/street --dry-run
    annotools study run street.toml --out runs/street
    annotools study run street.toml --out runs/street --retry-failed
    annotools study run street.toml --out runs/quick --seeds 1 --set recipe.semantic.steps=40
    annotools study run runs/street/study.json --out runs/street --seeds 0,1,2,3
    RAY_ADDRESS=head:6379 annotools study run street.toml --out /shared/street --engine ray --gpus 1
    annotools study run street.toml --out /shared/street --print-sbatch --slurm partition=gpu > a.sh
    """  # noqa: D301
    from dataclasses import replace

    from studies.engines.needs import Needs
    from studies.validate import check_study

    numbers = parse_seeds(seeds)
    needs = Needs(cpus=cpus, gpus=gpus, memory_gib=memory, slurm=parse_slurm(slurm))
    _check_engine(engine, needs, print_sbatch)
    study = open_study(recipe, changes or ())
    study = replace(study, seeds=numbers or study.seeds)
    check_study(study, recipe)
    if dry_run:
        _show_plan(study, out, workers, json_file)
        return
    if print_sbatch:
        _print_script(study, out, workers, needs)
        return
    how = {"engine": engine, "needs": needs, "retry_failed": retry_failed}
    run_and_show(study, out, workers, json_file, **how)


@app.command()
def report(
    folder: ReadFolder,
    json_file: JsonFile = None,
) -> None:
    """Write a study's report again, from the trials that are finished.

    [bold]Examples[/bold]

    \b
    annotools study report runs/street
    annotools study report runs/street --json table.json
    """  # noqa: D301
    from studies.failures import read_failures
    from studies.folder import STUDY_FILE, finished_results

    study = open_study(folder / STUDY_FILE)
    results = finished_results(study, folder)
    failures = read_failures(study, folder)
    tell_missing(folder, results)
    _show(study, results, failures, folder)
    write_answer(json_file, _as_json(study, results, failures))


def run_and_show(
    study: "Study",
    folder: Path,
    workers: int | None,
    json_file: Path | None,
    **how: Any,
) -> None:
    """Run what is missing of a study; write and show its report.

    Args:
        study: to run.
        folder: of the study.
        workers: trials at the same time; None leaves it to the engine.
        json_file: gets the table as well; None for none.
        how: further arguments of `run_study`.

    Raises:
        UnfinishedError: at the end, when a trial failed or is left.
    """
    from annotools.errors import UnfinishedError
    from annotools.formats.source import open_source
    from studies.running.runner import run_study
    from studies.running.unfinished import tell_unfinished

    if json_file is not None:
        for source in (study.dataset.train_source, study.dataset.val_source):
            keep_dataset(open_source(source))
    ran = run_study(study, folder, workers, **how)
    if ran.was_finished:
        tell([f"{folder}: is finished: there was no trial left to run"])
    if ran.results:
        _show(study, ran.results, ran.failures, folder)
    write_answer(json_file, _as_json(study, ran.results, ran.failures))
    if ran.failures or ran.left:
        raise UnfinishedError(tell_unfinished(ran.failures, ran.left, len(study.points)))


def _check_engine(engine: str, needs: "Needs", is_script: bool) -> None:
    """Make sure that options go together, before anything is read."""
    engines = ("local", "ray", "submitit")
    if engine not in engines:
        raise typer.BadParameter(f"--engine {engine!r}: use {', '.join(engines)}")
    on_slurm = engine == "submitit" or is_script
    given = (needs.cpus, needs.gpus, needs.memory_gib)
    if needs.memory_gib is not None and not 0 < needs.memory_gib < math.inf:
        raise typer.BadParameter(f"--memory {needs.memory_gib:g}: give GiB above 0")
    if given != (None, None, None) and not (engine == "ray" or on_slurm):
        raise typer.BadParameter("--cpus, --gpus and --memory are of --engine ray and of Slurm")
    if needs.slurm and not on_slurm:
        raise typer.BadParameter("--slurm is of --engine submitit and of --print-sbatch")


def _show_plan(study: "Study", folder: Path, workers: int | None, json_file: Path | None) -> None:
    """Print the trials of a study at once, and then what is left to compute."""
    from annotools.commands.tables import count_of, duration
    from annotools.errors import StoppedError
    from studies.engines.local import count_workers
    from studies.running.dry_run import FAILED, FINISHED, LEFT, as_json, estimate, plan

    trials, planned = plan(study, folder)
    kinds = sorted({kind for trial in planned for kind in trial.images})
    rows = [
        [t.name, t.state, f"{t.spent_hours:.2f}", *(str(t.images.get(kind, 0)) for kind in kinds)]
        for t in planned
    ]
    headings = ["trial", "state", "spent (h)", *(f"images {kind}" for kind in kinds)]
    output = console()
    output.print(table(headings, rows, left=2, padding=COMPACT))
    states = [trial.state for trial in planned]
    counts = ", ".join(f"{states.count(state)} {state}" for state in (FINISHED, FAILED, LEFT))
    output.print(f"{count_of(len(planned), 'trial')}: {counts}.")
    estimated = None
    if states.count(FINISHED) < len(states):
        from studies.running.timing import time_parts

        at_once = workers or count_workers(trials)
        tell(["a few steps of each part are timed on this machine"])
        try:
            timing = time_parts(trials, at_once)
        except StoppedError as error:
            # The steps that are timed are real ones, and would promise to go on.
            raise StoppedError("stopped while steps were timed: nothing was written") from error
        estimated = estimate(trials, timing, at_once)
        source = (
            "from the seconds of finished trials"
            if estimated.from_rows
            else "from a few timed labels, steps and predictions on this machine; at most"
        )
        output.print(
            f"What is not finished takes about {duration(estimated.seconds)} of computing "
            f"({source}), {at_once} at the same time, and "
            f"{estimated.disk_bytes / 2**20:,.0f} MiB of disk meanwhile.",
            soft_wrap=True,
        )
    write_answer(json_file, as_json(planned, estimated))


def _print_script(study: "Study", folder: Path, workers: int | None, needs: "Needs") -> None:
    """Plan the trials that are missing in the folder, and print a script that runs them."""
    from studies.engines.slurm import LOGS, sbatch_script
    from studies.running.runner import prepare

    missing = prepare(study, folder)
    if missing:
        # Slurm makes no folder for what it writes.
        (folder / LOGS).mkdir(parents=True, exist_ok=True)
        typer.echo(sbatch_script(missing, folder, workers, needs), nl=False)
    else:
        tell([f"{folder}: all trials are finished"])


def _show(
    study: "Study",
    results: "Sequence[TrialResult]",
    failures: "Sequence[TrialFailure]",
    folder: Path,
) -> None:
    """Write the report; print table, answer and where the files are."""
    from studies.answers import answer, caveats
    from studies.folder import PAGE_FILE, PICTURE_FILE, REPORT_FILE
    from studies.page.page import write_page
    from studies.report import readable_table, write_report
    from studies.summary import has_learnt_nothing, summary_table

    write_report(study, results, folder, failures)
    write_page(study, results, folder, failures)
    output = console()
    readable, summary = readable_table(results), summary_table(results)
    shown = [
        table(readable.columns.tolist(), readable.to_numpy().tolist(), padding=COMPACT),
        "\n".join([answer(results), *caveats(results)]),
    ]
    # That nothing was learnt comes before figures that then mean nothing.
    for part in reversed(shown) if has_learnt_nothing(summary) else shown:
        output.print(part)
    for name in (PICTURE_FILE, REPORT_FILE, PAGE_FILE):
        output.print(str(folder / name), soft_wrap=True)


def _as_json(
    study: "Study", results: "Sequence[TrialResult]", failures: "Sequence[TrialFailure]"
) -> dict[str, Any]:
    """Return the table of `--json`; without a finished trial it has no answer and no rows."""
    import json

    from studies.answers import answer, caveats
    from studies.summary import has_learnt_nothing, summary_table

    found: dict[str, Any] = {"answer": None, "learnt_nothing": None, "caveats": [], "rows": []}
    if results:
        summary = summary_table(results)
        found = {
            "answer": answer(results),
            "learnt_nothing": has_learnt_nothing(summary),
            "caveats": caveats(results),
            # pandas writes an undefined score as null; the json module would write NaN, which no
            # other program has to accept.
            "rows": json.loads(summary.to_json(orient="records")),
        }
    return found | {
        "failed": {failure.name: failure.error for failure in failures},
        "left": len(study.points) - len(results) - len(failures),
    }
