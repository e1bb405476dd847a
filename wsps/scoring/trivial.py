"""Score what needs no learning, so that a model which has learnt nothing can be told.

One trivial prediction is the same class everywhere in every image, the other fills the boxes of a
model's own things. Both are scored by the code and on the images that the model is scored on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from annotools.categories import Category, CategorySet
from annotools.label_maps import find_runs, measure_runs
from annotools.records import VOID, Segment
from wsps.evaluation.image_scores import score_overlaps
from wsps.evaluation.overlaps import RunLabel, measure_overlaps
from wsps.evaluation.rates import measure
from wsps.scoring.panoptic_files import ImageToScore, match_labels
from wsps.scoring.report import none_if_undefined


def score_trivial(
    prediction: Path, truth: Sequence[RunLabel], categories: CategorySet
) -> dict[str, float | None]:
    """Score the trivial predictions that a trained model has to beat.

    `trivial_pq` and `trivial_miou` are of the class that is most frequent in the truth, everywhere;
    a thing is one segment an image. `filled_pq` is of the extents of the predicted things, filled
    with their class, over the stuff that is most frequent in the truth. Labels that a model learns
    from may not tell what is frequent, as clicks do not, and would set too low a mark.

    Args:
        prediction: the label set that the model predicted, as `score_prediction` takes it.
        truth: the labels of the images that are scored, at least one.
        categories: of both.

    Returns:
        Rates in [0, 1]; None where the truth is all void and, for `filled_pq`, where nothing is
        predicted to be a thing.

    Raises:
        DatasetError: when an image has no prediction, or a file is wrong.
    """
    areas: Counter[int] = Counter()
    for label in truth:
        for segment in label.segments:
            areas[segment.category_id] += segment.area
    found: dict[str, float | None] = {}
    everywhere = most_frequent(areas, categories.categories)
    if everywhere is not None:
        constant = [fill_boxes(image, (), everywhere) for image in truth]
        found["trivial_pq"], found["trivial_miou"] = _rates(truth, constant, categories)
    # Predictions come in the order of the truth.
    asked = match_labels(truth, prediction, categories).images
    things_of = [_rising_things(image, categories) for image in asked]
    if any(things_of):
        base = most_frequent(areas, [c for c in categories.categories if not c.is_thing])
        filled = [
            fill_boxes(image, things, base) for image, things in zip(truth, things_of, strict=True)
        ]
        found["filled_pq"], _ = _rates(truth, filled, categories)
    return {"trivial_pq": None, "trivial_miou": None, "filled_pq": None} | found


def most_frequent(areas: Mapping[int, int], among: Sequence[Category]) -> int | None:
    """Return the id of the category with the most pixels, of equal ones the first.

    Args:
        areas: pixels by category id.
        among: the categories to choose from.

    Returns:
        None where none of them has a pixel.
    """
    found = [c.category_id for c in among if areas.get(c.category_id, 0) > 0]
    # Of equal values `max` takes the first.
    return max(found, key=lambda category_id: areas[category_id], default=None)


def fill_boxes(image: RunLabel, things: Sequence[Segment], base: int | None) -> RunLabel:
    """Return the label in which boxes are filled, over one segment that fills the rest.

    Args:
        image: any label of the image; its id and size are taken.
        things: whose boxes are filled with their category; later ones cover earlier ones, and one
            that is covered whole is left out.
        base: the category id of the rest; None for void.
    """
    height, width = image.runs.height, image.runs.width
    segment_map = np.full((height, width), VOID if base is None else 1, dtype=np.int32)
    category_of = {} if base is None else {1: base}
    for segment_id, thing in enumerate(things, start=2):
        x0, y0, x1, y1 = thing.box_xyxy
        segment_map[y0:y1, x0:x1] = segment_id
        category_of[segment_id] = thing.category_id
    runs = find_runs(segment_map)
    segments = tuple(
        Segment(segment_id=segment_id, category_id=category_of[segment_id], area=area, box_xyxy=box)
        for segment_id, (area, box) in measure_runs(runs).items()
    )
    return replace(image, runs=runs, segments=segments)


def _rising_things(image: ImageToScore, categories: CategorySet) -> list[Segment]:
    """Return the predicted things, the surest last; of equal scores in the file's order."""
    score_of = image.ranks("detection")
    segments = image.read_prediction().segments
    things = [s for s in segments if categories.by_id(s.category_id).is_thing]
    return sorted(things, key=lambda s: score_of.get(s.segment_id, 0.0))


def _rates(
    truth: Sequence[RunLabel], predicted: Sequence[RunLabel], categories: CategorySet
) -> tuple[float | None, float | None]:
    """Return PQ and mIoU."""
    images = [
        score_overlaps(measure_overlaps(one, other, categories), other, None, len(categories))
        for one, other in zip(truth, predicted, strict=True)
    ]
    rates = measure(images, categories, ("pq", "miou"), (), all_groups=True).rates
    place = len(categories)  # of the mean over all classes
    return none_if_undefined(rates["pq"][place]), none_if_undefined(rates["iou"][place])
