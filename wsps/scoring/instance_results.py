"""Score COCO instance results, a list of masks with scores, against an instances file."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats import coco_instances, coco_masks
from annotools.formats.coco_entries import take_image_id, take_score
from annotools.formats.json_values import entries, read_json, take
from annotools.records import Image
from wsps.evaluation.image_scores import ImageScores, PredictionScores, ScoredMask, score_masks
from wsps.scoring.evaluate import score_images

_PREFIX = "instances_"


def score_instances(truth: Path, results: Path) -> PredictionScores:
    """Measure what predicted masks, which may overlap, contribute to average precision.

    True masks are those of `coco_instances.read`: where they overlap, the smaller has the pixel.
    An image without results has no predicted mask. All masks count, however many or small.

    Average precision differs from that of pycocotools' COCOeval in four rules. It is the whole
    area under the curve, while COCOeval samples 101 recalls. In COCOeval true masks that overlap
    stay whole; a mask on a crowd is left out when the share of it on the crowd reaches the IoU
    threshold, instead of a half; and of true masks with equal IoU the last is taken.

    Args:
        truth: `ROOT/annotations/instances_SPLIT.json`.
        results: a JSON list of objects with `image_id`, `category_id`, `segmentation` and `score`.

    Raises:
        DatasetError: when a file is missing or contradicts itself, or a result has an unknown
            image or category, an impossible mask or no score in [0, 1].
    """
    if truth.parent.name != "annotations" or not truth.name.startswith(_PREFIX):
        raise DatasetError(f"{truth}: give ROOT/annotations/{_PREFIX}SPLIT.json as the truth")
    dataset = coco_instances.read(truth.parents[1], truth.stem.removeprefix(_PREFIX))
    images = {image.image_id: image for image in dataset.images}
    results_of = _read_results(results, images, dataset.categories)

    def score(image: Image) -> ImageScores:
        masks = [_read_mask(*result, image) for result in results_of[image.image_id]]
        label = dataset.read_label(image)
        return ImageScores(scored=score_masks(label, masks, dataset.categories))

    return PredictionScores(
        categories=dataset.categories, images=score_images(score, dataset.images), num_unasked=0
    )


def _read_results(
    path: Path, images: dict[int | str, Image], categories: CategorySet
) -> defaultdict[int | str, list[tuple[str, dict[str, Any]]]]:
    """Return the results of each image, each after its place for messages."""
    # The file is a bare list; as a value of an object, `entries` can name the place of each result.
    content = {"results": read_json(path, others="*.json")}
    results_of = defaultdict(list)
    for place, entry in entries(path, content, "results"):
        image_id = take_image_id(place, entry, "image_id")
        category_id = take(place, entry, "category_id", int)
        if image_id not in images:
            raise DatasetError(f"{place}: image_id {image_id!r} is not in the truth: drop it")
        is_known = category_id in categories.class_index_of
        if not is_known or not categories.by_id(category_id).is_thing:
            raise DatasetError(f"{place}: category_id {category_id} is not in the truth: drop it")
        results_of[image_id].append((place, entry))
    return results_of


def _read_mask(place: str, entry: dict[str, Any], image: Image) -> ScoredMask:
    score = take_score(place, entry, "score")
    if score is None:
        raise DatasetError(f"{place}: score is missing: give a number in [0, 1]")
    try:
        pixels = coco_masks.find_pixels(entry.get("segmentation"), image.height, image.width)
    except DatasetError as error:
        raise DatasetError(f"{place}: image {image.image_id!r}: {error}") from error
    if not pixels.size:
        raise DatasetError(f"{place}: image {image.image_id!r}: the mask has no pixel: drop it")
    # COCO counts pixels down the columns, `ScoredMask` along the rows.
    columns, rows = divmod(pixels, image.height)
    return ScoredMask(
        category_id=entry["category_id"], score=score, pixels=rows * image.width + columns
    )
