"""Find pixels that several annotations of an image claim, and objects that are there twice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.checks.coco_file import CocoObject
from annotools.checks.problems import Problem, warning_at
from annotools.records import BoxXYXY

SAME_OBJECT = 0.7
"""Two masks of a category with a higher intersection over union are taken for the same object."""


@dataclass(frozen=True, kw_only=True)
class Mask:
    """An instance with its pixels: (P,), places in the image read column by column, in order."""

    described: CocoObject
    pixels: NDArray[np.int64]
    box_xyxy: BoxXYXY


def check_overlap(place: str, masks: Sequence[Mask]) -> Iterator[Problem]:
    """Yield a warning for the pixels of an image claimed twice, and one for each near-duplicate.

    Args:
        place: of the image.
        masks: all that the image has, each with a pixel.
    """
    if not masks:
        return
    is_twice = np.bincount(np.concatenate([mask.pixels for mask in masks])) > 1
    num_twice = int(is_twice.sum())
    if not num_twice:
        return
    yield warning_at(
        place,
        f"overlapping annotations claim {num_twice} pixels twice or more: "
        "the one with the smaller mask gets them",
    )
    # More than this part of either mask is in the other one, and so is claimed twice.
    shared = [
        mask
        for mask in masks
        # The first spares most masks the second, which looks at all their pixels.
        if num_twice > SAME_OBJECT * len(mask.pixels) and is_twice[mask.pixels].mean() > SAME_OBJECT
    ]
    yield from _find_duplicates(shared)


def _find_duplicates(masks: Sequence[Mask]) -> Iterator[Problem]:
    """Yield each mask that is nearly that of an earlier one of its category, which it names."""
    categories = np.array([_category_of(mask) for mask in masks])
    areas = np.array([len(mask.pixels) for mask in masks])
    boxes = np.array([mask.box_xyxy for mask in masks]).reshape(-1, 4)
    for n, mask in enumerate(masks):
        # Boxes share as many pixels as their masks or more.
        sides = np.minimum(boxes[:n, 2:], boxes[n, 2:]) - np.maximum(boxes[:n, :2], boxes[n, :2])
        most = np.minimum(sides.clip(min=0).prod(axis=1), np.minimum(areas[:n], areas[n]))
        may_be = (categories[:n] == categories[n]) & (
            most > SAME_OBJECT * (areas[:n] + areas[n] - most)
        )
        for i in np.flatnonzero(may_be).tolist():
            common = len(np.intersect1d(masks[i].pixels, mask.pixels, assume_unique=True))
            overlap = common / (areas[i] + areas[n] - common)
            if overlap > SAME_OBJECT:
                first = masks[i].described.place
                yield warning_at(
                    mask.described.place,
                    f"its mask is nearly that of {first}, of the same category (intersection over "
                    f"union {overlap:.2f}): drop one of them if both are the same object",
                )
                break


def _category_of(mask: Mask) -> str:
    # As text, because the file may have anything here.
    return repr(mask.described.entry.get("category_id"))
