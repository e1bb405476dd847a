"""Redraw full labels as hurried annotators do: with fewer vertices, and borders that are off."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.label_maps import with_map
from annotools.random_streams import stream
from annotools.records import VOID, Drop, FullLabel, Segment, SegmentMap
from annotools.weak_labels.annotators import Annotator, PolygonHabits

MISSED = "missed by the annotator"
"""The reason for the drop of an object that a simulated annotator does not give."""


def annotate_full(
    label: FullLabel, categories: CategorySet, annotator: Annotator, seed: int
) -> FullLabel:
    """Return the full label that this annotator draws instead of the perfect one.

    Each segment is redrawn as polygons: the borders of its parts and of their holes, simplified
    to as few vertices as stay within `tolerance` (Douglas and Peucker), each vertex then moved by
    `boundary_shift`, kept inside the image. Larger segments are drawn first, so that overlaps go
    to the smaller. Pixels that no polygon holds become void; where the background is all that is
    left over, it is not drawn, and takes these, except pixels that were void before. Segments
    with no pixel left are in the drops, the background aside. Boxes of whole objects stay.

    Args:
        label: the perfect label.
        categories: the dataset's, which say what is background.
        annotator: the one with the habits.
        seed: the mistakes are drawn from it, and from image and segment.
    """
    if annotator.polygons == PolygonHabits():
        return label
    background = [s for s in label.segments if s.category_id == categories.background_id]
    drawn = [s for s in label.segments if s.category_id != categories.background_id]
    segment_map = np.full(label.segment_map.shape, VOID, dtype=np.int32)
    for segment in background:
        segment_map[label.segment_map != VOID] = segment.segment_id
    for segment in sorted(drawn, key=lambda segment: -segment.area):
        _redraw(segment_map, segment, label, annotator.polygons, seed)
    left = set(np.unique(segment_map).tolist())
    missed = tuple(
        Drop(place=f"image {label.image_id}: segment {segment.segment_id}", reason=MISSED)
        for segment in drawn
        if segment.segment_id not in left
    )
    # Whoever draws what is visible of an object still knows how far it goes behind others.
    known = left | label.unseen.keys()
    return replace(
        with_map(label, segment_map),
        own_boxes={number: box for number, box in label.own_boxes.items() if number in known},
        unseen=label.unseen,
        drops=label.drops + missed,
        doubts=label.doubts,
    )


def _redraw(
    segment_map: SegmentMap, segment: Segment, label: FullLabel, habits: PolygonHabits, seed: int
) -> None:
    # The stream is the segment's own, so that other segments do not move its vertices.
    generator = stream(seed, "annotator", "polygons", label.image_id, segment.segment_id)
    last_xy = np.array(segment_map.shape[::-1]) - 1
    polygons = []
    for contour in _contours(segment, label.segment_map):
        polygon = cv2.approxPolyDP(contour, habits.tolerance, closed=True)[:, 0]  # (V, 2)
        moved = np.rint(generator.normal(polygon, habits.boundary_shift))
        polygons.append(np.clip(moved, 0, last_xy).astype(np.int32))
    # Filled together, so that holes stay open.
    cv2.fillPoly(segment_map, polygons, segment.segment_id)


def _contours(segment: Segment, segment_map: SegmentMap) -> list[NDArray[np.int32]]:
    """Return the borders of a segment's parts and holes: (V, 1, 2) pixels x, y of its own."""
    x0, y0, x1, y1 = segment.box_xyxy
    mask = (segment_map[y0:y1, x0:x1] == segment.segment_id).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0))
    return [contour.astype(np.int32) for contour in contours]
