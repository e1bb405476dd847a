"""Training examples are arrays, which become batches: scaled, cropped, flipped, as tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from annotools.categories import IGNORE_INDEX
from annotools.records import Photo

Scalar = TypeVar("Scalar", bound=np.generic)

IMAGE_MEAN = (124, 116, 104)
"""ImageNet's mean colour, which padding has: networks normalise it to 0, as in their own padding.
"""

_MIN_VISIBLE = 0.3
"""A box is no training target for the detector where a crop shows less than this share of it."""


@dataclass(frozen=True, kw_only=True)
class TrainingExample:
    """One image with what is known of it.

    `photo` (H, W, 3) RGB, a crop or the whole of one whose longer side has `photo_side` pixels;
    `classes` (H, W) class indices, `IGNORE_INDEX` where unknown; `instances` (H, W) instance
    numbers, 0 where none; `boxes_xyxy` (N, 4) pixels, half-open, and `box_classes` (N,) class
    indices of the things. `has_boxes` is false where nobody was asked for boxes, so that an empty
    list does not mean an empty image.
    """

    photo: Photo
    photo_side: int
    classes: NDArray[np.uint8]
    instances: NDArray[np.int32]
    boxes_xyxy: NDArray[np.float32]
    box_classes: NDArray[np.int64]
    has_boxes: bool = True


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Tensors of B examples of one size.

    `images` (B, 3, H, W) RGB of 0 to 255; `photo_sides` (B,) longer side, in pixels, of the photo
    that each is a part of; `classes` and `instances` (B, H, W); for each image `boxes` (N, 4) and
    `box_classes` (N,).
    """

    images: Tensor
    photo_sides: Tensor
    classes: Tensor
    instances: Tensor
    boxes: list[Tensor]
    box_classes: list[Tensor]


class Examples(Sequence[TrainingExample]):
    """Examples are made when asked for; the first ones are kept while they fit in `keep_bytes`."""

    def __init__(
        self, makers: Sequence[Callable[[], TrainingExample]], keep_bytes: int = 2**30
    ) -> None:
        self._makers = makers
        self._kept: dict[int, TrainingExample] = {}
        self._room = keep_bytes

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, index: int) -> TrainingExample:  # type: ignore[override]
        if index in self._kept:
            return self._kept[index]
        example = self._makers[index]()
        size = example.photo.nbytes + example.classes.nbytes + example.instances.nbytes
        # What is kept stays: each example comes once in an order, so that a cache of the latest
        # would lose most of them before they come again.
        if size <= self._room:
            self._kept[index] = example
            self._room -= size
        return example


def as_tensor(photo: Photo) -> Tensor:
    """Return (3, H, W) float32 colours of 0 to 255; each network normalises them by itself."""
    return torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1), dtype=np.float32))


def reduce_photo(photo: Photo, max_side: int | None) -> Photo:
    """Return the photo with its longer side at most `max_side` pixels."""
    scale = reduction(photo.shape[:2], max_side)
    return photo if scale == 1.0 else _resize_photo(photo, scale)


def reduce_example(example: TrainingExample, max_side: int | None) -> TrainingExample:
    """Return the example with its longer side at most `max_side` pixels."""
    scale = reduction(example.classes.shape, max_side)
    return example if scale == 1.0 else resize_example(example, scale)


def reduction(shape: tuple[int, ...], max_side: int | None) -> float:
    """Return the factor in (0, 1] that brings an (H, W) shape to at most `max_side` pixels."""
    return 1.0 if max_side is None else min(1.0, max_side / max(shape[:2]))


def resize_example(example: TrainingExample, scale: float) -> TrainingExample:
    """Return the example enlarged by a factor: photos smoothly, labels by nearest pixel."""
    height, width = example.classes.shape
    photo = _resize_photo(example.photo, scale)
    size = (photo.shape[1], photo.shape[0])
    # Sides are rounded to pixels, so that the boxes follow the true factors and not the scale.
    factors = np.array([size[0] / width, size[1] / height] * 2, dtype=np.float32)
    return replace(
        example,
        photo=photo,
        photo_side=max(1, round(example.photo_side * scale)),
        classes=resize_map(example.classes, size).astype(np.uint8),
        instances=resize_map(example.instances, size).astype(np.int32),
        boxes_xyxy=example.boxes_xyxy * factors,
    )


