"""What other instances' claims leave of each instance's own."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from annotools.records import BoxXYXY

LARGER_RIVAL_SHARE = 0.6
"""What the claim of a box that is not smaller counts, beside 1 for a smaller one's.

Where two boxes overlap, the pixels are the smaller one's more often, but far from always."""


def subtract_rivals(
    places: Sequence[BoxXYXY], scores: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Return each instance's scores less the strongest claim of another instance, in order.

    Args:
        places: boxes within the photo, none empty.
        scores: (H, W) of each box, how surely its pixels are its object, in [0, 1].
    """
    corners = np.array(places, dtype=np.int64).reshape(-1, 4)
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    certain = []
    for i, (x0, y0, x1, y1) in enumerate(places):
        overlap = (corners[:, :2] < (x1, y1)).all(axis=1) & (corners[:, 2:] > (x0, y0)).all(axis=1)
        strongest = np.zeros((y1 - y0, x1 - x0), dtype=np.float32)
        for j in np.flatnonzero(overlap).tolist():
            if j == i:
                continue
            share = 1.0 if areas[j] < areas[i] else LARGER_RIVAL_SHARE
            left, top, right, bottom = places[j]
            u0, v0, u1, v1 = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
            here = strongest[v0 - y0 : v1 - y0, u0 - x0 : u1 - x0]
            claim = scores[j][v0 - top : v1 - top, u0 - left : u1 - left]
            np.maximum(here, share * claim, out=here)
        certain.append(scores[i] - strongest)
    return certain
