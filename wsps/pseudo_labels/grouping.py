"""Grouping finds the object in a box: segments of hierarchies from image edges vote for pixels."""

from collections.abc import Iterator

import cv2
import higra as hg
import numpy as np
from numpy.typing import NDArray

from wsps.pseudo_labels.windows import Window

NUM_REGIONS = (8, 16, 32, 64, 128)
"""Numbers of regions into which each hierarchy is cut: its scales."""

BLUR_SIGMA = 1
"""Blur of one of the hierarchies, in pixels of the window.

Fine texture breaks up the others, narrow parts are lost to the blurred one."""

MIN_INSIDE = 0.95
"""Share of a region's pixels in the box from which on the region can be part of the object."""


def grouping_votes(window: Window) -> NDArray[np.float32]:
    """Return how surely grouping gives each pixel to the object: (H, W) in [0, 1], 0 outside.

    Each cut of each hierarchy gives one proposal: the largest connected union of regions that lie
    in the box. Proposals vote for their pixels with the square of the share of the annotated box
    that their own tight box covers; all 0 when no region lies in the box.

    Deviation from the paper: it takes the proposals of MCG and the one of highest IoU with the
    box. Here the edges are colour differences, not learnt ones; the fit is between boxes, because
    a mask's own IoU with the box rewards filling it; and all proposals count, because what most
    of them share is right more often than the best one is.

    Paper: Li, Arnab, Torr 2018, sec. 3.2.
    """
    inside = window.inside(window.box_xyxy)
    votes, total = np.zeros(inside.shape, dtype=np.float32), 0.0
    for regions in _partitions(window.pixels):
        proposal, tight_area = _largest_union(regions, inside)
        weight = (tight_area / int(np.count_nonzero(inside))) ** 2
        votes[proposal] += weight
        total += weight
    return votes / total if total > 0 else votes


def _partitions(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.int64]]:
    """Yield partitions as region numbers (H, W), hierarchy by hierarchy, coarse to fine."""
    height, width = pixels.shape[:2]
    graph = hg.get_4_adjacency_graph((height, width))
    for weights in _edge_weights(pixels, graph):
        tree, altitudes = hg.watershed_hierarchy_by_volume(graph, weights)
        # The hierarchy is built once; every scale is one cut of it.
        cuts = hg.HorizontalCutExplorer(tree, altitudes)
        for number in NUM_REGIONS:
            cut = cuts.horizontal_cut_from_num_regions(number)
            yield cut.labelisation_leaves(tree).reshape(height, width)


def _edge_weights(
    pixels: NDArray[np.uint8], graph: hg.UndirectedGraph
) -> Iterator[NDArray[np.float64]]:
    """Yield how unlike neighbouring pixels are, (E,) over the graph's edges, in three ways.

    The difference of their colours, the same after a blur, and the mean of the colour gradients at
    both, which is wide where an edge is soft.
    """
    # Equal distances in Lab look about equal; OpenCV's version for floats wants RGB in [0, 1].
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    for colours in (lab, cv2.GaussianBlur(lab, (0, 0), BLUR_SIGMA)):
        vertices = colours.reshape(-1, 3).astype(np.float64)
        yield hg.weight_graph(graph, vertices, hg.WeightFunction.L2)
    slopes = np.stack([cv2.Scharr(lab, cv2.CV_32F, 1, 0), cv2.Scharr(lab, cv2.CV_32F, 0, 1)])
    gradient = np.sqrt((slopes.astype(np.float64) ** 2).sum(axis=(0, 3)))
    yield hg.weight_graph(graph, gradient.ravel(), hg.WeightFunction.mean)


def _largest_union(
    regions: NDArray[np.int64], inside: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], int]:
    """Return the largest connected union of regions in the box, and its tight box's area."""
    sizes = np.bincount(regions.ravel())
    inside_sizes = np.bincount(regions[inside], minlength=len(sizes))
    union = (inside_sizes >= MIN_INSIDE * np.maximum(sizes, 1))[regions] & inside
    # Four neighbours, as in the graph from which the regions were made.
    count, components, stats, _ = cv2.connectedComponentsWithStats(
        union.astype(np.uint8), connectivity=4
    )
    # The one component is what lies outside of the union, which is empty.
    if count == 1:
        return union, 0
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    tight_area = stats[largest, cv2.CC_STAT_WIDTH] * stats[largest, cv2.CC_STAT_HEIGHT]
    return components == largest, int(tight_area)
