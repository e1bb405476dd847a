"""Turn annotated boxes into a label map of the pixels that surely are one object's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.errors import RecipeError
from annotools.records import Box, BoxXYXY, Photo
from wsps.pseudo_labels.methods import find_method
from wsps.pseudo_labels.refine import PseudoLabel
from wsps.pseudo_labels.windows import area_of, ellipse_in
from wsps.recipe import DEFAULT_BOX_METHOD

METHOD_VERSION = 5
"""Raised whenever labels from boxes change, so that older files are not taken for them."""

MIN_SIDE = 8
"""Shorter side in pixels from which on a box has room for colours and edges."""

MIN_SCORE = 0.44
"""Score less the strongest rival's from which on a pixel is certain, whatever the dataset.

Of two instances that are equally sure of a pixel, neither keeps that much."""

MIN_FOUND_SHARE = 0.02
"""Share of the box below which the pixels found are too few to stand for the object.

A few certain pixels are better labels than many guessed ones."""

CENTRE_SHARE = 0.5
"""Axes of the ellipse that stands for an object nobody found, as a share of the box's sides."""

LARGER_RIVAL_SHARE = 0.6
"""Weight of the claim of a box that is not smaller; a smaller one's counts 1.

Where two boxes overlap, the pixels are the smaller one's more often, but far from always."""


@dataclass(frozen=True, kw_only=True)
class BoxMask:
    """The pixels that are certainly one box's object.

    `box_xyxy` is the annotated box within the photo, `mask` is (H, W) of that box, true on the
    object, never empty. `is_fallback` when too few pixels were certain or the method was not asked.
    """

    box: Box
    box_xyxy: BoxXYXY
    mask: NDArray[np.bool_]
    is_fallback: bool


def masks_from_boxes(
    photo: Photo, boxes: Sequence[Box], method: str = DEFAULT_BOX_METHOD
) -> tuple[BoxMask, ...]:
    """Return a mask for every instance among the boxes, in their order.

    Groups, boxes with no pixel in the photo and repetitions of a box get none. A pixel that
    another instance claims nearly as strongly is in neither mask.

    Args:
        photo: (H, W, 3) RGB.
        boxes: of things; parts outside the photo are cut off.
        method: a key of `METHODS`.

    Raises:
        RecipeError: for an unknown method, or one that does not keep to `BoxMethod`.

    Paper: Li, Arnab, Torr 2018, sec. 3.2.
    """
    find_method(method)
    instances = [box for box in dict.fromkeys(boxes) if not box.is_group]
    clipped = [(box, _clip(box.box_xyxy, photo)) for box in instances]
    present = [(box, place) for box, place in clipped if not _is_empty(place)]
    places = [place for _, place in present]
    # All boxes are scored before any mask is chosen: each is compared with its rivals' scores.
    scores = [score_box(photo, places, i, method) for i in range(len(places))]
    masks = []
    certain = subtract_rivals(places, scores)
    for (box, place), own, left_over in zip(present, scores, certain, strict=True):
        mask, is_fallback = _choose_mask(own, left_over)
        is_fallback = is_fallback or _is_small(place)
        masks.append(BoxMask(box=box, box_xyxy=place, mask=mask, is_fallback=is_fallback))
    return tuple(masks)


def score_box(
    photo: Photo, places: Sequence[BoxXYXY], number: int, method: str
) -> NDArray[np.float32]:
    """Return how surely each pixel of a box is its object: (H, W) of the box, in [0, 1].

    A small box gives its inscribed ellipse.

    Args:
        photo: (H, W, 3) RGB.
        places: boxes of the photo's instances, within it and not empty.
        number: which of them, from 0.
        method: a key of `METHODS`.

    Raises:
        RecipeError: when the method returns anything else.
    """
    place, others = places[number], [*places[:number], *places[number + 1 :]]
    if _is_small(place):
        return ellipse_in(_whole(place), 1.0).astype(np.float32)
    scores = np.asarray(find_method(method)(photo, place, others), dtype=np.float32)
    shape = _whole(place).shape
    # A library's rounding may exceed 1 by a little.
    if scores.shape != shape or not (scores.min() >= 0 and scores.max() <= 1 + 1e-3):
        raise RecipeError(
            f"box_method {method!r} gave {scores.shape} scores up to {scores.max():g} for the box "
            f"{place}: return {shape} in [0, 1]"
        )
    return scores


