"""Find pixels that several annotations of an image claim, and objects that are there twice."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from annotools.checks.coco_file import CocoObject
from annotools.checks.problems import Problem, warning_at
from annotools.formats.coco_masks import ColumnRuns, count_common
from annotools.records import BoxXYXY

SAME_OBJECT = 0.7
"""Two masks of a category with a higher intersection over union are taken for the same object."""


@dataclass(frozen=True, kw_only=True)
class Mask:
    """An instance with the runs of its mask, which has a pixel or more, and its tight box."""

    described: CocoObject
    runs: ColumnRuns
    box_xyxy: BoxXYXY


def check_overlap(place: str, masks: Sequence[Mask]) -> Iterator[Problem]:
    """Yield a warning for the pixels of an image claimed twice, and one for each near-duplicate.

    Args:
        place: of the image.
        masks: all that the image has, each with a pixel.
    """
    if len(masks) < 2:
        return
    twice = _find_twice([mask.runs for mask in masks])
    num_twice = twice.area
    if not num_twice:
        return
    yield warning_at(
        place,
        f"overlapping annotations claim {num_twice} pixels twice or more: "
        "the one with the smaller mask gets them",
    )
    count_of = Counter(map(_category_of, masks))
    # More than this part of either mask is in the other one, and so is claimed twice.
    shared = [
        mask
        for mask in masks
        # The first two spare most masks the third, which looks at all their runs.
        if count_of[_category_of(mask)] > 1
        and num_twice > SAME_OBJECT * mask.runs.area
        and count_common(mask.runs, twice) / mask.runs.area > SAME_OBJECT
    ]
    yield from _find_duplicates(shared)


def _find_duplicates(masks: Sequence[Mask]) -> Iterator[Problem]:
    """Yield each mask that is nearly that of an earlier one of its category, which it names."""
    categories = np.array([_category_of(mask) for mask in masks])
    areas = np.array([mask.runs.area for mask in masks])
    boxes = np.array([mask.box_xyxy for mask in masks]).reshape(-1, 4)
    for n, mask in enumerate(masks):
        # Boxes share as many pixels as their masks or more.
        sides = np.minimum(boxes[:n, 2:], boxes[n, 2:]) - np.maximum(boxes[:n, :2], boxes[n, :2])
        most = np.minimum(sides.clip(min=0).prod(axis=1), np.minimum(areas[:n], areas[n]))
        may_be = (categories[:n] == categories[n]) & (
            most > SAME_OBJECT * (areas[:n] + areas[n] - most)
        )
        for i in np.flatnonzero(may_be).tolist():
            common = count_common(masks[i].runs, mask.runs)
            overlap = common / (areas[i] + areas[n] - common)
            if overlap > SAME_OBJECT:
                first = masks[i].described.place
                yield warning_at(
                    mask.described.place,
                    f"its mask is nearly that of {first}, of the same category (intersection over "
                    f"union {overlap:.2f}): drop one of them if both are the same object",
                )
                break


def _find_twice(masks: Sequence[ColumnRuns]) -> ColumnRuns:
    """Return the runs of the pixels that two or more masks have."""
    starts = np.concatenate([runs.starts for runs in masks])
    ends = starts + np.concatenate([runs.lengths for runs in masks])
    # Where runs begin and end, in order; the last bit tells one from the other.
    borders = np.sort(np.concatenate([2 * starts + 1, 2 * ends]))
    places = borders >> 1
    # How many masks have the pixels from each place to the next one.
    depth = np.cumsum(2 * (borders & 1) - 1)
    lengths = np.diff(places, append=places[-1])
    is_twice = (depth > 1) & (lengths > 0)
    return ColumnRuns(starts=places[is_twice], lengths=lengths[is_twice])


def _category_of(mask: Mask) -> str:
    # As text, because the file may have anything here.
    return repr(mask.described.entry.get("category_id"))
