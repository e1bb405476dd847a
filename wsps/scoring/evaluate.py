"""Score predictions, one or two to compare, for the command and for a study's trial.

Every image is read and measured by itself, in one loop; rates are computed from all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.parallel import run_parallel
from annotools.progress import track
from wsps.evaluation.image_scores import (
    ImageScores,
    PredictionScores,
    count_class_map,
    leave_out_stuff,
    rank_by_given,
    rank_by_oracle,
    score_overlaps,
)
from wsps.evaluation.overlaps import RunLabel, measure_overlaps
from wsps.evaluation.rates import (
    METRICS,
    crowd_effect,
    difference,
    draw_resamples,
    measure,
    resample_iou,
)
from wsps.scoring.panoptic_files import ImageToScore, ScoringTask, match_labels, read_classes
from wsps.scoring.report import Evaluation, none_if_undefined, score_rows

MASKS = ("whole", "disjoint")
"""Masks as COCO files have them, or without overlaps, as segments are."""

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """Which scores to compute, and how.

    `metrics` are of `METRICS`; empty for all, average precision only where each predicted thing
    has what `ranking`, of `RANKINGS`, ranks it by. `thresholds` are IoU in
    (0, 1], no two the same, such as the values of `THRESHOLDS`; `recalls` is a key of `RECALLS`.
    `masks` is of `MASKS`, None where masks cannot overlap. `all_groups` is false for the
    reference's rule of one crowd of each category and image. `num_resamples` are drawn for
    intervals, 0 for none.
    """

    metrics: tuple[str, ...]
    ranking: str
    thresholds: tuple[float, ...]
    recalls: str
    masks: str | None
    all_groups: bool
    num_resamples: int
    seed: int
    workers: int


def evaluate_predictions(tasks: Sequence[ScoringTask], settings: ScoringSettings) -> Evaluation:
    """Score a prediction; with another one of the same truth, the difference second minus first.

    Common frameworks give no score to segments of stuff. Where one lacks what segments are ranked
    by, average precision is of things alone, in all images and both predictions.

    Raises:
        DatasetError: when a file is wrong, a prediction does not fit the truth, or average
            precision is asked for and a thing has no score.
    """
    ranking, need_scores = settings.ranking, "ap" in settings.metrics
    things_alone = _ranks_things_alone(tasks, ranking)
    sides = [_score_task(t, ranking, need_scores, settings.workers, things_alone) for t in tasks]
    return report_scores(sides, settings)


def score_prediction(
    prediction: Path,
    truth: Sequence[RunLabel],
    categories: CategorySet,
    thresholds: Sequence[float],
) -> dict[str, Any]:
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
        `class_pq` has the PQ of each class by its name.

    Raises:
        DatasetError: when an image has no prediction, a file is wrong, a prediction does not fit
            the truth, or a segment has no score.
    """
    # Scores have to be there: without them average precision would be left out in silence.
    task = match_labels(truth, prediction, categories)
    images = _score_task(task, "detection", need_scores=True, workers=1).images
    rates = measure(images, categories, METRICS, thresholds, all_groups=True).rates
    first_mean = len(categories)
    scores = {"ap_vol": rates["ap_vol"][first_mean], "miou": rates["iou"][first_mean]}
    semantic = [image.semantic_pixels for image in images if image.semantic_pixels is not None]
    scores["miou_semantic"] = np.nan
    if semantic:
        iou = resample_iou(semantic, np.ones((1, len(semantic))), categories)["iou"]
        scores["miou_semantic"] = iou[0, first_mean]
    for place, suffix in enumerate(("", "_things", "_stuff"), start=first_mean):
        scores |= {f"{name}{suffix}": rates[name][place] for name in ("pq", "sq", "dq")}
    names = [category.name for category in categories.categories]
    # The columns of the means come after those of the classes.
    of_class = dict(zip(names, map(none_if_undefined, rates["pq"]), strict=False))
    means = {name: none_if_undefined(value) for name, value in scores.items()}
    return {**means, "class_pq": of_class}


def report_scores(sides: Sequence[PredictionScores], settings: ScoringSettings) -> Evaluation:
    """Return the scores of one prediction, or of two and their difference.

    Args:
        sides: one or two predictions of the same truth; what the metrics need is measured of
            each image.
        settings: without metrics, all that can be had of every image.
    """
    first = sides[0]
    metrics = settings.metrics or _possible_metrics(sides)
    draws = None
    if settings.num_resamples:
        # Drawn once: differences are between scores of the same resamples.
        draws = draw_resamples(len(first.images), settings.num_resamples, settings.seed)
    parts = [
        measure(
            side.images,
            first.categories,
            metrics,
            settings.thresholds,
            all_groups=settings.all_groups,
            recalls=settings.recalls,
            draws=draws,
        )
        for side in sides
    ]
    if len(parts) > 1:
        parts.append(difference(parts[0], parts[1]))
    rows = [score_rows(part, first.categories) for part in parts]
    return Evaluation(
        num_images=len(first.images),
        num_unasked=tuple(side.num_unasked for side in sides),
        num_empty=tuple(sum(image.num_empty for image in side.images) for side in sides),
        has_things_alone=first.has_things_alone and "ap" in metrics,
        metrics=metrics,
        rows=rows[0],
        second_rows=rows[1] if len(rows) > 1 else (),
        differences=rows[2] if len(rows) > 1 else (),
        crowd_effect=crowd_effect(sides),
        # What is said of the truth is the same of both.
        remarks=tuple(dict.fromkeys(remark for side in sides for remark in side.remarks)),
    )


