"""Make scribbles of a full label: one stroke along each segment.

A stroke is a path through nodes, pixels of a square grid that lie deep enough inside the segment
for the straight lines to their eight neighbours on the grid to stay inside too.
"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, dijkstra

from annotools.categories import CategorySet
from annotools.random_streams import stream
from annotools.records import FullLabel, Scribble, Segment
from annotools.weak_labels.points import STEP_DEPTH, segment_depths

TRIMMED_SHARE = (0.05, 0.15)
"""Least and largest share of a stroke that is left off at each of its ends."""

_TARGET_NODES = 2048
"""Nodes in a segment that is wide enough for a coarse grid."""


def scribbles_of(label: FullLabel, categories: CategorySet, seed: int) -> tuple[Scribble, ...]:
    """Return one stroke for each segment, in the label's order.

    The stroke leads along the middle of the segment's largest part, between the two ends that
    are farthest apart inside it, and stops short of each by a random share of its length within
    `TRIMMED_SHARE`. Its polyline, drawn one pixel wide, never leaves the segment. All lines
    between its points are horizontal, vertical or diagonal; a segment of one pixel has a stroke
    of one point. The draw depends on seed, image and segment alone.

    Raises:
        DatasetError: for a segment whose category is not in the set.
    """
    scribbles = []
    for segment, depth in segment_depths(label, categories):
        generator = stream(seed, "scribbles", label.image_id, segment.segment_id)
        scribble = Scribble(
            segment_id=segment.segment_id,
            category_id=segment.category_id,
            points_xy=_stroke(segment, depth, generator),
        )
        scribbles.append(scribble)
    return tuple(scribbles)


def _stroke(
    segment: Segment, depth: NDArray[np.float32], generator: np.random.Generator
) -> tuple[tuple[int, int], ...]:
    step = _grid_step(segment.area, float(depth.max()))
    grid = depth[step // 2 :: step, step // 2 :: step]
    is_node = grid >= (STEP_DEPTH * step if step > 1 else 0)  # Pixels side by side need no room.
    path = _trim(_middle_path(is_node, grid[is_node]), generator)
    rows, columns = np.nonzero(is_node)
    nodes_xy = _without_straight_nodes(np.stack([columns[path], rows[path]], axis=1))
    points_xy = nodes_xy * step + step // 2 + segment.box_xyxy[:2]  # (N, 2)
    return tuple((x, y) for x, y in points_xy.tolist())


def _grid_step(area: int, deepest: float) -> int:
    """Return pixels between nodes: as many as keep a bar's nodes connected, 1 if it is narrow."""
    return max(1, int(min(sqrt(area / _TARGET_NODES), deepest / 2)))


def _middle_path(is_node: NDArray[np.bool_], depth: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the nodes, numbered row by row, of a path along the middle of the largest part.

    Args:
        is_node: (H, W), true on at least one node.
        depth: (N,) border distance of each node.
    """
    graph = _neighbours(is_node, depth)
    _, part_of = connected_components(graph, directed=False)
    start = int((part_of == np.bincount(part_of).argmax()).argmax())
    for _ in range(2):  # The node most steps away from anywhere is an end; from it, the other.
        other_end, start = start, _farthest(graph, start)
    _, before = dijkstra(graph, directed=False, indices=[start], return_predecessors=True)
    path = [other_end]
    while path[-1] != start:
        path.append(int(before[0, path[-1]]))
    return np.array(path)


def _neighbours(is_node: NDArray[np.bool_], depth: NDArray[np.float32]) -> "csr_array[np.float64]":
    """Return the (N, N) graph of neighbouring nodes: length over depth, to favour the middle."""
    # The rim of -1 lets every pixel look at its neighbours, with no case for the border.
    number = np.full(np.add(is_node.shape, 2), -1)
    number[1:-1, 1:-1][is_node] = np.arange(len(depth))
    here = number[1:-1, 1:-1]
    starts, ends, costs = [], [], []
    # Four of the eight directions are enough, because the graph is read without direction.
    for rows, columns, length in (
        (np.s_[1:-1], np.s_[2:], 1.0),
        (np.s_[2:], np.s_[1:-1], 1.0),
        (np.s_[2:], np.s_[2:], sqrt(2)),
        (np.s_[2:], np.s_[:-2], sqrt(2)),
    ):
        there = number[rows, columns]
        linked = (here >= 0) & (there >= 0)
        starts.append(here[linked])
        ends.append(there[linked])
        costs.append(length / (1 + depth[starts[-1]] + depth[ends[-1]]))
    places = (np.concatenate(starts), np.concatenate(ends))
    return csr_array((np.concatenate(costs), places), shape=(len(depth), len(depth)))


def _farthest(graph: "csr_array[np.float64]", start: int) -> int:
    # Steps count here and not costs, which are high in narrow places and would favour them.
    order = breadth_first_order(graph, start, directed=False, return_predecessors=False)
    return int(order[-1])


def _trim(path: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    first, last = (len(path) * generator.uniform(*TRIMMED_SHARE, size=2)).astype(int)
    return path[first : len(path) - last]


def _without_straight_nodes(nodes_xy: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the (M, 2) nodes of an (N, 2) path where its direction changes, and both ends."""
    turns = (np.diff(nodes_xy, n=2, axis=0) != 0).any(axis=1)
    # A path of one node has one end and not two, hence the cut to its length.
    is_kept = np.concatenate([[True], turns, [True]])[-len(nodes_xy) :]
    return np.asarray(nodes_xy[is_kept])
