"""The lowest rows of a box, where an object's feet or wheels share it with ground and shadow."""

import numpy as np
from numpy.typing import NDArray

from annotools.records import BoxXYXY

FEET_SHARE = 0.1
"""Share of a box's height that its lowest rows are."""

FEET_WEIGHT = 0.7
"""What a score counts in the lowest rows.

Of the pixels found there a quarter to a half are not the object's, elsewhere about a tenth."""


def doubt_feet(
    scores: NDArray[np.float32], place: BoxXYXY, photo_height: int
) -> NDArray[np.float32]:
    """Return the scores of a box, less sure in its lowest rows.

    A box that reaches the photo's lower edge keeps its scores: the object goes on beyond it. The
    paper has nothing like it.

    Args:
        scores: (H, W) of the box.
        place: the box, within the photo.
        photo_height: in pixels.
    """
    top, bottom = place[1], place[3]
    if bottom >= photo_height:
        return scores
    weights = np.ones((bottom - top, 1), dtype=np.float32)
    weights[round((1 - FEET_SHARE) * (bottom - top)) :] = FEET_WEIGHT
    return scores * weights
