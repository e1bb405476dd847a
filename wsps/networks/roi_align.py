"""Cut boxes out of feature maps whose strides are known."""

import math
from collections.abc import Sequence

from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper


def align_at(strides: Sequence[int], cells: int, samples: int) -> MultiScaleRoIAlign:
    """Return a layer that cuts boxes out of the maps `0`, `1`, ... of a network.

    Left alone, torchvision's layer finds the strides at its first call and keeps them. It takes
    them for powers of two, and compares maps of a padded photo with the photo before: of one a few
    cells high it finds half the stride, and reads all photos after it in the wrong places.

    Args:
        strides: of the maps in pixels, the finest first.
        cells: on each side of what is cut out.
        samples: on each side of a cell.
    """
    names = [str(number) for number in range(len(strides))]
    align = MultiScaleRoIAlign(names, output_size=cells, sampling_ratio=samples)
    align.scales = [1 / stride for stride in strides]
    align.map_levels = initLevelMapper(
        int(math.log2(strides[0])),
        int(math.log2(strides[-1])),
        canonical_scale=align.canonical_scale,
        canonical_level=align.canonical_level,
    )
    return align
