"""Training examples are arrays, which become batches of tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from annotools.parallel import map_ahead
from annotools.records import Photo
from wsps.detections import Detections
from wsps.recipe import ImageSettings

STRETCHED_PERCENTILES = (1.0, 99.8)
"""Of a photo's values: these become 0 and 255. They are usual for cell nuclei (Schmidt et al., Cell
Detection with Star-convex Polygons, MICCAI 2018, in its examples)."""

LEAST_RANGE = 16
"""Values that are stretched at least: a photo of nothing would become one of noise."""

Scalar = TypeVar("Scalar", bound=np.generic)
Thing = TypeVar("Thing")


@dataclass(frozen=True, kw_only=True)
class TrainingExample:
    """One image with what is known of it.

    `name` says which image it is. `photo` (H, W, 3) RGB, a crop or the whole of one whose longer
    side has `photo_side` pixels; `classes` (H, W) class indices, `IGNORE_INDEX` where unknown;
    `instances` (H, W) instance numbers, 0 where none; `boxes_xyxy` (N, 4) pixels, half-open, and
    `box_classes` (N,) class indices of the things. `has_boxes` is false where nobody was asked for
    boxes, so that an empty list does not mean an empty image. `detections` are those that were
    given of the photo, on the CPU.
    """

    name: str
    photo: Photo
    photo_side: int
    classes: NDArray[np.uint8]
    instances: NDArray[np.int32]
    boxes_xyxy: NDArray[np.float32]
    box_classes: NDArray[np.int64]
    has_boxes: bool = True
    detections: Detections = field(default_factory=Detections)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Tensors of B examples of one size.

    `names` of their images; `images` (B, 3, H, W) RGB of 0 to 255; `photo_sides` (B,) longer side,
    in pixels, of the photo that each is a part of; `classes` and `instances` (B, H, W); for each
    image `boxes` (N, 4), `box_classes` (N,) and the `detections` that were given. Photos and maps
    are small integers until `on_device` makes them what networks and losses take: float32 and
    int64. `pixels` name the images by their content where they come again; empty where not.
    """

    names: tuple[str, ...]
    images: Tensor
    photo_sides: Tensor
    classes: Tensor
    instances: Tensor
    boxes: list[Tensor]
    box_classes: list[Tensor]
    detections: list[Detections]
    pixels: tuple[str, ...] = ()

    def on_device(self, device: torch.device) -> "Batch":
        """Return the batch on a device, ready for networks."""
        moved = self._each(
            lambda values: values.to(device, non_blocking=True), lambda found: found.to(device)
        )
        return replace(moved, images=moved.images.float(), classes=moved.classes.long())

    def pin_memory(self) -> "Batch":
        """Return the batch in memory from which a GPU copies by itself; a loader calls this."""
        return self._each(Tensor.pin_memory, Detections.pin_memory)

    def _each(
        self,
        change: Callable[[Tensor], Tensor],
        change_detections: Callable[[Detections], Detections],
    ) -> "Batch":
        return replace(
            self,
            images=change(self.images),
            photo_sides=change(self.photo_sides),
            classes=change(self.classes),
            instances=change(self.instances),
            boxes=[change(boxes) for boxes in self.boxes],
            box_classes=[change(classes) for classes in self.box_classes],
            detections=[change_detections(found) for found in self.detections],
        )


class Kept(Sequence[Thing]):
    """Things that are made when asked for; the first ones are kept while there is room.

    Args:
        makers: one for each thing.
        size_of: how many bytes one takes.
        keep_bytes: how many may be kept.
    """

    def __init__(
        self,
        makers: Sequence[Callable[[], Thing]],
        size_of: Callable[[Thing], int],
        keep_bytes: int = 2**30,
    ) -> None:
        self._makers = makers
        self._size_of = size_of
        self._kept: dict[int, Thing] = {}
        self._room = keep_bytes
        self._is_full = False

    def __len__(self) -> int:
        return len(self._makers)

    def __getitem__(self, index: int) -> Thing:  # type: ignore[override]
        if index in self._kept:
            return self._kept[index]
        thing = self._makers[index]()
        size = self._size_of(thing)
        # What is kept stays: each comes once in an order, so that a cache of the latest would lose
        # most of them before they come again.
        if size <= self._room:
            self._kept[index] = thing
            self._room -= size
        else:
            self._is_full = True
        return thing

    def keep(self, threads: int) -> None:
        """Make things until no more can be kept: processes that are forked then share them."""
        for _ in map_ahead(self.__getitem__, range(len(self)), threads):
            if self._is_full:
                return


Examples = Kept[TrainingExample]


def keep_examples(makers: Sequence[Callable[[], TrainingExample]]) -> Examples:
    """Return the examples that these make, kept while they fit in memory."""
    return Kept(makers, lambda e: e.photo.nbytes + e.classes.nbytes + e.instances.nbytes)


