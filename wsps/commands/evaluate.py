"""`annotools evaluate` scores predictions."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from annotools.commands.options import JsonFile, tell
from annotools.commands.places import Commands, Reads, Writes, keep

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from wsps.scoring.evaluate import ScoringSettings
    from wsps.scoring.report import Evaluation

app = Commands()

METRICS_OF_RESULTS = {"coco-instances": ("ap",), "cityscapes": ("miou", "ap")}
"""The metrics of formats that are not panoptic: one at a time, the first if none is given."""

ALL_THERE_IS = {
    "coco-instances": "AP by detection score is all",
    "cityscapes": "either IoU or AP by detection score is all",
}

FORMATS = ("coco-panoptic", *METRICS_OF_RESULTS)

Folder = Annotated[
    Path | None,
    typer.Option(help="Its PNGs; the JSON's path without .json if absent."),
    Reads(closed=True),
]


@app.command()
def evaluate(
    prediction: Annotated[
        Path,
        typer.Option(help="JSON of the prediction; of cityscapes, the folder of results."),
        Reads(kept=True),
    ],
    truth: Annotated[
        Path,
        typer.Option(help="JSON of the truth; of cityscapes, its root, gtFine or gtCoarse."),
        Reads(kept=True),
    ],
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            help="coco-panoptic, coco-instances (AP of masks, COCO's own), or cityscapes: what its "
            "benchmark takes, label maps (miou) or, with --metrics ap, text files that list masks.",
        ),
    ] = "coco-panoptic",
    split: Annotated[str | None, typer.Option(help="Of a cityscapes truth; val if absent.")] = None,
    prediction_folder: Folder = None,
    truth_folder: Folder = None,
    compare: Annotated[
        Path | None,
        typer.Option(help="A second prediction: the difference to the first."),
        Reads(kept=True),
    ] = None,
    compare_folder: Folder = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="Of pq,ap,miou: a list or repeated. If absent all, ap where scores are."),
    ] = None,
    crowds: Annotated[
        str, typer.Option(help="all, or official: one of a category and image, as panopticapi has.")
    ] = "all",
    thresholds: Annotated[
        str,
        typer.Option(
            help="IoU of AP: voc (0.1 to 0.9), coco or cityscapes (both 0.50 to 0.95), or numbers, "
            "0.5,0.75. AP_vol is the mean over them; AP at each is shown of up to four, and is in "
            "the files of all."
        ),
    ] = "coco",
    recalls: Annotated[
        str | None,
        typer.Option(
            help="For AP: 101 (the mean precision at recall 0, 0.01, ..., 1, as in COCO) or all "
            "(the exact area under the same curve, which differs where true objects are few). "
            "101 of coco-instances and all elsewhere if absent."
        ),
    ] = None,
    masks: Annotated[
        str | None,
        typer.Option(
            help="Of coco-instances. whole, which is the default: as the files have them, matched "
            "by pycocotools' COCOeval; a mask on a crowd is ignored when the share of it on the "
            "crowd reaches the IoU threshold, and 100 masks of an image and category count. "
            "disjoint: as segments of panoptic labels are; where true masks overlap the smaller "
            "has the pixel, a mask with more than half of it on crowds is ignored, and all count."
        ),
    ] = None,
    rank: Annotated[
        str,
        typer.Option(
            help='For AP: detection ("score" of each segment), probability ("probability" in '
            "segments_info, which a file may have next to score) or oracle (IoU with the truth). "
            "Asking for probability asks for AP: each thing then needs one."
        ),
    ] = "detection",
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Resamples of the images, for 95% intervals.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that read and measure.")] = 1,
    json_file: JsonFile = None,
    csv_file: Annotated[
        Path | None,
        typer.Option("--csv", help="Write the scores to this file as well."),
        Writes(),
    ] = None,
) -> None:
    """Score a prediction: panoptic quality, average precision, mean IoU.

    Prediction and truth are COCO panoptic files, anybody's, or of another --format. AP needs a
    score in [0, 1] on each predicted thing ("score" in segments_info), or --rank oracle; where
    segments of stuff lack one, AP is of things alone. Means leave undefined out.

    AP of coco-instances is that of pycocotools: AP_vol is its AP, small, medium and large by the
    area of the true object. --masks and --recalls give other rules. Ids of annotations are counted
    anew: pycocotools does not match one with id 0, and takes those with the same id for one.

    No photo is read. Numbers as text, 1.0 for 1 and the like are taken for what they can only
    mean; a note on stderr counts them.

    [bold]Examples[/bold]

    \b
    annotools evaluate --prediction ours/panoptic.json --truth val/panoptic.json
    annotools evaluate --prediction ours.json --truth val.json --crowds official
      --json scores.json
    annotools evaluate --prediction ours.json --truth val.json --metrics pq,ap
      --thresholds 0.5,0.75
    annotools evaluate --prediction masks.json --truth COCO/annotations/instances_val2017.json
      --format coco-instances
    annotools evaluate --prediction masks.json --truth COCO/annotations/instances_val2017.json
      --format coco-instances --masks disjoint --recalls all
    annotools evaluate --prediction results --truth Cityscapes --format cityscapes --split val
    annotools evaluate --prediction old.json --truth val.json --compare new.json
      --bootstrap 1000
    """  # noqa: D301
    # Imported here, so that `--help` does not load what only scoring needs.
    from wsps.commands.score_tables import print_evaluation, write_evaluation
    from wsps.evaluation.average_precision import RECALLS
    from wsps.evaluation.image_scores import RANKINGS
    from wsps.evaluation.rates import METRICS
    from wsps.scoring.evaluate import MASKS, ScoringSettings, evaluate_predictions
    from wsps.scoring.panoptic_files import read_panoptic_task

    _check_choice("--format", format_name, FORMATS)
    _check_choice("--crowds", crowds, ("all", "official"))
    _check_choice("--rank", rank, RANKINGS)
    of_masks = format_name == "coco-instances"
    recalls = recalls or ("101" if of_masks else "all")
    _check_choice("--recalls", recalls, RECALLS)
    # An empty text stays one item, so that it is refused as a metric and not passed over.
    chosen = [metric for text in metrics or () for metric in _split(text) or [text]]
    for metric in chosen:
        _check_choice("--metrics", metric, METRICS)
    folders = {
        "--prediction-folder": prediction_folder,
        "--truth-folder": truth_folder,
        "--compare-folder": compare_folder,
    }
    _refuse_of_other("cityscapes", format_name, {"--split": split})
    _refuse_of_other("coco-instances", format_name, {"--masks": masks})
    if of_masks:
        masks = masks or "whole"
        _check_choice("--masks", masks, MASKS)
    official = crowds if crowds == "official" else None
    _refuse_of_other("coco-panoptic", format_name, {"--crowds official": official, **folders})
    if compare_folder is not None and compare is None:
        raise typer.BadParameter("--compare-folder: give --compare too")
    if rank == "probability" and not chosen:
        # Asking for --rank probability implies AP: a thing without one is then an error, where
        # otherwise AP would be left out in silence.
        chosen = [*METRICS]
    settings = ScoringSettings(
        metrics=tuple(metric for metric in METRICS if metric in chosen),
        ranking=rank,
        thresholds=_read_thresholds(thresholds),
        recalls=recalls,
        masks=masks,
        all_groups=crowds == "all",
        num_resamples=bootstrap,
        seed=seed,
        workers=workers,
    )
    predictions = [(prediction, prediction_folder)]
    if compare is not None:
        predictions.append((compare, compare_folder))
    if format_name != "coco-panoptic":
        possible = METRICS_OF_RESULTS[format_name]
        if not _is_one_of(settings, possible):
            raise typer.BadParameter(f"of {format_name}, {ALL_THERE_IS[format_name]} there is")
        # Named from here on: without metrics the notes would say that things lack scores.
        settings = replace(settings, metrics=settings.metrics or possible[:1])
        results = [path for path, _ in predictions]
        evaluation = _evaluate_results(truth, "val" if split is None else split, results, settings)
    else:
        _refuse_folders((truth, *(path for path, _ in predictions)))
        tasks = [read_panoptic_task(truth, p, truth_folder, pngs) for p, pngs in predictions]
        for task in tasks:
            keep(task.files, "a file that is scored")
        evaluation = evaluate_predictions(tasks, settings)
    tell(evaluation.remarks)
    print_evaluation(evaluation, settings)
    write_evaluation(evaluation, settings, json_file, csv_file)


def _is_one_of(settings: "ScoringSettings", possible: tuple[str, ...]) -> bool:
    """Return whether at most one metric is asked for, a possible one, by detection score."""
    is_one = len(settings.metrics) <= 1 and set(settings.metrics) <= set(possible)
    return is_one and settings.ranking == "detection"


def _refuse_folders(lists: "Sequence[Path]") -> None:
    """Refuse the folder of a label set where its list is asked for."""
    from annotools.errors import DatasetError
    from annotools.formats.panoptic_folder import LABELS_FILE

    for path in lists:
        if path.is_dir():
            raise DatasetError(f"{path}: is a folder: give its list, {path / LABELS_FILE}")


def _evaluate_results(
    truth: Path,
    split: str,
    predictions: "Sequence[Path]",
    settings: "ScoringSettings",
) -> "Evaluation":
    from wsps.scoring.cityscapes_results import score_semantic, score_thing_masks
    from wsps.scoring.evaluate import report_scores
    from wsps.scoring.instance_results import score_disjoint_instances, score_instances

    thresholds, workers = settings.thresholds, settings.workers
    if settings.masks == "whole":
        sides = [score_instances(truth, path, thresholds, workers) for path in predictions]
    elif settings.masks == "disjoint":
        sides = [score_disjoint_instances(truth, path, workers) for path in predictions]
    elif settings.metrics == ("ap",):
        sides = [score_thing_masks(truth, split, path, workers) for path in predictions]
    else:
        sides = [score_semantic(truth, split, path, workers) for path in predictions]
    return report_scores(sides, settings)


def _refuse_of_other(owner: str, format_name: str, given: "Mapping[str, object]") -> None:
    """Refuse options of one format, by their names, that would change nothing of another.

    Args:
        owner: the format whose options they are.
        format_name: the one that is asked for.
        given: the value of each option; None where it was not given.
    """
    named = [option for option, value in given.items() if value is not None]
    if named and format_name != owner:
        raise typer.BadParameter(f"{named[0]}: is of --format {owner}")


def _check_choice(option: str, value: str, choices: "Collection[str]") -> None:
    if value not in choices:
        raise typer.BadParameter(f"{option} {value!r}: choose {', '.join(choices)}")


def _read_thresholds(text: str) -> tuple[float, ...]:
    """Return the IoU that a name stands for, or those in a list."""
    from wsps.evaluation.average_precision import THRESHOLDS

    if text in THRESHOLDS:
        return THRESHOLDS[text]
    try:
        found = tuple(float(number) for number in _split(text))
    except ValueError:
        found = ()
    # A rate goes by the name of its threshold, which a repeated one would share. NaN, which float()
    # reads, fails the comparison.
    if not found or len(set(found)) < len(found) or not all(0 < iou <= 1 for iou in found):
        raise typer.BadParameter(
            f"--thresholds {text!r}: choose {', '.join(THRESHOLDS)}, or different numbers above 0 "
            "and up to 1 such as 0.5,0.75"
        )
    return found


def _split(text: str) -> list[str]:
    """Return the items of a list with commas or spaces."""
    return text.replace(",", " ").split()
