"""Detections of things: what a detector found, or what a COCO results file says of anybody's."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from annotools.categories import CategorySet
from annotools.errors import DatasetError, name_place
from annotools.formats.coco_entries import take_bbox, take_score
from annotools.formats.coco_results import OTHER_IMAGES, Listed, read_results
from annotools.formats.forms import Forms, form_remarks
from annotools.read_files import read_bytes
from annotools.records import Image

NO_PIXEL = "a box has no pixel in its image and is left out"
"""What is told of detections that cannot be of anything."""


@dataclass(frozen=True, kw_only=True)
class Detections:
    """Detections of one image, best first; none if nothing is given.

    `boxes_xyxy` (D, 4) are in pixels, half-open, `class_indices` (D,) the dataset's, `scores` (D,)
    in [0, 1]. `masks` (D, M, M) are probabilities over each box, cut in M x M cells; None where the
    detector gives none.
    """

    boxes_xyxy: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    class_indices: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    scores: Tensor = field(default_factory=lambda: torch.zeros(0))
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def pick(self, which: Tensor | slice) -> "Detections":
        """Return some of the detections: those at which (D,) truths are true, or a slice."""
        return self._each(lambda values: values[which])

    def to(self, device: torch.device) -> "Detections":
        """Return the detections on a device."""
        return self._each(lambda values: values.to(device, non_blocking=True))

    def pin_memory(self) -> "Detections":
        """Return the detections in memory from which a GPU copies by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Detections":
        return Detections(
            boxes_xyxy=change(self.boxes_xyxy),
            class_indices=change(self.class_indices),
            scores=change(self.scores),
            masks=None if self.masks is None else change(self.masks),
        )


@dataclass(frozen=True, kw_only=True)
class GivenDetections:
    """The detections of a file by image id; an image that it lacks has none.

    `remarks` say what was left out, and what was taken in another form.
    """

    of_image: Mapping[int | str, Detections]
    remarks: tuple[str, ...]

    def of(self, image_id: int | str) -> Detections:
        """Return the detections of an image."""
        return self.of_image.get(image_id, Detections())


def read_detections(
    path: Path, images: Sequence[Image], categories: CategorySet, score_threshold: float
) -> GivenDetections:
    """Return the detections that a COCO results file has of some images.

    Boxes are clipped to their image. Those that have no size, or nothing in their image, are left
    out and counted, and so are detections of other images. Whatever else a result has, such as a
    mask, is not looked at.

    Args:
        path: a JSON list of objects with `image_id`, `category_id`, `bbox` (x, y, width and height
            in pixels) and `score`; it may be empty.
        images: that are asked for, with their sizes.
        categories: of which the things may be detected.
        score_threshold: detections with no higher score are not offered.

    Raises:
        DatasetError: when the file is missing or no list, a category is unknown or stuff, a box is
            none, a score is not in [0, 1], or there are detections but all of other images.
    """
    forms: Forms = Counter()
    listed = read_results(
        path, images, categories, forms, known="the categories of things", may_be_others=True
    )
    if not listed and forms[OTHER_IMAGES]:
        raise DatasetError(
            f"{path}: none of its {forms[OTHER_IMAGES]:,} detections is of a photo that is asked "
            "for: give a file with the image ids of these photos"
        )
    of_image = {
        image.image_id: _read_image(listed[image.image_id], image, categories, forms)
        for image in images
        if image.image_id in listed
    }
    return GivenDetections(
        of_image={
            image_id: found.pick(found.scores > score_threshold)
            for image_id, found in of_image.items()
        },
        remarks=form_remarks(path, forms),
    )


def hash_detections(path: Path) -> str:
    """Return the SHA-256 of a file of detections, wherever it lies and whatever its name is.

    Raises:
        DatasetError: when it cannot be read.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _read_image(
    listed: Sequence[Listed], image: Image, categories: CategorySet, forms: Forms
) -> Detections:
    boxes, scores = [], []
    for place, entry in listed:
        with name_place(place):
            boxes.append(take_bbox(entry.get("bbox")))
        score = take_score(place, entry, "score")
        if score is None:
            raise DatasetError(f"{place}: score is missing: give a number in [0, 1]")
        scores.append(score)
    sides = np.array(boxes)
    sides[:, 2:] += sides[:, :2]
    boxes_xyxy = np.clip(sides, 0, np.array(image.size_wh * 2)).astype(np.float32)
    class_indices = [categories.class_index_of[entry["category_id"]] for _, entry in listed]
    found = Detections(
        boxes_xyxy=torch.from_numpy(boxes_xyxy),
        class_indices=torch.tensor(class_indices),
        scores=torch.tensor(scores, dtype=torch.float32),
    )
    has_pixels = (boxes_xyxy[:, :2] < boxes_xyxy[:, 2:]).all(axis=1)
    if not has_pixels.all():
        forms[NO_PIXEL] += int((~has_pixels).sum())
    # Stable: of equal scores the first of the file comes first.
    order = np.argsort(-np.array(scores), kind="stable")
    return found.pick(torch.from_numpy(order[has_pixels[order]]))