def as_tensor(photo: Photo) -> Tensor:
    """Return an (H, W, 3) photo as networks take it: (3, H, W) float32, RGB of 0 to 255."""
    return torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1))).float()


def prepare_photo(photo: Photo, settings: ImageSettings) -> Photo:
    """Return the (H, W, 3) photo as every network sees it, in its colours and its size."""
    coloured = stretch_photo(photo, settings)
    scale = scale_of(photo.shape, settings)
    return coloured if scale == 1.0 else resize_photo(coloured, _scaled_size(photo.shape, scale))


def prepare_example(example: TrainingExample, settings: ImageSettings) -> TrainingExample:
    """Return the example as every network sees it, in its colours and its size."""
    coloured = replace(example, photo=stretch_photo(example.photo, settings))
    shape = example.classes.shape
    scale = scale_of(shape, settings)
    return coloured if scale == 1.0 else resize_example(coloured, _scaled_size(shape, scale))


def scale_of(shape: tuple[int, ...], settings: ImageSettings) -> float:
    """Return the factor that brings the longer side of an (H, W) shape into its bounds."""
    longer, scale = max(shape[:2]), 1.0
    if settings.min_side is not None:
        scale = max(scale, settings.min_side / longer)
    if settings.max_side is not None:
        scale = min(scale, settings.max_side / longer)
    return scale


def stretch_photo(photo: Photo, settings: ImageSettings) -> Photo:
    """Return the (H, W, 3) photo with values stretched over 0 to 255, where the settings want it.

    All channels are stretched alike, so that grey stays grey. What differs by less than
    `LEAST_RANGE` is stretched as if it differed by that; a photo of one value becomes black.
    """
    if not settings.stretch:
        return photo
    dark, bright = np.percentile(photo, STRETCHED_PERCENTILES)
    # A table of the 256 values is much faster.
    values = (np.arange(256) - dark) * (255 / max(bright - dark, LEAST_RANGE))
    table = np.clip(values.round(), 0, 255).astype(np.uint8)
    return cv2.LUT(photo, table).astype(np.uint8, copy=False)


def resize_example(example: TrainingExample, size_wh: tuple[int, int]) -> TrainingExample:
    """Return the example at another size: photos smoothly, labels by nearest pixel."""
    height, width = example.classes.shape
    factors = np.array([size_wh[0] / width, size_wh[1] / height] * 2, dtype=np.float32)
    found = example.detections
    return replace(
        example,
        photo=resize_photo(example.photo, size_wh),
        photo_side=max(1, round(example.photo_side * max(size_wh) / max(width, height))),
        classes=resize_map(example.classes, size_wh).astype(np.uint8),
        instances=resize_map(example.instances, size_wh).astype(np.int32),
        boxes_xyxy=example.boxes_xyxy * factors,
        detections=replace(found, boxes_xyxy=found.boxes_xyxy * torch.from_numpy(factors)),
    )


def resize_photo(photo: Photo, size_wh: tuple[int, int]) -> Photo:
    """Return the photo at another size, smoothly."""
    # INTER_AREA averages all pixels that shrink into one; bilinear would skip some of them.
    smooth = cv2.INTER_AREA if size_wh[0] < photo.shape[1] else cv2.INTER_LINEAR
    return cv2.resize(photo, size_wh, interpolation=smooth).astype(np.uint8, copy=False)


def resize_map(labels: NDArray[np.generic], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Return a map of class indices or ids at another size, by nearest pixel.

    It goes through float32, exact for ids below 2**24, because OpenCV resizes no integer maps.
    """
    exact = cv2.resize(labels.astype(np.float32), size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
    return exact.astype(np.float32, copy=False)


def collate(examples: Sequence[TrainingExample]) -> Batch:
    """Return the batch of examples of one size, in this process's memory."""
    photos = torch.from_numpy(np.stack([e.photo for e in examples]))  # (B, H, W, 3)
    return Batch(
        names=tuple(e.name for e in examples),
        images=photos.permute(0, 3, 1, 2),
        photo_sides=torch.tensor([e.photo_side for e in examples]),
        classes=torch.from_numpy(np.stack([e.classes for e in examples])),
        instances=torch.from_numpy(np.stack([e.instances for e in examples])),
        boxes=[torch.from_numpy(e.boxes_xyxy) for e in examples],
        box_classes=[torch.from_numpy(e.box_classes) for e in examples],
        detections=[e.detections for e in examples],
    )


def _scaled_size(shape: tuple[int, ...], scale: float) -> tuple[int, int]:
    """Return the size (W, H) of an (H, W) shape times a factor, at least a pixel."""
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))
