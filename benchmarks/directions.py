"""What the paper says of the model, on generated scenes: which way each change moves the scores.

    OMP_NUM_THREADS=1 python benchmarks/directions.py --out DIR [--part a] [--seeds 5] \
        [--set KEY=VALUE ...]

Part a: from one semantic network and detector a seed, the instance stage end to end, the same stage
that trains the subnetwork alone (piecewise), and the semantic network by its own loss for as long.
Part b: labels from boxes and tags in scenes crowded with things: a semantic network learns from the
first labels, then as long from those of a round or once more from the first. Part c: boxes and tags
beside full labels of the same images, where things stand out and where they hardly do.

In parts b and c true boxes take the detector's place: labels have the same boxes, so that masks are
what they differ in. Each seed has scenes of its own, so that intervals are over both; differences
are within a seed. It prints a Markdown row as soon as a model is scored, then one for each
question. Folders in DIR keep labels and networks for the next run.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from convert import describe_machine
from instance import Row, describe_difference, half_width, score_model, score_row

from annotools.formats.source import open_source
from studies.study import DatasetSettings, Study
from studies.trials import Trial
from wsps.device import autocast, choose_device
from wsps.label_sets import read_label_set
from wsps.labelled_photos import read_examples
from wsps.networks.model import PanopticModel, build_model
from wsps.pseudo_labels.rounds import pseudo_label
from wsps.recipe import Recipe
from wsps.recipe_files import read_recipe
from wsps.training.checkpoints import NETWORK_FILE, load_weights
from wsps.training.stages import train_semantic

LEVEL = 0.9
"""Of the intervals, Student's over the seeds."""

IMAGES = {"num_train": 40, "num_val": 40}
"""Unless a world below says otherwise."""

CROWDED = {"num_val": 24, "min_things": 16, "max_things": 24}
"""The demo has 4 to 10."""

EASY = {"num_val": 24, "min_things": 2, "max_things": 6, "texture": 0.5, "noise": 3.0}

FAINT = {**EASY, "contrast": 0.3}