def label_from_boxes(
    photo: Photo,
    boxes: Sequence[Box],
    categories: CategorySet,
    method: str = DEFAULT_BOX_METHOD,
) -> PseudoLabel:
    """Return what the boxes say about every pixel of the photo.

    Inside a box only its object's certain pixels are labelled, and inside a group nothing but
    other instances' certain pixels. Masks meet only where one is a fallback: objects of one class
    leave the pixel ignored, of two classes the one with the smaller box is taken to be in front.
    Outside all boxes there is background, if that is the dataset's only stuff, else nothing is
    known.

    Args:
        photo: (H, W, 3) RGB.
        boxes: every thing in the photo.
        categories: of the dataset.
        method: a key of `METHODS`.

    Raises:
        RecipeError: for an unknown method.

    Paper: Li, Arnab, Torr 2018, sec. 3.2. Which of two classes is in front is not said there.
    """
    outside = categories.outside_index
    classes = np.full(photo.shape[:2], IGNORE_INDEX if outside is None else outside, np.uint8)
    instances = np.zeros(photo.shape[:2], dtype=np.int32)
    for box in boxes:
        classes[_slices(_clip(box.box_xyxy, photo))] = IGNORE_INDEX
    masks = masks_from_boxes(photo, boxes, method)
    # Smaller boxes are drawn later and so lie in front. Numbers follow the order of the boxes, as
    # in `instances_from_boxes`, whose numbers stand next to these in one label.
    numbered = sorted(enumerate(masks, start=1), key=lambda pair: -area_of(pair[1].box_xyxy))
    for number, box_mask in numbered:
        class_index = categories.class_index_of[box_mask.box.category_id]
        classes[_slices(box_mask.box_xyxy)][box_mask.mask] = class_index
        instances[_slices(box_mask.box_xyxy)][box_mask.mask] = number
    for category_id in {box_mask.box.category_id for box_mask in masks}:
        of_category = [m for m in masks if m.box.category_id == category_id]
        contested = _contested(of_category, classes.shape)
        # Where another class was drawn in front, its pixel is not in dispute.
        contested &= classes == categories.class_index_of[category_id]
        classes[contested] = IGNORE_INDEX
        instances[contested] = 0
    return PseudoLabel(classes=classes, instances=instances)


def subtract_rivals(
    places: Sequence[BoxXYXY], scores: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Return each instance's scores less the strongest claim of another instance, in order.

    Args:
        places: boxes within the photo, none empty.
        scores: (H, W) of each box, how surely its pixels are its object, in [0, 1].
    """
    corners = np.array(places, dtype=np.int64).reshape(-1, 4)
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    certain = []
    for i, (x0, y0, x1, y1) in enumerate(places):
        # Corners tell which boxes meet, so that pixels are compared for those alone.
        overlap = (corners[:, :2] < (x1, y1)).all(axis=1) & (corners[:, 2:] > (x0, y0)).all(axis=1)
        strongest = np.zeros((y1 - y0, x1 - x0), dtype=np.float32)
        for j in np.flatnonzero(overlap).tolist():
            if j == i:
                continue
            share = 1.0 if areas[j] < areas[i] else LARGER_RIVAL_SHARE
            left, top, right, bottom = places[j]
            u0, v0, u1, v1 = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
            here = strongest[v0 - y0 : v1 - y0, u0 - x0 : u1 - x0]
            claim = scores[j][v0 - top : v1 - top, u0 - left : u1 - left]
            np.maximum(here, share * claim, out=here)
        certain.append(scores[i] - strongest)
    return certain


def _choose_mask(
    own: NDArray[np.float32], left_over: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], bool]:
    """Return the mask of a box, and whether it is a fallback.

    Where too few pixels are certain, rivals are disregarded; where that gives too few as well,
    the ellipse at the box's centre. A mask that fills the box is kept: signs, lorries and cropped
    objects do fill theirs.

    Args:
        own: (H, W) of the box, its scores.
        left_over: (H, W), its scores less its rivals'.
    """
    certain = np.asarray(left_over >= MIN_SCORE, dtype=bool)
    if certain.mean() >= MIN_FOUND_SHARE:
        return certain, False
    alone = np.asarray(own >= MIN_SCORE, dtype=bool)
    if alone.mean() >= MIN_FOUND_SHARE:
        return alone, True
    return ellipse_in(np.ones(own.shape, dtype=bool), CENTRE_SHARE), True


def _contested(masks: Sequence[BoxMask], shape_hw: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the (H, W) pixels that two or more of the masks claim."""
    claims = np.zeros(shape_hw, dtype=np.int32)
    for box_mask in masks:
        claims[_slices(box_mask.box_xyxy)] += box_mask.mask
    return claims > 1


def _is_small(place: BoxXYXY) -> bool:
    x0, y0, x1, y1 = place
    return min(x1 - x0, y1 - y0) < MIN_SIDE


def _whole(place: BoxXYXY) -> NDArray[np.bool_]:
    x0, y0, x1, y1 = place
    return np.ones((y1 - y0, x1 - x0), dtype=bool)


def _clip(box_xyxy: BoxXYXY, photo: Photo) -> BoxXYXY:
    height, width = photo.shape[:2]
    x0, x1 = (min(max(x, 0), width) for x in box_xyxy[0::2])
    y0, y1 = (min(max(y, 0), height) for y in box_xyxy[1::2])
    return x0, y0, x1, y1


def _is_empty(box_xyxy: BoxXYXY) -> bool:
    x0, y0, x1, y1 = box_xyxy
    return x1 <= x0 or y1 <= y0


def _slices(box_xyxy: BoxXYXY) -> tuple[slice, slice]:
    x0, y0, x1, y1 = box_xyxy
    return slice(y0, y1), slice(x0, x1)
