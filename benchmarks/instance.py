"""What the instance subnetwork adds, from one and the same semantic network and detector.

    python benchmarks/instance.py STUDY.toml MIX HOURS --out DIR [--seeds 5] [--set KEY=VALUE ...]

For each seed one semantic network and one detector are trained on what the hours buy of a mix, as
in the study. From there every row goes on with other settings of the subnetwork, or with other
training, and the photos of the study are scored. Differences from the first row are paired: each
is of one seed, and the interval is Student's over the seeds. It prints Markdown rows.

With `--vary steps=30,300` the rows are the study's own settings of the subnetwork but this one, and
all are trained end to end.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import torch
import typer
from convert import describe_machine
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional

from annotools.categories import CategorySet
from annotools.formats.source import open_source
from annotools.records import FullLabel
from annotools.settings import as_table, read_settings, set_by_path
from studies.running.planning import plan_trials
from studies.study import load_study
from studies.trials import Trial, read_truth
from wsps.crf.mean_field import build_kernels
from wsps.data import Batch
from wsps.detections import Detections
from wsps.evaluation.average_precision import THRESHOLDS
from wsps.evaluation.image_scores import score_overlaps
from wsps.evaluation.overlaps import measure_overlaps, to_runs
from wsps.evaluation.rates import METRICS, measure
from wsps.label_sets import read_label_set
from wsps.labelled_photos import read_examples
from wsps.networks import instance
from wsps.networks.image_input import IMAGE_INPUTS, Normalise
from wsps.networks.instance import InstanceSubnetwork
from wsps.networks.model import PanopticModel
from wsps.pseudo_labels.rounds import pseudo_label
from wsps.recipe import InstanceSettings
from wsps.students import predict
from wsps.training.finished_runs import load_model
from wsps.training.loop import descend
from wsps.training.losses import semantic_loss
from wsps.training.stages import train_instance, view_batches
from wsps.training.train import train

SCORES = ("pq", "ap_vol")

PAIRS = (
    ("lattice", "9 x 9 window"),
    ("lattice, end to end", "9 x 9 window, end to end"),
    ("lattice, end to end", "lattice, semantics trained apart"),
    ("lattice, its four weights trained", "lattice"),
)
"""Rows whose difference is printed too."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: settings of the subnetwork, and what is trained with them."""

    name: str
    settings: InstanceSettings
    training: str = "none"
    """`none`, `semantic` (by its own loss), `weights` (its own alone), or `all`."""
    predicting: int | None = None
    """Iterations when it predicts; those of the study when absent."""
    has_window: bool = False


class WindowKernel:
    """What stood in the place of the lattice: a 9 x 9 window, every other pixel, summing to 1."""

    def __init__(self, colours: Tensor | None, images: int, height: int, width: int) -> None:
        steps = (-4, -2, 0, 2, 4)
        self.offsets = [(y, x) for y in steps for x in steps if (y, x) != (0, 0)]
        self.shape = (images, height, width)
        shifted = colours if colours is None else functional.pad(colours, (4,) * 4)
        inside = functional.pad(torch.ones(images, height, width), (4,) * 4)
        energies = []
        for y, x in self.offsets:
            energy = torch.log(self._shift(inside, y, x)) - (y * y + x * x) / (2 * 3.0**2)
            if colours is not None and shifted is not None:
                difference = self._shift(shifted, y, x) - colours
                energy = energy - difference.square().sum(dim=1) / (2 * 0.35**2)
            energies.append(energy)
        self.kernel = torch.stack(energies).softmax(dim=0)  # (O, B, H, W)

    def _shift(self, padded: Tensor, y: int, x: int) -> Tensor:
        _, height, width = self.shape
        return padded[..., 4 + y : 4 + y + height, 4 + x : 4 + x + width]

    def filter(self, values: Tensor) -> Tensor:
        """Return (P, L) values summed over the window."""
        images, height, width = self.shape
        maps = values.view(images, height, width, -1).permute(0, 3, 1, 2).contiguous()
        message: Tensor = _WindowFilter.apply(maps, self)
        return message.permute(0, 2, 3, 1).reshape(values.shape)


