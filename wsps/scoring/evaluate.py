"""Predictions are scored here, one or two compared, for the command and for a study's trial.

Every image is read and measured by itself, in one loop; rates are computed from all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from annotools.categories import CategorySet
from annotools.parallel import run_parallel
from annotools.progress import track
from wsps.evaluation.image_scores import ImageScores, ImageToScore, PredictionScores, score_one
from wsps.evaluation.mean_iou import PixelCounts, mean_iou
from wsps.evaluation.overlaps import RunLabel
from wsps.evaluation.rates import METRICS, crowd_effect, draw_resamples, measure, resample
from wsps.scoring.panoptic_files import ScoringTask, match_labels
from wsps.scoring.report import (
    Evaluation,
    ScoreRow,
    difference_rows,
    none_if_undefined,
    score_rows,
)


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """Which scores to compute, and how.

    `metrics` are of `METRICS`; empty for all, average precision only where each predicted segment
    has what `ranking`, of `RANKINGS`, ranks it by. `thresholds` are IoU in (0, 1], no two the
    same, such as the values of `THRESHOLDS`. `all_groups` is false for the reference's rule of one
    crowd of each category and image. `num_resamples` are drawn for intervals, 0 for none.
    """

    metrics: tuple[str, ...]
    ranking: str
    thresholds: tuple[float, ...]
    all_groups: bool
    num_resamples: int
    seed: int
    workers: int


def evaluate_predictions(
    task: ScoringTask, other: ScoringTask | None, settings: ScoringSettings
) -> Evaluation:
    """Score a prediction; with another one of the same truth, the difference other minus first.

    Raises:
        DatasetError: when a file is wrong, a prediction does not fit the truth, or average
            precision is asked for and a segment has no score.
    """
    tasks = [task] if other is None else [task, other]
    need_scores = "ap" in settings.metrics
    sides = [_score_all(t, settings.ranking, need_scores, settings.workers) for t in tasks]
    return report_scores(sides, settings)


def score_prediction(
    prediction: Path,
    truth: Sequence[RunLabel],
    categories: CategorySet,
    thresholds: Sequence[float],
) -> dict[str, float | None]:
    """Score a label set that was predicted, against labels in memory.

    Args:
        prediction: a folder with `panoptic.json`, whose segments have a `score`, and
            `panoptic/NAME.png`. It may have `semantic/NAME.png` too: the class indices, in 8 bits,
            that the semantic network itself gives.
        truth: the labels of the images that are scored, at least one, in the order that decides
            between equal scores.
        categories: of both.
        thresholds: IoU in (0, 1] of average precision, such as those of `THRESHOLDS`.

    Returns:
        Rates in [0, 1], None where undefined: `ap_vol`, `miou`, `miou_semantic` (None without
        class maps), and `pq`, `sq` and `dq`, each also with the ending `_things` and `_stuff`.

    Raises:
        DatasetError: when an image has no prediction, a file is wrong, a prediction does not fit
            the truth, or a segment has no score.
    """
    # Scores have to be there: without them average precision would be left out in silence.
    task = match_labels(truth, prediction, categories)
    images = _score_all(task, "detection", need_scores=True, workers=1).images
    rates = measure(images, categories, METRICS, thresholds, all_groups=True).rates
    first_mean = len(categories)
    scores = {"ap_vol": rates["ap_vol"][first_mean], "miou": rates["iou"][first_mean]}
    semantic = [image.semantic_pixels for image in images if image.semantic_pixels is not None]
    scores["miou_semantic"] = mean_iou(sum(semantic, PixelCounts.zero(len(categories)))).mean
    for place, suffix in enumerate(("", "_things", "_stuff"), start=first_mean):
        scores |= {f"{name}{suffix}": rates[name][place] for name in ("pq", "sq", "dq")}
    return {name: none_if_undefined(value) for name, value in scores.items()}


def report_scores(sides: Sequence[PredictionScores], settings: ScoringSettings) -> Evaluation:
    """Return the scores of one prediction, or of two and their difference.

    Args:
        sides: one or two predictions of the same truth; what the metrics need is measured of
            each image.
        settings: without metrics, all that can be had of every image.
    """
    first = sides[0]
    categories, thresholds = first.categories, settings.thresholds
    metrics = settings.metrics or _possible_metrics(sides)
    rule = settings.all_groups
    measured = [measure(s.images, categories, metrics, thresholds, all_groups=rule) for s in sides]
    resampled = []
    if settings.num_resamples:
        # Differences are between scores of the same resamples.
        draws = draw_resamples(len(first.images), settings.num_resamples, settings.seed)
        resampled = [
            resample(s.images, categories, metrics, thresholds, draws, all_groups=rule)
            for s in sides
        ]
    rows = [
        score_rows(of_side, categories, resampled[place] if resampled else None)
        for place, of_side in enumerate(measured)
    ]
    differences: tuple[ScoreRow, ...] = ()
    if len(sides) > 1:
        pair = (resampled[0], resampled[1]) if resampled else None
        differences = difference_rows(measured[0], measured[1], categories, pair)
    return Evaluation(
        num_images=len(first.images),
        num_unasked=first.num_unasked,
        metrics=metrics,
        rows=rows[0],
        second_rows=rows[1] if len(sides) > 1 else (),
        differences=differences,
        crowd_effect=crowd_effect(sides),
    )


def _score_all(
    task: ScoringTask, ranking: str, need_scores: bool, workers: int
) -> PredictionScores:
    """Read and measure the images of a task, each by itself."""
    function = partial(_score_numbered, task.categories, ranking, need_scores)
    numbered = list(enumerate(task.images))
    found = run_parallel(function, numbered, workers)
    # Workers finish in any order, and the order of images decides between equal scores.
    scores_of = dict(track(found, "scoring", len(numbered)))
    return PredictionScores(
        categories=task.categories,
        images=tuple(scores_of[number] for number in range(len(numbered))),
        num_unasked=task.num_unasked,
    )


def _score_numbered(
    categories: CategorySet, ranking: str, need_scores: bool, numbered: tuple[int, ImageToScore]
) -> tuple[int, ImageScores]:
    number, image = numbered
    return number, score_one(categories, ranking, need_scores, image)


def _possible_metrics(sides: Sequence[PredictionScores]) -> tuple[str, ...]:
    images = [image for side in sides for image in side.images]
    is_possible = {
        "pq": all(image.counts is not None for image in images),
        "ap": all(image.scored is not None for image in images),
        "miou": all(image.pixels is not None for image in images),
    }
    return tuple(metric for metric in METRICS if is_possible[metric])