def score_images(
    function: Callable[[Item], ImageScores], items: Sequence[Item], workers: int = 1
) -> tuple[ImageScores, ...]:
    """Read and measure images, each by itself, and return what they contribute in their order.

    Args:
        function: of one image; picklable where there are several workers, as are the images.
        items: the images.
        workers: processes at work at the same time.
    """
    found = run_parallel(partial(_score_numbered, function), list(enumerate(items)), workers)
    # Workers finish in any order, and the order of images decides between equal scores.
    scores_of = dict(track(found, "scoring", len(items)))
    return tuple(scores_of[number] for number in range(len(items)))


def score_one(
    categories: CategorySet,
    ranking: str,
    need_scores: bool,
    image: ImageToScore,
    things_alone: bool = False,
) -> ImageScores:
    """Read and measure one image.

    Args:
        categories: the truth's.
        ranking: one of `RANKINGS`.
        need_scores: whether segments without a score are an error; else such an image has no
            `scored`.
        image: to measure.
        things_alone: whether segments of stuff need no score, and do not count in `scored`.

    Raises:
        DatasetError: when a file is wrong, the prediction does not fit the truth, or a score is
            missing; the file is named.
    """
    truth, label = image.read_truth(), image.read_prediction()
    classes = None if image.semantic_file is None else read_classes(image.semantic_file)
    semantic_pixels = None
    # What is raised here knows the image alone; the readers above name their file themselves.
    try:
        overlaps = measure_overlaps(truth, label, categories)
        scores: Mapping[int, float] | None = None
        if ranking == "oracle":
            scores = rank_by_oracle(overlaps, label)
        else:
            given = image.ranks(ranking)
            if things_alone:
                # Any number does: what it ranks does not count.
                given = {**dict.fromkeys(_stuff_ids(image, categories), 0.0), **given}
            if need_scores or all(s.segment_id in given for s in label.segments):
                scores = rank_by_given(label, given, ranking)
        if classes is not None:
            semantic_pixels = count_class_map(truth, classes, categories)
    except DatasetError as error:
        raise DatasetError(f"{image.prediction_file}: {error}") from error
    found = score_overlaps(overlaps, label, scores, len(categories))
    scored = found.scored
    if things_alone and scored is not None:
        scored = leave_out_stuff(scored, categories)
    return replace(found, scored=scored, semantic_pixels=semantic_pixels)


def _score_numbered(
    function: Callable[[Item], ImageScores], numbered: tuple[int, Item]
) -> tuple[int, ImageScores]:
    number, item = numbered
    return number, function(item)


def _ranks_things_alone(tasks: Sequence[ScoringTask], ranking: str) -> bool:
    """Return whether a predicted segment of stuff has no rank."""
    return ranking != "oracle" and any(
        segment_id not in image.ranks(ranking)
        for task in tasks
        for image in task.images
        for segment_id in _stuff_ids(image, task.categories)
    )


def _stuff_ids(image: ImageToScore, categories: CategorySet) -> list[int]:
    """Return the ids of an image's predicted segments of stuff."""
    category_of = image.prediction.category_of
    return [
        i for i, category_id in category_of.items() if not categories.by_id(category_id).is_thing
    ]


def _score_task(
    task: ScoringTask, ranking: str, need_scores: bool, workers: int, things_alone: bool = False
) -> PredictionScores:
    score = partial(score_one, task.categories, ranking, need_scores, things_alone=things_alone)
    return PredictionScores(
        categories=task.categories,
        images=score_images(score, task.images, workers),
        num_unasked=task.num_unasked,
        has_things_alone=things_alone,
        remarks=task.remarks,
    )


def _possible_metrics(sides: Sequence[PredictionScores]) -> tuple[str, ...]:
    images = [image for side in sides for image in side.images]
    is_possible = {
        "pq": all(image.counts is not None for image in images),
        "ap": all(image.scored is not None or image.matched is not None for image in images),
        "miou": all(image.pixels is not None for image in images),
    }
    return tuple(metric for metric in METRICS if is_possible[metric])