class _WindowFilter(torch.autograd.Function):
    """Sums written out: autograd would keep a padded map for each neighbour."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, window: WindowKernel) -> Tensor:
        ctx.window = window
        padded = functional.pad(maps, (4,) * 4)
        message = torch.zeros_like(maps)
        for (y, x), kernel in zip(window.offsets, window.kernel, strict=True):
            message.addcmul_(kernel[:, None], window._shift(padded, y, x))
        return message

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient, window = gradients[0].contiguous(), ctx.window
        padded = functional.pad(torch.zeros_like(gradient), (4,) * 4)
        for (y, x), kernel in zip(window.offsets, window.kernel, strict=True):
            # This slice is a view: the addition goes back to the place of the neighbour.
            window._shift(padded, y, x).addcmul_(kernel[:, None], gradient)
        return window._shift(padded, 0, 0), None


def build_windows(
    colours: Tensor, _settings: object, _scales: Tensor, _normalisation: str
) -> tuple[WindowKernel, WindowKernel]:
    """Stand in for `wsps.crf.mean_field.build_kernels`."""
    images, _, height, width = colours.shape
    normalised = Normalise(IMAGE_INPUTS["torchvision"])(colours)
    return (
        WindowKernel(None, images, height, width),
        WindowKernel(normalised, images, height, width),
    )


def main(
    study: Annotated[Path, typer.Argument(help="The study's TOML file.")],
    mix: Annotated[str, typer.Argument(help="One of its mixes.")],
    hours: Annotated[float, typer.Argument(help="The budget.")],
    out: Annotated[Path, typer.Option(help="Keeps the networks for the next run.")],
    seeds: Annotated[int, typer.Option(help="How many.")] = 5,
    ladder: Annotated[bool, typer.Option(help="All variants of the settings.")] = False,
    vary: Annotated[
        str | None, typer.Option(metavar="NAME=A,B", help="Values of a setting, end to end.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE.")] = None,
) -> None:
    """Train once, go on in several ways, and compare."""
    asked = load_study(study, overrides or [])
    asked = replace(asked, mixes={mix: asked.mixes[mix]}, budgets_hours=(hours,))
    asked = replace(asked, seeds=tuple(range(seeds)))
    given = asked.recipe.instance
    if vary is not None:
        rows = list_values(given, vary)
    else:
        rows = list_ladder(given) if ladder else list_rows(given)
    # Networks alone: the instance stage is what the rows differ in.
    # The detector of all rows has masks where one of them wants some.
    wanted = max(row.settings.mask_weight for row in rows)
    start = replace(asked.recipe, instance=replace(given, steps=0, mask_weight=wanted))
    trials = plan_trials(replace(asked, recipe=start), out)
    measured = [[score_row(row, trial, given) for row in rows] for trial in trials]
    scores = np.array([[[of[name] for name in SCORES] for of in one] for one in measured])
    typer.echo(f"{describe_machine()}; {mix}, {hours:g} h, {len(trials)} seeds; percent")
    print_table(rows, 100 * scores)
    names = [row.name for row in rows]
    for more, less in PAIRS:
        if not {more, less} <= set(names):
            continue
        paired = 100 * (scores[:, names.index(more)] - scores[:, names.index(less)])
        told = [f"{n} {describe_difference(d)}" for n, d in zip(SCORES, paired.T, strict=True)]
        typer.echo(f"{more} less {less}: {', '.join(told)}")


def list_rows(given: InstanceSettings) -> list[Row]:
    """Return the main comparison, in the study's own settings of the subnetwork."""
    window = replace(
        given,
        iterations=5,
        box_weight=1.0,
        global_weight=0.2,
        reach=1000.0,
        soften_scores=False,
        kernels=replace(given.kernels, gaussian_weight=0.5, bilateral_weight=1.5),
        weights_rate=1.0,
    )
    return [
        Row(name="unaries alone", settings=given, predicting=0),
        Row(name="9 x 9 window", settings=window, has_window=True),
        Row(name="9 x 9 window, end to end", settings=window, has_window=True, training="all"),
        Row(name="lattice", settings=given),
        Row(name="lattice, its four weights trained", settings=given, training="weights"),
        Row(name="lattice, semantics trained apart", settings=given, training="semantic"),
        Row(name="lattice, end to end", settings=given, training="all"),
    ]


