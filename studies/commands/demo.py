"""`annotools demo` compares ways to label in the built-in world of street scenes."""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import JsonFile
from studies.commands.options import Workers, parse_seeds
from studies.commands.study import run_and_show

if TYPE_CHECKING:
    from studies.study import Study

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)


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

    numbers = parse_seeds(seeds)
    recipe = Path(str(resources.files("studies") / "recipes" / "demo.toml"))
    study = load_study(recipe)
    if thorough:
        study = _make_thorough(study)
    folder = out or Path("runs/demo-thorough" if thorough else "runs/demo")
    run_and_show(replace(study, seeds=numbers or study.seeds), recipe, folder, workers, json_file)


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
