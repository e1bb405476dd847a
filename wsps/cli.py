"""Commands of the segmenter."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.options import JsonFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from wsps.evaluation.report import Evaluation, ScoreRow
    from wsps.scoring import ScoringSettings

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)

PIPED_WIDTH = 160
"""Columns of a table that goes to a file or another program."""

HEADINGS = {
    "pq": "PQ",
    "sq": "SQ",
    "dq": "DQ",
    "ap_vol": "AP_vol",
    "iou": "IoU",
    "tp": "TP",
    "fp": "FP",
    "fn": "FN",
}

METRICS_OF_RESULTS = {"coco-instances": ("ap",), "cityscapes": ("miou", "ap")}
"""What can be measured of formats other than panoptic ones, one at a time; the first if absent."""

ALL_THERE_IS = {
    "coco-instances": "AP by detection score is all",
    "cityscapes": "either IoU or AP by detection score is all",
}

FORMATS = ("coco-panoptic", *METRICS_OF_RESULTS)

Folder = Annotated[
    Path | None, typer.Option(help="Its PNGs; the JSON's path without .json if absent.")
]


@app.command()
def evaluate(
    prediction: Annotated[
        Path, typer.Option(help="JSON of the prediction; of cityscapes, the folder of results.")
    ],
    truth: Annotated[
        Path, typer.Option(help="JSON of the truth; of cityscapes, its root, gtFine or gtCoarse.")
    ],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="coco-panoptic, coco-instances (AP of masks alone), or cityscapes: what its "
            "benchmark takes, label maps (miou) or, with --metrics ap, text files that list masks.",
        ),
    ] = "coco-panoptic",
    split: Annotated[str, typer.Option(help="Of a cityscapes truth.")] = "val",
    prediction_folder: Folder = None,
    truth_folder: Folder = None,
    compare: Annotated[
        Path | None, typer.Option(help="A second prediction, its PNGs beside: the difference.")
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="pq, ap or miou; repeat it. If absent all, ap where scores are."),
    ] = None,
    crowds: Annotated[
        str, typer.Option(help="all, or official: one a category and image, as panopticapi has it.")
    ] = "all",
    thresholds: Annotated[
        str, typer.Option(help="IoU of AP: voc (0.1 to 0.9) or cityscapes (0.50 to 0.95, COCO's).")
    ] = "cityscapes",
    rank: Annotated[
        str, typer.Option(help="For AP, by detection, probability, or oracle: the true IoU.")
    ] = "detection",
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Resamples of the images, for 95% intervals.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that read and measure.")] = 1,
    json_file: JsonFile = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write the scores to this file as well.")
    ] = None,
) -> None:
    """Score a prediction: panoptic quality, average precision, mean IoU.

    Prediction and truth are COCO panoptic files, anybody's, or of another --format. AP needs a
    score in [0, 1] on each predicted segment ("score" in segments_info), or --rank oracle. Means
    leave undefined out.

    [bold]Examples[/bold]

    \b
    annotools evaluate --prediction ours/panoptic.json --truth val/panoptic.json
    annotools evaluate --prediction ours.json --truth val.json --crowds official
      --json scores.json
    annotools evaluate --prediction masks.json --truth COCO/annotations/instances_val2017.json
      --format coco-instances
    annotools evaluate --prediction results --truth Cityscapes --format cityscapes --split val
    annotools evaluate --prediction old.json --truth val.json --compare new.json
      --bootstrap 1000
    """  # noqa: D301
    from wsps.evaluation.measures import METRICS
    from wsps.evaluation.ranking import RANKINGS
    from wsps.prediction_files import read_panoptic_task
    from wsps.scoring import THRESHOLDS, ScoringSettings, evaluate_predictions

    _check_choice("--format", format_name, FORMATS)
    _check_choice("--crowds", crowds, ("all", "official"))
    _check_choice("--thresholds", thresholds, tuple(THRESHOLDS))
    _check_choice("--rank", rank, RANKINGS)
    for metric in metrics or ():
        _check_choice("--metrics", metric, METRICS)
    settings = ScoringSettings(
        metrics=tuple(metric for metric in METRICS if metric in (metrics or ())),
        ranking=rank,
        thresholds=thresholds,
        all_groups=crowds == "all",
        num_resamples=bootstrap,
        seed=seed,
        workers=workers,
    )
    if format_name != "coco-panoptic":
        possible = METRICS_OF_RESULTS[format_name]
        if not _is_one_of(settings, possible):
            raise typer.BadParameter(f"of {format_name}, {ALL_THERE_IS[format_name]} there is")
        settings = replace(settings, metrics=settings.metrics or possible[:1])
        predictions = [prediction] if compare is None else [prediction, compare]
        evaluation = _evaluate_results(format_name, truth, split, predictions, settings)
    else:
        evaluation = evaluate_predictions(
            read_panoptic_task(truth, prediction, truth_folder, prediction_folder),
            read_panoptic_task(truth, compare, truth_folder) if compare is not None else None,
            settings,
        )
    _print(evaluation, settings)
    _write(evaluation, settings, json_file, csv_file)


def _is_one_of(settings: "ScoringSettings", possible: tuple[str, ...]) -> bool:
    """Return whether at most one metric is asked for, a possible one, by detection score."""
    is_one = len(settings.metrics) <= 1 and set(settings.metrics) <= set(possible)
    return is_one and settings.ranking == "detection"


def _evaluate_results(
    format_name: str,
    truth: Path,
    split: str,
    predictions: "Sequence[Path]",
    settings: "ScoringSettings",
) -> "Evaluation":
    from wsps.cityscapes_results import score_semantic, score_thing_masks
    from wsps.instance_results import score_instances
    from wsps.scoring import report_scores

    if format_name == "coco-instances":
        sides = [score_instances(truth, path) for path in predictions]
    elif settings.metrics == ("ap",):
        sides = [score_thing_masks(truth, split, path) for path in predictions]
    else:
        sides = [score_semantic(truth, split, path) for path in predictions]
    return report_scores(sides, settings)


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise typer.BadParameter(f"{option} {value!r}: choose {', '.join(choices)}")


def _print(evaluation: "Evaluation", settings: "ScoringSettings") -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(_score_table(evaluation.rows, f"{evaluation.num_images:,} images, in percent"))
    if evaluation.differences:
        title = "Second prediction minus first, in points"
        console.print(_score_table(evaluation.differences, title))
    for note in _notes(evaluation, settings):
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _score_table(rows: "Sequence[ScoreRow]", title: str) -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("class")
    table.add_column("kind")
    for name in (*rows[0].rates, *rows[0].counts):
        table.add_column(HEADINGS[name], justify="right")
    for number, row in enumerate(rows):
        rates = [_show_rate(value, row.intervals.get(name)) for name, value in row.rates.items()]
        counts = [f"{count:,}" for count in row.counts.values()]
        before_means = row.kind != "mean" and rows[number + 1].kind == "mean"
        table.add_row(escape(row.name), row.kind, *rates, *counts, end_section=before_means)
    return table


def _show_rate(value: float | None, ends: tuple[float, float] | None) -> str:
    if value is None:
        return "–"
    shown = f"{100 * value:.1f}"
    return shown if ends is None else f"{shown} [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]"


def _notes(evaluation: "Evaluation", settings: "ScoringSettings") -> list[str]:
    effect = evaluation.crowd_effect
    rule = "all crowds count" if settings.all_groups else "one crowd a category and image counts"
    notes = []
    if "pq" in evaluation.metrics:
        notes.append(
            f"Crowds: {rule}. The two rules differ in the PQ of {effect.num_classes} classes, by "
            f"at most {100 * effect.most:.2f} points."
        )
    if settings.num_resamples:
        notes.append(f"Intervals: 95% over {settings.num_resamples:,} resamples of the images.")
    if not settings.metrics and "ap" not in evaluation.metrics:
        notes.append("No AP: not every predicted segment has a score; --rank oracle needs none.")
    if evaluation.num_unasked:
        notes.append(f"{evaluation.num_unasked:,} predicted images are not in the truth.")
    return notes


def _write(
    evaluation: "Evaluation",
    settings: "ScoringSettings",
    json_file: Path | None,
    csv_file: Path | None,
) -> None:
    from annotools.files import write_whole
    from wsps.evaluation.report import rows_as_csv, rows_as_json

    if json_file is not None:
        content = {
            "images": evaluation.num_images,
            "metrics": evaluation.metrics,
            "crowds": "all" if settings.all_groups else "official",
            "classes_that_crowds_change": evaluation.crowd_effect.num_classes,
            "largest_change": evaluation.crowd_effect.most,
            "thresholds": settings.thresholds,
            "rank": settings.ranking,
            "resamples": settings.num_resamples,
            "seed": settings.seed,
            "rows": rows_as_json(evaluation.rows),
            "differences": rows_as_json(evaluation.differences),
        }
        write_whole(json_file, (json.dumps(content, indent=1) + "\n").encode())
    if csv_file is not None:
        write_whole(csv_file, rows_as_csv(evaluation.rows).encode())