def list_ladder(given: InstanceSettings) -> list[Row]:
    """Return variants that differ in one place from the study's own settings; none is trained."""

    def row(name: str, predicting: int | None = None, **changes: Any) -> Row:
        return Row(name=name, settings=replace(given, **changes), predicting=predicting)

    def kernels(name: str, **changes: float) -> Row:
        return row(name, kernels=replace(given.kernels, **changes))

    bilateral, gaussian = given.kernels.bilateral_sigma_xy, given.kernels.gaussian_sigma_xy
    return [
        row("the study's settings"),
        row("3 iterations", predicting=3),
        row("reach 0.25", reach=0.25),
        row("reach 1", reach=1.0),
        row("reach 1000", reach=1000.0),
        row("reach 1000, 3 iterations", predicting=3, reach=1000.0),
        row("w2 = 0.2", global_weight=0.2),
        row("scores as they are", soften_scores=False),
        kernels("no Gaussian", gaussian_weight=0.0),
        kernels("no bilateral", bilateral_weight=0.0),
        kernels("bilateral weight halved", bilateral_weight=given.kernels.bilateral_weight / 2),
        kernels("bilateral weight doubled", bilateral_weight=given.kernels.bilateral_weight * 2),
        kernels("bilateral reach halved", bilateral_sigma_xy=bilateral / 2),
        kernels("bilateral reach doubled", bilateral_sigma_xy=bilateral * 2),
        kernels("10 grey levels", bilateral_sigma_rgb=10.0),
        kernels("Gaussian reach a third", gaussian_sigma_xy=gaussian / 3),
        kernels("Gaussian reach tripled", gaussian_sigma_xy=gaussian * 3),
    ]


def list_values(given: InstanceSettings, vary: str) -> list[Row]:
    """Return a row for each value in `NAME=A,B` of a setting, trained end to end."""
    name, _, values = vary.partition("=")
    changes = [f"{name}={value}" for value in values.split(",")]
    return [
        Row(
            name=change,
            settings=read_settings(
                InstanceSettings, set_by_path(as_table(given), change), where="--vary"
            ),
            training="all",
        )
        for change in changes
    ]


def score_row(row: Row, trial: Trial, given: InstanceSettings) -> dict[str, float]:
    """Return the scores of a row in one seed, as `score_model` gives them."""
    model = change_model(start_model(trial), row)
    kernels = build_windows if row.has_window else build_kernels
    with patch.object(instance, "build_kernels", kernels):
        go_on(model, row, trial, replace(given, iterations=row.settings.iterations))
        recipe = model.recipe
        if row.predicting is not None:
            prediction = replace(recipe.prediction, iterations=row.predicting)
            recipe = replace(recipe, prediction=prediction)
        scores = score_model(replace(model, recipe=recipe), trial)
    told = ", ".join(f"{name} {100 * scores[name]:.1f}" for name in SCORES)
    typer.echo(f"seed {trial.seed}, {row.name}: {told}")
    return scores


def start_model(trial: Trial) -> PanopticModel:
    """Return the semantic network and detector of a seed, trained once."""
    labels, run, request = trial.folder / "labels", trial.folder / "run", trial.request
    pseudo_label(request, labels)
    train([labels], request.source, request.recipe, trial.seed, run)
    return load_model(run)


def change_model(model: PanopticModel, row: Row) -> PanopticModel:
    """Return the model with the row's subnetwork, its weights as training would begin."""
    recipe = replace(model.recipe, instance=row.settings)
    subnetwork = InstanceSubnetwork(model.categories, row.settings).to(model.device)
    return replace(
        model, recipe=recipe, semantic=copy.deepcopy(model.semantic), instance=subnetwork
    )


