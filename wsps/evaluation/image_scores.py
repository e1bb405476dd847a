"""What one image contributes to every score, measured apart from the other images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.errors import DatasetError
from annotools.label_maps import draw_runs, replace_ids
from wsps.evaluation.average_precision import ScoredImage, score_segments
from wsps.evaluation.mean_iou import PixelCounts, count_overlap_pixels, count_pixels
from wsps.evaluation.overlaps import Overlaps, measure_overlaps
from wsps.evaluation.panoptic_quality import PanopticCounts, count_segments
from wsps.evaluation.ranking import rank_by_given, rank_by_oracle
from wsps.evaluation.run_labels import AnyLabel, RunLabel


@dataclass(frozen=True, kw_only=True)
class PredictedLabel:
    """A prediction of one image: void where nothing is predicted.

    `scores` are in [0, 1] by segment id, `probabilities` mean class probabilities likewise; both
    may lack segments, or be empty.
    """

    label: AnyLabel
    scores: Mapping[int, float]
    probabilities: Mapping[int, float]

    def ranks(self, ranking: str) -> Mapping[int, float]:
        """Return what the file gives to rank segments by; a segment may have nothing."""
        return self.probabilities if ranking == "probability" else self.scores


@dataclass(frozen=True, kw_only=True)
class ImageToScore:
    """One image and the functions that read its truth and its prediction.

    `prediction_file` lists the image's predicted segments.
    """

    image_id: int | str
    prediction_file: Path
    read_truth: Callable[[], AnyLabel]
    read_prediction: Callable[[], PredictedLabel]


@dataclass(frozen=True, kw_only=True)
class ImageScores:
    """The contributions of one image; None for what is not measured of it.

    `counts` honour all groups, `official_counts` those that the reference implementation does.
    """

    counts: PanopticCounts | None = None
    official_counts: PanopticCounts | None = None
    pixels: PixelCounts | None = None
    scored: ScoredImage | None = None


@dataclass(frozen=True, kw_only=True)
class PredictionScores:
    """The contributions of a truth's images, in its order, and the truth's categories.

    `num_unasked` counts predicted images that the truth does not have.
    """

    categories: CategorySet
    images: tuple[ImageScores, ...]
    num_unasked: int


def score_label(
    truth: AnyLabel,
    prediction: AnyLabel,
    scores: Mapping[int, float] | None,
    categories: CategorySet,
) -> ImageScores:
    """Measure one image, both labels in memory, in one pass over their runs.

    Args:
        truth: the image's label; as `to_runs` of it where it is compared more than once.
        prediction: the same image as predicted; void where nothing is.
        scores: confidence in [0, 1] by predicted segment id; None where average precision is not
            wanted.
        categories: the dataset's.

    Raises:
        DatasetError: when the prediction does not fit the truth or contradicts itself, or when
            a predicted segment has no score in [0, 1].
    """
    overlaps = measure_overlaps(truth, prediction, categories)
    return _score_overlaps(overlaps, prediction, scores, len(categories))


def count_class_map(
    truth: RunLabel, classes: NDArray[np.uint8], categories: CategorySet
) -> PixelCounts:
    """Count the pixels of one image by true and predicted class.

    Args:
        truth: the image's label.
        classes: (H, W) predicted class indices, `IGNORE_INDEX` where there is none.
        categories: the dataset's.

    Raises:
        DatasetError: when the two differ in shape or a class index is unknown.
    """
    class_of = {s.segment_id: categories.class_index_of[s.category_id] for s in truth.segments}
    true_classes = draw_runs(replace_ids(truth.runs, class_of, default=IGNORE_INDEX))
    return count_pixels(true_classes.astype(np.uint8), classes, len(categories), truth.image_id)


def score_one(
    categories: CategorySet, ranking: str, need_scores: bool, image: ImageToScore
) -> ImageScores:
    """Read and measure one image.

    Args:
        categories: the truth's.
        ranking: one of `RANKINGS`.
        need_scores: whether segments without a score are an error; else such an image has no
            `scored`.
        image: to measure.

    Raises:
        DatasetError: when a file is wrong, the prediction does not fit the truth, or a score is
            missing; the file is named.
    """
    truth, predicted = image.read_truth(), image.read_prediction()
    label = predicted.label
    try:
        overlaps = measure_overlaps(truth, label, categories)
        scores: Mapping[int, float] | None = None
        if ranking == "oracle":
            scores = rank_by_oracle(overlaps, label)
        else:
            given = predicted.ranks(ranking)
            if need_scores or all(s.segment_id in given for s in label.segments):
                scores = rank_by_given(label, given, ranking)
    except DatasetError as error:
        raise DatasetError(f"{image.prediction_file}: {error}") from error
    return _score_overlaps(overlaps, label, scores, len(categories))


def _score_overlaps(
    overlaps: Overlaps,
    prediction: AnyLabel,
    scores: Mapping[int, float] | None,
    num_classes: int,
) -> ImageScores:
    counts = official_counts = count_segments(overlaps, num_classes)
    if _has_rival_groups(overlaps):
        official_counts = count_segments(overlaps, num_classes, all_groups=False)
    return ImageScores(
        counts=counts,
        official_counts=official_counts,
        pixels=count_overlap_pixels(overlaps, num_classes),
        scored=None
        if scores is None
        else score_segments(overlaps, prediction, scores, num_classes),
    )


def _has_rival_groups(overlaps: Overlaps) -> bool:
    """Return whether two groups have the same category: only then does the reference differ."""
    group_classes = overlaps.truth_classes[overlaps.truth_is_group].tolist()
    return len(set(group_classes)) < len(group_classes)
