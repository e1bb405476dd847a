"""Random segment maps, for properties that must hold on any."""

import cv2
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from annotools.label_maps import build_label
from annotools.records import FullLabel, SegmentMap

CAR = 30
"""Category of every segment: a thing of `tests.builders.make_categories`."""

_IDS = st.sampled_from([0, *range(1, 38), 65_536, 16_777_217, 2_147_483_647])


def segment_maps(max_enlargement: int) -> st.SearchStrategy[SegmentMap]:
    """Maps of up to 8 x 8 blocks of one id, each block of some pixels a side."""
    shapes = arrays.array_shapes(min_dims=2, max_dims=2, max_side=8)
    return st.builds(
        lambda ids, size: ids.repeat(size, axis=0).repeat(size, axis=1),
        arrays.arrays(np.int32, shapes, elements=_IDS),
        st.integers(1, max_enlargement),
    )


def label_of(segment_map: SegmentMap, groups: tuple[int, ...] = ()) -> FullLabel:
    """The label in which every segment of a map is a car."""
    return build_label(1, segment_map, dict.fromkeys(segment_map.ravel().tolist(), CAR), groups)


def paint_ellipses(seed: int) -> SegmentMap:
    """A map of up to 40 overlapping ellipses, filled or rings, with ids beyond 16 bits."""
    generator = np.random.default_rng(seed)
    segment_map = np.zeros(generator.integers(2, 300, 2), dtype=np.int32)
    for segment_id in range(70_001, 70_001 + generator.integers(0, 41)):
        centre = generator.integers(0, segment_map.shape[::-1]).tolist()
        axes = (generator.uniform(0, 0.5, 2) * segment_map.shape).astype(int).tolist()
        degrees = generator.uniform(0, 180)
        thickness = int(generator.choice([-1, -1, 1, 4]))
        cv2.ellipse(segment_map, centre, axes, degrees, 0, 360, segment_id, thickness)
    return segment_map
