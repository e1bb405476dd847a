"""`annotools demo` compares ways to label in the built-in world of street scenes."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from annotools.commands.options import JsonFile
from annotools.commands.places import Commands, Writes
from studies.commands.options import Workers, open_study, parse_seeds
from studies.commands.study import run_and_show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from studies.study import Study

app = Commands()


def _folder_of(out: Path | None, asked: "Mapping[str, Any]") -> list[Path]:
    """Return the study's folder, given all that is asked for."""
    return [out or Path("runs/demo-thorough" if asked["thorough"] else "runs/demo")]


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(help="Default: runs/demo, or runs/demo-thorough."),
        Writes(folder=True, places=_folder_of),
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

    numbers = parse_seeds(seeds)
    recipe = Path(str(resources.files("studies") / "recipes" / "demo.toml"))
    study = open_study(recipe)
    if thorough:
        study = _make_thorough(study)
    (folder,) = _folder_of(out, {"thorough": thorough})
    run_and_show(replace(study, seeds=numbers or study.seeds), folder, workers, json_file)


def _make_thorough(study: "Study") -> "Study":
    """Return the study with twice the training, four seeds, more budgets, and a mix of both."""
    from dataclasses import replace

    stages = ("classifier", "semantic", "detector", "instance")
    longer = {stage: getattr(study.recipe, stage) for stage in stages}
    longer = {stage: replace(old, steps=2 * old.steps) for stage, old in longer.items()}
    budgets = sorted(study.budgets_hours)
    # The geometric mean is the middle of the report's logarithmic axis, here with two digits.
    between = [float(f"{(low * high) ** 0.5:.2g}") for low, high in pairwise(budgets)]
    return replace(
        study,
        mixes={**study.mixes, "half and half": {"full": 1.0, "boxes+tags": 1.0}},
        seeds=(0, 1, 2, 3),
        budgets_hours=tuple(sorted({*budgets, *between})),
        recipe=replace(study.recipe, **longer),
    )
