"""What one image contributes to every score, measured apart from the other images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from annotools.categories import CategorySet
from annotools.label_maps import class_map
from annotools.records import FullLabel
from wsps.evaluation.average_precision import ScoredImage, score_image
from wsps.evaluation.mean_iou import PixelCounts, count_pixels
from wsps.evaluation.panoptic_quality import PanopticCounts, count_image
from wsps.evaluation.ranking import rank_by_detection, rank_by_oracle


@dataclass(frozen=True, kw_only=True)
class PredictedLabel:
    """A prediction of one image: void where nothing is predicted.

    `scores` are in [0, 1] by segment id, `probabilities` mean class probabilities likewise; both
    may lack segments, or be empty.
    """

    label: FullLabel
    scores: Mapping[int, float]
    probabilities: Mapping[int, float]

    def ranks(self, ranking: str) -> dict[int, float]:
        """Return what the file gives to rank segments by; a segment may have nothing.

        By `probability`, a segment without one is ranked by its score.
        """
        given = dict(self.scores)
        if ranking == "probability":
            given.update(self.probabilities)
        return given


@dataclass(frozen=True, kw_only=True)
class ImageToScore:
    """One image and the functions that read its truth and its prediction."""

    image_id: int | str
    read_truth: Callable[[], FullLabel]
    read_prediction: Callable[[], PredictedLabel]


@dataclass(frozen=True, kw_only=True)
class ImageScores:
    """The contributions of one image.

    `counts` honour all groups, `official_counts` those that the reference implementation does.
    `scored` is None where average precision is not wanted, or segments lack scores.
    """

    counts: PanopticCounts
    official_counts: PanopticCounts
    pixels: PixelCounts
    scored: ScoredImage | None


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
            missing.
    """
    truth, prediction = image.read_truth(), image.read_prediction()
    label = prediction.label
    counts = count_image(truth, label, categories)
    official_counts = counts
    if _has_rival_groups(truth):
        official_counts = count_image(truth, label, categories, all_groups=False)
    scored = None
    if ranking == "oracle":
        scores = rank_by_oracle(truth, label, categories)
        scored = score_image(truth, label, scores, categories)
    else:
        given = prediction.ranks(ranking)
        if need_scores or all(s.segment_id in given for s in label.segments):
            scored = score_image(truth, label, rank_by_detection(label, given), categories)
    true_classes, classes = class_map(truth, categories), class_map(label, categories)
    pixels = count_pixels(true_classes, classes, len(categories), image.image_id)
    return ImageScores(counts=counts, official_counts=official_counts, pixels=pixels, scored=scored)


def _has_rival_groups(truth: FullLabel) -> bool:
    """Return whether two groups have the same category: only then does the reference differ."""
    group_categories = [s.category_id for s in truth.segments if s.is_group]
    return len(set(group_categories)) < len(group_categories)