def resize_map(labels: NDArray[np.generic], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Return a map of class indices or ids at another size, by nearest pixel.

    It goes through float32, exact for ids below 2**24, because OpenCV resizes no integer maps.
    """
    exact = cv2.resize(labels.astype(np.float32), size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
    return exact.astype(np.float32, copy=False)


def augment(
    example: TrainingExample,
    crop_size_wh: tuple[int, int],
    scale_range: tuple[float, float],
    rng: np.random.Generator,
) -> TrainingExample:
    """Return a random view: scale, crop of the size (padded with ignore), flip, brightness."""
    # Uniform in the logarithm: twice as large is as likely as half as large.
    low, high = np.log(scale_range)
    example = resize_example(example, float(np.exp(rng.uniform(low, high))))
    example = _random_crop(example, crop_size_wh, rng)
    if rng.random() < 0.5:
        example = _flip(example)
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.95, 1.05, 3)
    photo = np.clip(example.photo * gain, 0, 255).astype(np.uint8)
    return replace(example, photo=photo)


def collate(examples: Sequence[TrainingExample], device: torch.device) -> Batch:
    """Return the batch of examples of one size on a device."""
    return Batch(
        images=torch.stack([as_tensor(e.photo) for e in examples]).to(device),
        photo_sides=torch.tensor([e.photo_side for e in examples], device=device),
        classes=torch.from_numpy(np.stack([e.classes for e in examples])).long().to(device),
        instances=torch.from_numpy(np.stack([e.instances for e in examples])).to(device),
        boxes=[torch.from_numpy(e.boxes_xyxy).to(device) for e in examples],
        box_classes=[torch.from_numpy(e.box_classes).to(device) for e in examples],
    )


def _resize_photo(photo: Photo, scale: float) -> Photo:
    size_wh = [max(1, round(side * scale)) for side in (photo.shape[1], photo.shape[0])]
    # INTER_AREA averages all pixels that shrink into one; bilinear would skip some of them.
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(photo, size_wh, interpolation=smooth).astype(np.uint8, copy=False)


def _random_crop(
    example: TrainingExample, crop_size_wh: tuple[int, int], rng: np.random.Generator
) -> TrainingExample:
    width, height = crop_size_wh
    spare_y, spare_x = example.classes.shape[0] - height, example.classes.shape[1] - width
    # A photo smaller than the crop has negative room: it then lies anywhere in the padding.
    top = int(rng.integers(min(0, spare_y), max(0, spare_y) + 1))
    left = int(rng.integers(min(0, spare_x), max(0, spare_x) + 1))
    shift = np.array([left, top] * 2, dtype=np.float32)
    limits = np.array([width, height] * 2, dtype=np.float32)
    boxes = np.clip(example.boxes_xyxy - shift, 0, limits)
    # A box of which little is left, or a thin strip, would teach the detector to guess.
    visible = _areas(boxes) / np.maximum(_areas(example.boxes_xyxy), 1)
    keep = (visible >= _MIN_VISIBLE) & (np.diff(boxes.reshape(-1, 2, 2), axis=1) >= 2).all((1, 2))
    return replace(
        example,
        photo=_window(example.photo, top, left, height, width, fill=IMAGE_MEAN),
        classes=_window(example.classes, top, left, height, width, fill=IGNORE_INDEX),
        instances=_window(example.instances, top, left, height, width, fill=0),
        boxes_xyxy=boxes[keep],
        box_classes=example.box_classes[keep],
    )


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


def _flip(example: TrainingExample) -> TrainingExample:
    width = example.classes.shape[1]
    boxes = example.boxes_xyxy.copy()
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    return replace(
        example,
        photo=np.ascontiguousarray(example.photo[:, ::-1]),
        classes=np.ascontiguousarray(example.classes[:, ::-1]),
        instances=np.ascontiguousarray(example.instances[:, ::-1]),
        boxes_xyxy=boxes,
    )


def _areas(boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return np.asarray(sides[:, 0] * sides[:, 1])
