"""Cut boxes out of feature maps whose strides are known."""

import math
from collections.abc import Sequence

from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper


def align_at(strides: Sequence[int], cells: int, samples: int) -> MultiScaleRoIAlign:
    """Return what cuts boxes out of the maps `0`, `1`, ... of a network.

    Torchvision takes the strides from the first photo of a process, and keeps them: it compares
    padded maps with a photo that is not, and of one that is a few cells high it finds half of the
    stride. All photos after it would be read in the wrong places.

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