def go_on(model: PanopticModel, row: Row, trial: Trial, stage: InstanceSettings) -> None:
    """Train what the row says, all rows on the same batches."""
    if row.training == "none":
        return
    label_set = read_label_set(trial.folder / "labels")
    photos = open_source(trial.study.dataset.train_source)
    groups = read_examples(label_set, photos, model.recipe.images)
    boxed = [group for group in groups if group[0].has_boxes]
    batches = view_batches(boxed, model.recipe, trial.seed, "instance")
    if row.training == "semantic":
        model.semantic.eval()
        descend(model.semantic, batches, apart(model), model.recipe.descent, stage, "apart")
        return
    if row.training == "weights":
        alone = replace(model.recipe.instance, end_to_end=False)
        model = replace(model, recipe=replace(model.recipe, instance=alone))
    course = train_instance(model, batches).watched
    if row.training == "all":
        assert model.instance is not None
        names = [name for name, _ in model.instance.named_parameters()]
        ends = [f"{a:.2f} -> {b:.2f}" for a, b in zip(course[0], course[-1], strict=True)]
        typer.echo(f"{row.name}: {dict(zip(names, ends, strict=True))}")


def apart(model: PanopticModel) -> Callable[[Batch], Tensor]:
    """Return the semantic network's own loss."""

    def loss_of(batch: Batch) -> Tensor:
        return semantic_loss(model.semantic(batch.images), batch.classes)

    return loss_of


def score_model(model: PanopticModel, trial: Trial) -> dict[str, float]:
    """Return scores in [0, 1] by name, on the photos of the study.

    They are PQ, AP_vol and mean IoU, and the first and the last also of things and of stuff. To a
    model without a detector the boxes of the true things are given.
    """
    source = trial.study.dataset.val_source
    truth, dataset = read_truth(source), open_source(source)
    images = []
    for image, label in zip(dataset.images[: source.max_images], truth, strict=True):
        given = None
        if model.detector is None:
            given = true_detections(dataset.read_label(image), dataset.categories)
        found = predict(model, dataset.read_photo(image), image.image_id, given)
        prediction = to_runs(found.label)
        overlaps = measure_overlaps(label, prediction, dataset.categories)
        images.append(score_overlaps(overlaps, prediction, found.scores, len(dataset.categories)))
    thresholds = THRESHOLDS[trial.study.ap_thresholds]
    rates = measure(images, dataset.categories, METRICS, thresholds, all_groups=True).rates
    mean = len(dataset.categories)
    scores = {"ap_vol": rates["ap_vol"][mean]}
    for place, suffix in enumerate(("", "_things", "_stuff"), start=mean):
        scores |= {f"{name}{suffix}": rates[name][place] for name in ("pq", "iou")}
    return {name: float(value) for name, value in scores.items()}


def true_detections(label: FullLabel, categories: CategorySet) -> Detections:
    """Return the boxes of an image's things as a detector without mistakes would find them."""
    boxes = [b for b in label.objects.values() if categories.by_id(b.category_id).is_thing]
    classes = [categories.class_index_of[box.category_id] for box in boxes]
    return Detections(
        boxes_xyxy=torch.tensor([box.box_xyxy for box in boxes], dtype=torch.float32).view(-1, 4),
        class_indices=torch.tensor(classes, dtype=torch.int64),
        scores=torch.ones(len(boxes)),
    )


def print_table(rows: Sequence[Row], scores: NDArray[np.float64]) -> None:
    """Print a Markdown row for each row of (seeds, rows, scores) percent."""
    typer.echo("| | " + " | ".join(f"{name} | over the first" for name in SCORES) + " |")
    typer.echo("|---" * (1 + 2 * len(SCORES)) + "|")
    for place, row in enumerate(rows):
        cells = []
        for values, first in zip(scores[:, place].T, scores[:, 0].T, strict=True):
            cells += [f"{values.mean():.1f}", describe_difference(values - first)]
        typer.echo(f"| {row.name} | " + " | ".join(cells) + " |")


def describe_difference(differences: NDArray[np.float64], level: float = 0.95) -> str:
    """Return the mean of one difference a seed, with its interval of this level."""
    if len(differences) < 2 or not differences.any():
        return f"{differences.mean():+.1f}"
    return f"{differences.mean():+.1f} +- {half_width(differences, level):.1f}"


def half_width(values: NDArray[np.float64], level: float) -> float:
    """Return half of the interval, Student's of this level, around the mean of two or more."""
    count = len(values)
    return float(stats.t.ppf((1 + level) / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))


if __name__ == "__main__":
    typer.run(main)
