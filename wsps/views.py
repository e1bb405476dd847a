"""Draw random views of a training example: networks see no image twice alike."""

from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX
from annotools.records import Photo
from wsps.data import Scalar, TrainingExample, resize_example
from wsps.networks.image_input import IMAGE_INPUTS
from wsps.recipe import ViewSettings

MEAN_COLOUR = tuple(round(value) for value in IMAGE_INPUTS["torchvision"].mean)
"""RGB of 0 to 255, which networks normalise to 0, as in their own padding."""

_MIN_VISIBLE = 0.3
"""A box is no training target for the detector, and no detection, where a view shows less than this
share of it."""

_MIN_SIDE = 2
"""Pixels of a side of a box; a thinner strip would teach the detector to guess."""


def draw_view(
    example: TrainingExample, settings: ViewSettings, rng: np.random.Generator
) -> TrainingExample:
    """Return a random view of an example: a window, enlarged to the crop's size, flipped, tinted.

    The window is cut first, so that only what is seen is enlarged. Where it reaches outside the
    image, nothing is known and the colour is `MEAN_COLOUR`.
    """
    width, height = settings.crop_size_wh
    # Uniform in the logarithm: twice as large is as likely as half as large.
    low, high = np.log(settings.scale_range)
    scale = float(np.exp(rng.uniform(low, high)))
    seen_wh = max(1, round(width / scale)), max(1, round(height / scale))
    view = resize_example(_random_window(example, seen_wh, rng), settings.crop_size_wh)
    view = _keep_boxes(
        view, _are_thick(view.boxes_xyxy), _are_thick(view.detections.boxes_xyxy.numpy())
    )
    if rng.random() < 0.5:
        view = _flip(view)
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
    return replace(view, photo=_tint(view.photo, gain))


def _random_window(
    example: TrainingExample, size_wh: tuple[int, int], rng: np.random.Generator
) -> TrainingExample:
    width, height = size_wh
    spare_y, spare_x = example.classes.shape[0] - height, example.classes.shape[1] - width
    # An image smaller than the window has negative room: it then lies anywhere in the padding.
    top = int(rng.integers(min(0, spare_y), max(0, spare_y) + 1))
    left = int(rng.integers(min(0, spare_x), max(0, spare_x) + 1))
    found = example.detections
    boxes, are_seen = _clip_boxes(example.boxes_xyxy, (left, top), size_wh)
    found_boxes, are_found = _clip_boxes(found.boxes_xyxy.numpy(), (left, top), size_wh)
    window = replace(
        example,
        photo=_window(example.photo, top, left, height, width, fill=MEAN_COLOUR),
        classes=_window(example.classes, top, left, height, width, fill=IGNORE_INDEX),
        instances=_window(example.instances, top, left, height, width, fill=0),
        boxes_xyxy=boxes,
        detections=replace(found, boxes_xyxy=torch.from_numpy(found_boxes)),
    )
    return _keep_boxes(window, are_seen, are_found)


def _clip_boxes(
    boxes_xyxy: NDArray[np.float32], corner_xy: tuple[int, int], size_wh: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return boxes as a window has them, and whether enough of each is in it."""
    shift = np.array(corner_xy * 2, dtype=np.float32)
    limits = np.array(size_wh * 2, dtype=np.float32)
    clipped = np.clip(boxes_xyxy - shift, 0, limits)
    # A box of which little is left would teach the detector to guess.
    visible = _areas(clipped) / np.maximum(_areas(boxes_xyxy), 1)
    return clipped, np.asarray(visible >= _MIN_VISIBLE)


def _window(
    array: NDArray[Scalar],
    top: int,
    left: int,
    height: int,
    width: int,
    fill: int | tuple[int, ...],
) -> NDArray[Scalar]:
    """Return a window of an (H, W, ...) array that may reach outside it, filled there."""
    window = np.empty((height, width, *array.shape[2:]), dtype=array.dtype)
    window[...] = fill
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + height, array.shape[0]), min(left + width, array.shape[1])
    window[y0 - top : y1 - top, x0 - left : x1 - left] = array[y0:y1, x0:x1]
    return window


def _are_thick(boxes_xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
    sides = np.diff(boxes_xyxy.reshape(-1, 2, 2), axis=1)
    return np.asarray((sides >= _MIN_SIDE).all(axis=(1, 2)))


def _keep_boxes(
    example: TrainingExample, boxes: NDArray[np.bool_], detections: NDArray[np.bool_]
) -> TrainingExample:
    """Return an example with those of its boxes and detections for which a truth is true."""
    return replace(
        example,
        boxes_xyxy=example.boxes_xyxy[boxes],
        box_classes=example.box_classes[boxes],
        detections=example.detections.pick(torch.from_numpy(detections)),
    )


def _flip(example: TrainingExample) -> TrainingExample:
    width = example.classes.shape[1]
    found = example.detections
    return replace(
        example,
        photo=np.ascontiguousarray(example.photo[:, ::-1]),
        classes=np.ascontiguousarray(example.classes[:, ::-1]),
        instances=np.ascontiguousarray(example.instances[:, ::-1]),
        boxes_xyxy=_flip_boxes(example.boxes_xyxy, width),
        detections=replace(
            found, boxes_xyxy=torch.from_numpy(_flip_boxes(found.boxes_xyxy.numpy(), width))
        ),
    )


def _flip_boxes(boxes_xyxy: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    flipped = boxes_xyxy.copy()
    flipped[:, [0, 2]] = width - flipped[:, [2, 0]]
    return flipped


def _tint(photo: Photo, gain: NDArray[np.float64]) -> Photo:
    """Return the photo with each channel multiplied; a table of the 256 values is much faster."""
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)
    return cv2.LUT(photo, table[None]).astype(np.uint8, copy=False)


def _areas(boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1])
