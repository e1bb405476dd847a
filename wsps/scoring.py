"""Score one prediction, or compare two, on the images of a truth."""

from dataclasses import dataclass
from functools import partial

from annotools.categories import CategorySet
from annotools.parallel import run_parallel
from annotools.progress import track
from wsps.evaluation.average_precision import CITYSCAPES_THRESHOLDS, VOC_THRESHOLDS
from wsps.evaluation.image_scores import ImageScores, ImageToScore, score_one
from wsps.evaluation.measures import METRICS, crowd_effect, measure, resample
from wsps.evaluation.report import Evaluation, ScoreRow, difference_rows, score_rows
from wsps.prediction_files import ScoringTask

THRESHOLDS = {"voc": VOC_THRESHOLDS, "cityscapes": CITYSCAPES_THRESHOLDS}


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """What to measure and how.

    `metrics` are of `METRICS`; empty for all, average precision only where each predicted segment
    has a score. `ranking` is of `RANKINGS`, `thresholds` a key of `THRESHOLDS`. `all_groups` is
    false for the reference's rule of one crowd of each category and image. `num_resamples` are
    drawn for intervals, 0 for none.
    """

    metrics: tuple[str, ...]
    ranking: str
    thresholds: str
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
    sides = [_score_all(task, settings)]
    if other is not None:
        sides.append(_score_all(other, settings))
    metrics = settings.metrics or _possible_metrics(sides)
    categories, all_groups = task.categories, settings.all_groups
    thresholds = THRESHOLDS[settings.thresholds]
    measured = [measure(s, categories, metrics, thresholds, all_groups=all_groups) for s in sides]
    resampled = []
    if settings.num_resamples:
        resampled = [
            resample(s, categories, settings.num_resamples, settings.seed, all_groups=all_groups)
            for s in sides
        ]
    differences: tuple[ScoreRow, ...] = ()
    if other is not None:
        pair = (resampled[0], resampled[1]) if resampled else None
        differences = difference_rows(measured[0], measured[1], categories, pair)
    return Evaluation(
        num_images=len(task.images),
        num_unasked=task.num_unasked,
        metrics=metrics,
        rows=score_rows(measured[0], categories, resampled[0] if resampled else None),
        differences=differences,
        crowd_effect=crowd_effect(sides[0], categories),
    )


def _score_all(task: ScoringTask, settings: ScoringSettings) -> list[ImageScores]:
    """Return what each image contributes, in the order of the images."""
    need_scores = "ap" in settings.metrics
    function = partial(_score_numbered, task.categories, settings.ranking, need_scores)
    numbered = list(enumerate(task.images))
    found = run_parallel(function, numbered, settings.workers)
    scores_of = dict(track(found, "scoring", len(numbered)))
    return [scores_of[number] for number in range(len(numbered))]


def _score_numbered(
    categories: CategorySet, ranking: str, need_scores: bool, numbered: tuple[int, ImageToScore]
) -> tuple[int, ImageScores]:
    number, image = numbered
    return number, score_one(categories, ranking, need_scores, image)


def _possible_metrics(sides: list[list[ImageScores]]) -> tuple[str, ...]:
    all_scored = all(image.scored is not None for side in sides for image in side)
    return tuple(metric for metric in METRICS if metric != "ap" or all_scored)