Scores = Mapping[str, float]
"""In [0, 1] by name."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A score of one arm beside that of another: their difference, or `is_ratio` their ratio."""

    score: str
    more: str
    less: str
    is_ratio: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is measured of a seed, arm by arm, and what is asked of it."""

    measure: Callable[[Path, int, Recipe], Iterator[tuple[str, Scores]]]
    questions: tuple[Question, ...]


def main(
    out: Annotated[Path, typer.Option(help="Keeps labels and networks for the next run.")],
    part: Annotated[list[str] | None, typer.Option(help="a, b or c; all of them.")] = None,
    seeds: Annotated[int, typer.Option(min=2, help="How many.")] = 5,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="Of the recipe.")] = None,
) -> None:
    """Measure and print Markdown rows."""
    recipe = read_recipe("demo", overrides or [])
    typer.echo(f"{describe_machine()} {torch.get_num_threads()} threads of torch.")
    typer.echo(f"Networks compute in {name_precision(recipe)}. Percent, {seeds} seeds.")
    for letter in part or PARTS:
        typer.echo("\n| part | seed | arm | scores |\n| --- | --- | --- | --- |")
        found: dict[tuple[int, str], Scores] = {}
        for seed in range(seeds):
            folder = out / letter / str(seed)
            for arm, scores in PARTS[letter].measure(folder, seed, recipe):
                found[seed, arm] = scores
                told = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
                typer.echo(f"| {letter} | {seed} | {arm} | {told} |")
        print_answers(PARTS[letter], seeds, found)


def name_precision(recipe: Recipe) -> str:
    """Return the type in which networks compute here."""
    with autocast(choose_device(), recipe.descent.precision):
        return str((torch.ones(1, 1) @ torch.ones(1, 1)).dtype).removeprefix("torch.")


def measure_end_to_end(folder: Path, seed: int, recipe: Recipe) -> Iterator[tuple[str, Scores]]:
    """Yield the scores of part a."""
    given = recipe.instance
    # One start serves whatever the stage that is compared is set to.
    start = replace(recipe, instance=replace(Recipe().instance, steps=0))
    trial = plan_trial(folder, seed, "full", start, {})
    for arm, training in (
        ("start", "none"),
        ("piecewise", "weights"),
        ("semantics apart", "semantic"),
        ("end to end", "all"),
    ):
        yield arm, score_row(Row(name=arm, settings=given, training=training), trial, given)


def measure_rounds(folder: Path, seed: int, recipe: Recipe) -> Iterator[tuple[str, Scores]]:
    """Yield the scores of part b: of the labels of each round, and of what learns from them."""
    trial = plan_trial(folder, seed, "boxes+tags", recipe, CROWDED)
    labels = trial.folder / "labels"
    for number, quality in enumerate(make_labels(trial, labels)):
        yield f"labels of round {number}", quality
    first = start_networks(trial)
    load_weights(labels / "rounds/0" / NETWORK_FILE, first.semantic, key=None)
    yield "round 0", score_model(first, trial)
    for arm, folder_of_labels in (("round 0 again", labels / "rounds/0"), ("round 1", labels)):
        model = replace(first, semantic=copy.deepcopy(first.semantic))
        learn(model, trial, folder_of_labels, round_number=1)
        yield arm, score_model(model, trial)


def measure_contrast(folder: Path, seed: int, recipe: Recipe) -> Iterator[tuple[str, Scores]]:
    """Yield the scores of part c, of the first labels alone."""
    first = replace(recipe, refinement=replace(recipe.refinement, rounds=0))
    for world, knobs in (("easy", EASY), ("faint", FAINT)):
        for kind in ("full", "boxes+tags"):
            trial = plan_trial(folder / world, seed, kind, first, knobs)
            labels = trial.folder / "labels"
            for quality in make_labels(trial, labels):
                yield f"labels, {world}", quality
            model = start_networks(trial)
            learn(model, trial, labels, round_number=0)
            yield f"{kind}, {world}", score_model(model, trial)


def make_labels(trial: Trial, out: Path) -> list[Scores]:
    """Make labels in a folder; return how good weak ones are, of each round."""
    found = pseudo_label(replace(trial.request, truth=trial.request.source), out)
    measured: list[Scores] = []
    for kinds in found.rounds or ():
        for quality in kinds:
            rows = {row.name: row for row in quality.rows}
            scores = {
                f"{name}_{of}": getattr(rows[of], name) or 0.0
                for of in ("stuff", "things")
                for name in ("precision", "recall")
            }
            measured.append(scores)
    return measured


def start_networks(trial: Trial) -> PanopticModel:
    """Return the networks that training begins with; true boxes are given to the model."""
    categories = open_source(trial.request.source).categories
    return build_model(
        trial.study.recipe, categories, trial.seed, choose_device(), has_detector=False
    )


def learn(model: PanopticModel, trial: Trial, labels: Path, round_number: int) -> None:
    """Train the semantic network on the labels of a round."""
    photos = open_source(trial.request.source)
    groups = read_examples(read_label_set(labels), photos, model.recipe.images)
    train_semantic(model.semantic, groups, model.recipe, trial.seed, round_number)


PARTS = {
    "a": Part(
        measure=measure_end_to_end,
        questions=tuple(
            Question(score=score, more=more, less=less)
            for score in ("ap_vol", "pq")
            for more, less in (
                ("piecewise", "start"),
                ("semantics apart", "start"),
                ("end to end", "piecewise"),
                ("end to end", "semantics apart"),
            )
        ),
    ),
    "b": Part(
        measure=measure_rounds,
        questions=(
            *(
                Question(score=score, more="labels of round 1", less="labels of round 0")
                for score in ("precision_stuff", "recall_stuff", "precision_things")
            ),
            *(
                Question(score=score, more="round 1", less=less)
                for score in ("iou", "iou_stuff", "pq_stuff")
                for less in ("round 0", "round 0 again")
            ),
        ),
    ),
    "c": Part(
        measure=measure_contrast,
        questions=(
            *(
                Question(score=score, more="labels, faint", less="labels, easy")
                for score in ("precision_things", "recall_things")
            ),
            *(
                Question(
                    score=score, more=f"boxes+tags, {world}", less=f"full, {world}", is_ratio=ratio
                )
                for score, ratio in (
                    ("pq_things", True),
                    ("pq_things", False),
                    ("iou_things", True),
                )
                for world in ("easy", "faint")
            ),
        ),
    ),
}


def plan_trial(
    folder: Path, seed: int, kind: str, recipe: Recipe, knobs: Mapping[str, float]
) -> Trial:
    """Return a trial in which every training image of a world has a label of one kind."""
    world = folder / "world.toml"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {value}\n" for name, value in {"seed": seed, **IMAGES, **knobs}.items()]
    world.write_text("".join(lines), encoding="utf-8")
    study = Study(
        name="directions",
        dataset=DatasetSettings(format="scenes", root=world),
        mixes={kind: {kind: 1.0}},
        budgets_hours=(1.0,),
        seeds=(seed,),
        recipe=recipe,
    )
    return Trial(
        study=study,
        mix=kind,
        budget_hours=1.0,
        seed=seed,
        kind_of=dict.fromkeys(range(IMAGES["num_train"]), kind),
        spent_hours=1.0,
        actions={},
        study_folder=folder,
    )


def print_answers(part: Part, seeds: int, found: Mapping[tuple[int, str], Scores]) -> None:
    """Print a Markdown row for each question, with every seed's own difference or ratio."""
    typer.echo(f"\n| score | of | beside | difference or ratio ({LEVEL:.0%} interval) | seeds |")
    typer.echo("| --- | --- | --- | --- | --- |")
    for asked in part.questions:
        more, less = (
            np.array([found[seed, arm][asked.score] for seed in range(seeds)])
            for arm in (asked.more, asked.less)
        )
        paired = more / less if asked.is_ratio else 100 * (more - less)
        cells = [
            asked.score,
            f"{asked.more}, {100 * more.mean():.1f}",
            f"{asked.less}, {100 * less.mean():.1f}",
            f"{paired.mean():.2f} +- {half_width(paired, LEVEL):.2f}"
            if asked.is_ratio
            else describe_difference(paired, LEVEL),
            ", ".join(f"{one:.2f}" if asked.is_ratio else f"{one:+.1f}" for one in paired),
        ]
        typer.echo(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    typer.run(main)
