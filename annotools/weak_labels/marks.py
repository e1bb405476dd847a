"""Mark the segments of a full label as an annotator does: clicks, strokes or coarse outlines."""

from annotools.categories import CategorySet
from annotools.records import MARKED_KINDS, FullLabel, Mark, WeakLabel
from annotools.weak_labels.annotators import Annotator, annotate_points
from annotools.weak_labels.coarse import outlines_of
from annotools.weak_labels.outlines import annotate_full
from annotools.weak_labels.points import points_of
from annotools.weak_labels.scribbles import scribbles_of


def mark(
    label: FullLabel, categories: CategorySet, kind: str, annotator: Annotator, seed: int
) -> WeakLabel:
    """Return the marks that an annotator draws in an image, one for each segment.

    Clicks are off by the habits of points, outlines by those of polygons; strokes have no habits. A
    coarse outline is missing where a segment has no room for one.

    Args:
        label: the full label.
        categories: the dataset's.
        kind: one of `MARKED_KINDS`.
        annotator: the one with the habits.
        seed: places of clicks and strokes, and mistakes, are drawn from it.

    Raises:
        DatasetError: for a segment whose category is not in the set.
        ValueError: for another kind.
    """
    if kind not in MARKED_KINDS:
        raise ValueError(f"no kind of marks {kind!r}: give one of {', '.join(MARKED_KINDS)}")
    marks: tuple[Mark, ...]
    if kind == "points":
        height, width = label.segment_map.shape
        points = points_of(label, categories, seed)
        marks = annotate_points(points, label.image_id, annotator.points, (width, height), seed)
    elif kind == "scribbles":
        marks = scribbles_of(label, categories, seed)
    else:
        marks, _ = outlines_of(annotate_full(label, categories, annotator, seed), categories)
    return WeakLabel(
        image_id=label.image_id,
        marks=marks,
        group_ids=tuple(s.segment_id for s in label.segments if s.is_group),
    )
