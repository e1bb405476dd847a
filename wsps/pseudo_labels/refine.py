"""Clean up a label map with weak labels: one round of iterative ground truth.

Each step takes an (H, W) map of class indices, `IGNORE_INDEX` where unknown, and returns a new
one. The start of the iteration does the same to the map that tags gave.

Paper: Li, Arnab, Torr 2018, sec. 3.4; the steps and their order are the released code's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX, CategorySet
from annotools.records import Box, WeakLabel
from wsps.recipe import RefinementSettings


@dataclass(frozen=True, kw_only=True)
class PseudoLabel:
    """What weak labels say about every pixel of one image.

    `classes` is (H, W) class indices, `IGNORE_INDEX` where nobody knows; `instances` is (H, W)
    instance numbers from 1 up, 0 on stuff and wherever the instance is unknown.
    """

    classes: NDArray[np.uint8]
    instances: NDArray[np.int32]


def refine_label(
    classes: NDArray[np.uint8],
    *,
    scores: NDArray[np.float32] | None,
    from_boxes: PseudoLabel | None,
    weak: WeakLabel,
    categories: CategorySet,
    settings: RefinementSettings,
    round_number: int,
) -> PseudoLabel:
    """Return the label that a round of iterative ground truth trains on.

    What a weak label cannot say is not done: without tags nothing is checked against tags, and
    without boxes things are left as they are and have no instances.

    Args:
        classes: (H, W), predicted; before the first training those from tags, or `IGNORE_INDEX`
            everywhere.
        scores: (H, W) in [0, 1], of the predicted class; None for a map that has no scores.
        from_boxes: label from boxes; None to leave it out.
        weak: the weak label of the image.
        categories: of the dataset.
        settings: thresholds and switches.
        round_number: 0 before the first training.
    """
    # A crowd may hold things that have no box of their own: a missing box then proves nothing.
    has_groups = any(box.is_group for box in weak.boxes)
    is_complete = not has_groups if settings.complete == "without groups" else True
    is_complete = is_complete and settings.complete != "never"
    # First, so that only certain pixels count when a box is asked how much of its class was found.
    if scores is not None:
        classes = keep_certain(classes, scores, settings.min_score)
    if settings.keep_tagged and is_complete:
        classes = keep_tagged(classes, weak, categories)
    # A copy is returned, because no step may have run yet and this may be the caller's own map.
    if not weak.has_boxes:
        return PseudoLabel(classes=classes.copy(), instances=np.zeros(classes.shape, np.int32))
    if from_boxes is not None and round_number <= settings.merge_rounds:
        said = from_boxes.classes
        # What lies outside all boxes may be a thing without one, which a network may have seen.
        if scores is not None and not is_complete and categories.outside_index is not None:
            said = np.where(said == categories.outside_index, np.uint8(IGNORE_INDEX), said)
        classes = merge_with_boxes(classes, said, categories)
    if settings.keep_in_boxes and is_complete:
        classes = keep_in_boxes(classes, weak.boxes, categories)
        classes = fill_background(classes, weak.boxes, categories)
    if round_number >= settings.fill_from_round:
        classes = fill_boxes(classes, weak.boxes, categories, settings.fill_below)
    # Where a thing may lack a box, a pixel in one box alone can still be another thing's.
    instances = instances_from_boxes(classes, weak.boxes if is_complete else (), categories)
    if from_boxes is not None and is_complete:
        # Where boxes of one class meet, the masks may still know whose a pixel is.
        is_known = (from_boxes.instances > 0) & (from_boxes.classes == classes)
        instances = np.where(is_known, from_boxes.instances, instances)
    return PseudoLabel(classes=classes, instances=instances)


def keep_certain(
    classes: NDArray[np.uint8], scores: NDArray[np.float32], min_score: float
) -> NDArray[np.uint8]:
    """Return the classes whose score, in [0, 1], is at least `min_score`; else ignore."""
    return np.where(scores >= min_score, classes, np.uint8(IGNORE_INDEX))


def keep_tagged(
    classes: NDArray[np.uint8], weak: WeakLabel, categories: CategorySet
) -> NDArray[np.uint8]:
    """Return the map without the classes that a crop was asked about and does not have.

    Where crops overlap, a class has to be in all of them. Classes that nobody was asked about
    and pixels outside all crops stay as they are.
    """
    kept = classes.copy()
    for crop in weak.crops:
        absent = set(weak.tagged_category_ids).difference(crop.category_ids)
        is_absent = _table(categories.class_index_of[category_id] for category_id in absent)
        x0, y0, x1, y1 = crop.box_xyxy
        window = kept[y0:y1, x0:x1]
        window[is_absent[window]] = IGNORE_INDEX
    return kept


def merge_with_boxes(
    classes: NDArray[np.uint8], from_boxes: NDArray[np.uint8], categories: CategorySet
) -> NDArray[np.uint8]:
    """Return the union of what boxes and another source say, boxes first: (H, W).

    A pixel that the boxes label keeps its label. Elsewhere stuff of the other source is taken; a
    thing is not, because a thing's pixels lie in a box and the boxes were not sure of this one.

    Args:
        classes: (H, W) class indices from tags or a prediction, `IGNORE_INDEX` where unsure.
        from_boxes: (H, W) class indices, `IGNORE_INDEX` where the boxes say nothing.
        categories: of the dataset.
    """
    take = (from_boxes == IGNORE_INDEX) & np.isin(classes, categories.stuff_indices)
    return np.where(take, classes, from_boxes)


def keep_in_boxes(
    classes: NDArray[np.uint8], boxes: Sequence[Box], categories: CategorySet
) -> NDArray[np.uint8]:
    """Return the map without the thing pixels that lie outside every box of their class.

    Args:
        classes: (H, W).
        boxes: of every thing in the image; a group's box allows its class like any other.
        categories: of the dataset.
    """
    is_allowed = ~_table(categories.thing_indices)[classes]
    for box in boxes:
        inside = _inside(box)
        is_allowed[inside] |= classes[inside] == categories.class_index_of[box.category_id]
    return np.where(is_allowed, classes, np.uint8(IGNORE_INDEX))


def fill_background(
    classes: NDArray[np.uint8], boxes: Sequence[Box], categories: CategorySet
) -> NDArray[np.uint8]:
    """Return the map with background outside every box, where that is the only stuff.

    Args:
        classes: (H, W).
        boxes: of every thing in the image, groups included.
        categories: of the dataset; where stuff is labelled in its own right, nothing changes.
    """
    if categories.outside_index is None:
        return classes.copy()
    filled = np.full_like(classes, categories.outside_index)
    for box in boxes:
        filled[_inside(box)] = classes[_inside(box)]
    return filled


def fill_boxes(
    classes: NDArray[np.uint8], boxes: Sequence[Box], categories: CategorySet, fill_below: float
) -> NDArray[np.uint8]:
    """Return the map with those boxes filled in which too little of their class was found.

    Where the class covers less than `fill_below` of its box, the box's unknown and stuff pixels
    become the class, except in the box's first row and column, which the released code leaves out.
    A thing that is in the map given is not overwritten. Boxes are filled from large to small, so
    that a pixel of two filled boxes goes to the smaller. Groups are left alone.

    Args:
        classes: (H, W).
        boxes: of things.
        categories: of the dataset.
        fill_below: share of the box's pixels in the image; 0 fills none.
    """
    filled = classes.copy()
    # Shares and free pixels are those of the map given, so that what a larger box has filled does
    # not change what a smaller one may fill.
    is_free = _table((*categories.stuff_indices, IGNORE_INDEX))[classes]
    instances = _distinct_instances(boxes, classes.shape)
    for box in sorted(instances, key=lambda box: -classes[_inside(box)].size):
        class_index, inside = categories.class_index_of[box.category_id], _inside(box)
        if np.mean(classes[inside] == class_index) < fill_below:
            filled[inside][1:, 1:][is_free[inside][1:, 1:]] = class_index
    return filled


def instances_from_boxes(
    classes: NDArray[np.uint8], boxes: Sequence[Box], categories: CategorySet
) -> NDArray[np.int32]:
    """Return the instance of every thing pixel that lies in exactly one box of its class.

    It is 0 on stuff, outside the boxes and where several boxes of the class meet. Instances are
    numbered from 1 in the order of the boxes, as in `label_from_boxes`: repeated boxes, groups
    and boxes without a pixel in the image have no number.

    Args:
        classes: (H, W).
        boxes: of things.
        categories: of the dataset.
    """
    numbers = np.zeros(classes.shape, dtype=np.int32)
    claims = np.zeros(classes.shape, dtype=np.int32)
    for number, box in enumerate(_distinct_instances(boxes, classes.shape), start=1):
        inside = _inside(box)
        is_claimed = classes[inside] == categories.class_index_of[box.category_id]
        numbers[inside][is_claimed] = number
        claims[inside] += is_claimed
    return np.where(claims == 1, numbers, np.int32(0))


def _distinct_instances(boxes: Sequence[Box], shape_hw: tuple[int, ...]) -> list[Box]:
    """Return the boxes of instances with a pixel in the image, each once, in their order."""
    # Never filled and never read: only the size of its slices counts.
    in_image = np.empty(shape_hw, dtype=bool)
    instances = [box for box in dict.fromkeys(boxes) if not box.is_group]
    return [box for box in instances if in_image[_inside(box)].size]


def _inside(box: Box) -> tuple[slice, slice]:
    """Return rows and columns of a box; slices end at the array's far border by themselves."""
    # A negative edge would count from the far end of the array.
    x0, y0, x1, y1 = (max(0, edge) for edge in box.box_xyxy)
    return slice(y0, y1), slice(x0, x1)


def _table(class_indices: Iterable[int]) -> NDArray[np.bool_]:
    """Return (256,), true at these classes: indexed with a map it is faster than `isin`."""
    table = np.zeros(256, dtype=bool)
    table[list(class_indices)] = True
    return table
