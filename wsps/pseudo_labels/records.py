"""The records that pseudo-labelling hands on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class PseudoLabel:
    """What weak labels say about every pixel of one image.

    `classes` is (H, W) class indices, `IGNORE_INDEX` where nobody knows; `instances` is (H, W)
    instance numbers from 1 up, 0 on stuff and wherever the instance is unknown.
    """

    classes: NDArray[np.uint8]
    instances: NDArray[np.int32]
