"""Score COCO instance results, a list of masks with scores, against an instances file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pycocotools import mask as coco_mask

from annotools.categories import CategorySet
from annotools.formats.coco_results import Listed, read_results
from annotools.formats.forms import Forms
from annotools.formats.instances import Instances, make_label
from annotools.records import Image
from wsps.evaluation.coco_matching import match_masks
from wsps.evaluation.image_scores import ImageScores, PredictionScores, ScoredMask, score_masks
from wsps.scoring.evaluate import score_images
from wsps.scoring.instance_files import (
    predicted_mask,
    read_disjoint_truth,
    read_truth,
    scored_mask,
    true_mask,
)
from wsps.scoring.remarks import file_remarks


@dataclass(frozen=True, kw_only=True)
class _ImageToMatch:
    """An image, and its annotations and results as their files list them."""

    image: Image
    truths: Sequence[Listed]
    results: Sequence[Listed]


@dataclass(frozen=True, kw_only=True)
class _ImageToLabel:
    """An image, and its objects and results as their files list them."""

    image: Image
    instances: Instances
    results: Sequence[Listed]


def score_instances(
    truth: Path, results: Path, thresholds: Sequence[float], workers: int = 1
) -> PredictionScores:
    """Match predicted masks as pycocotools' COCOeval does; masks of both sides may overlap.

    An image without results has no predicted mask. Of each image and category the 100 masks of
    the highest scores count. A predicted mask without a pixel is a false positive. The area of a
    true object is the file's; that of a predicted one is its mask's, also where the result has a
    box, whose area pycocotools' `loadRes` takes. Ids of annotations have no meaning: pycocotools
    takes a match with id 0 for none, and the last annotation of an id for all of that id.

    Args:
        truth: an instances file; its name and folder may be any, and photos are not read.
        results: a JSON list of objects with `image_id`, `category_id`, `segmentation` and `score`.
        thresholds: IoU in (0, 1].
        workers: processes at work at the same time.

    Raises:
        DatasetError: when a file is missing or contradicts itself, a mask is impossible, or a
            result has an unknown image or category or no score that is a number.
    """
    true = read_truth(truth)
    forms: Forms = Counter()
    results_of = read_results(results, true.images, true.categories, forms)
    images = [
        _ImageToMatch(
            image=image,
            truths=true.annotations_of.get(image.image_id, ()),
            results=results_of.get(image.image_id, ()),
        )
        for image in true.images
    ]
    match = partial(_match_image, true.categories, tuple(thresholds))
    return PredictionScores(
        categories=true.categories,
        images=score_images(match, images, workers),
        num_unasked=0,
        remarks=(*true.remarks, *file_remarks(results, forms)),
    )


def score_disjoint_instances(truth: Path, results: Path, workers: int = 1) -> PredictionScores:
    """Measure predicted masks against true ones without overlaps, by the rules of `score_masks`.

    True masks are those of `make_label`: where they overlap, the smaller has the pixel,
    and a predicted mask that has more than half of its pixels on crowds is left out when
    unmatched. So average precision can be compared with that of panoptic predictions.

    Args:
        truth: as for `score_instances`.
        results: as for `score_instances`.
        workers: processes at work at the same time.

    Raises:
        DatasetError: as `score_instances`.
    """
    true = read_disjoint_truth(truth)
    categories = true.instances.categories
    forms: Forms = Counter()
    results_of = read_results(results, true.images, categories, forms)
    images = [
        _ImageToLabel(
            image=image,
            instances=true.instances.only_of(image),
            results=results_of.get(image.image_id, ()),
        )
        for image in true.images
    ]
    return PredictionScores(
        categories=categories,
        images=score_images(_score_disjoint, images, workers),
        num_unasked=0,
        remarks=(*true.remarks, *file_remarks(results, forms)),
    )


def _score_disjoint(item: _ImageToLabel) -> ImageScores:
    num_empty = 0

    def draw_masks() -> Iterator[ScoredMask]:
        nonlocal num_empty
        for result in item.results:
            found = scored_mask(result, item.image)
            num_empty += not found.mask.any()
            yield found

    label = make_label(item.instances, item.image)
    scored = score_masks(label, draw_masks(), item.instances.categories)
    return ImageScores(scored=scored, num_empty=num_empty)


def _match_image(
    categories: CategorySet, thresholds: Sequence[float], item: _ImageToMatch
) -> ImageScores:
    truths = [true_mask(listed, item.image, categories) for listed in item.truths]
    found = [predicted_mask(listed, item.image, categories) for listed in item.results]
    return ImageScores(
        matched=match_masks(truths, found, thresholds, len(categories)),
        num_empty=sum(not coco_mask.area(mask.runs) for mask in found),
    )
