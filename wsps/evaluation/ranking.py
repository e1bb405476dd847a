"""What predicted segments are ranked by for average precision; panoptic quality knows no rank.

A ranking gives each segment of a prediction a score in [0, 1] by segment id.

Paper: Li, Arnab, Torr 2018, table 6.
"""

from collections.abc import Mapping

import numpy as np

from annotools.errors import DatasetError
from wsps.evaluation.overlaps import Overlaps
from wsps.evaluation.run_labels import AnyLabel

RANKINGS = ("detection", "probability", "oracle")
"""By the detector's score, by the mean class probability, or by the IoU with the truth."""

KEYS = {"detection": "score", "probability": "probability"}
"""What a prediction's file calls the number of a segment that a ranking is by."""


def rank_by_given(
    prediction: AnyLabel, given: Mapping[int, float], ranking: str
) -> dict[int, float]:
    """Return the number given to each segment.

    Args:
        prediction: of the image.
        given: by segment id, in [0, 1].
        ranking: a key of `KEYS`, for messages.

    Raises:
        DatasetError: when a segment has none.
    """
    for segment in prediction.segments:
        if segment.segment_id not in given:
            raise DatasetError(
                f"image {prediction.image_id}: segment {segment.segment_id} of the prediction has "
                f"no {KEYS[ranking]}: give each segment one in [0, 1], or take --rank oracle"
            )
    return {s.segment_id: given[s.segment_id] for s in prediction.segments}


def rank_by_oracle(overlaps: Overlaps, prediction: AnyLabel) -> dict[int, float]:
    """Return each segment's IoU with the best true segment of its class, 0 without one.

    Groups are no true segments; pixels void in the truth are left out.

    Args:
        overlaps: of the truth and this prediction.
        prediction: of the image.
    """
    pairs = overlaps.same_class() & ~overlaps.truth_is_group[overlaps.pair_truth]
    best = np.zeros(len(prediction.segments))
    iou = overlaps.pair_pixels[pairs] / overlaps.unions()[pairs]
    np.maximum.at(best, overlaps.pair_prediction[pairs], iou)
    return {s.segment_id: float(iou) for s, iou in zip(prediction.segments, best, strict=True)}
