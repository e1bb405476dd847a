"""The student `mask-rcnn`: torchvision's Mask R-CNN for things, our semantic network for stuff.

Both have the backbone of the recipe and learn from the same labels as `li2018` does. Masks and
semantics are merged as in Panoptic FPN, without its least area of stuff: here as there every pixel
has a segment.

Sources: He et al., Mask R-CNN, ICCV 2017; Kirillov et al., Panoptic Segmentation, CVPR 2019, sec.
6, and Panoptic Feature Pyramid Networks, CVPR 2019.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from annotools.categories import CategorySet
from annotools.random_streams import stream_seed
from annotools.records import Photo
from wsps.detections import Detections
from wsps.memory import name_memory_remedy
from wsps.networks.instance import list_labels
from wsps.networks.masks import enlarge_masks
from wsps.networks.model import PanopticModel, build_detector, build_segmenter
from wsps.prediction import Prediction, make_predictions, reduce_photos, see
from wsps.recipe import Recipe

NAME = "mask-rcnn"

MASK_THRESHOLD = 0.5
"""Probability from which a pixel is in a mask."""

MOST_TAKEN = 0.5
"""Share of a mask that surer ones may have taken; with more it is no instance."""


def build_model(
    recipe: Recipe,
    categories: CategorySet,
    seed: int,
    device: torch.device,
    *,
    has_detector: bool = True,
) -> PanopticModel:
    """Return the model before training, as `wsps.networks.model.build_model`; it has a detector.

    Its semantic network has the same weights as that of `li2018`.
    """
    assert has_detector
    torch.manual_seed(stream_seed(seed, "weights"))
    semantic = build_segmenter(recipe, len(categories)).to(device)
    detector = build_detector(recipe, categories, masks=True).to(device)
    return PanopticModel(
        recipe=recipe,
        categories=categories,
        semantic=semantic,
        detector=detector,
        instance=None,
        device=device,
        student=NAME,
    )


@torch.no_grad()
def predict_batch(
    model: PanopticModel,
    photos: Sequence[Photo],
    image_ids: Sequence[int | str],
    given: Sequence[Detections] | None = None,
) -> list[Prediction]:
    """Predict the panoptic segmentation of photos of one size, as that of `wsps.prediction`.

    Detections cannot be given.
    """
    assert given is None
    sight = see(model, photos)
    stuff = torch.tensor(model.categories.stuff_indices, dtype=torch.int64, device=model.device)
    with name_memory_remedy(reduce_photos(max(sight.images.shape[2:]))):
        labels = list_labels(sight.detections, stuff)
        label_maps = torch.stack(
            [
                merge_masks(*of_image, stuff)
                for of_image in zip(sight.semantic, sight.detections, strict=True)
            ]
        )
        return make_predictions(model, photos, image_ids, sight, label_maps, labels)


def merge_masks(semantic: Tensor, detections: Detections, stuff: Tensor) -> Tensor:
    """Return the label of each pixel of an image: (H, W), -1 where there is none.

    From the surest detection on each takes those pixels of its mask that are free, unless more than
    `MOST_TAKEN` of them are not. What is left goes to the most probable stuff. Detection d is label
    d; with D of them stuff class s is label D + s.

    Args:
        semantic: (K, H, W) class probabilities.
        detections: with masks, best first.
        stuff: (S,) class indices; S may be 0.
    """
    size_hw, device = semantic.shape[1:], semantic.device
    merged = semantic.new_full(size_hw, -1, dtype=torch.int64)
    if len(stuff):
        merged = len(detections) + semantic[stuff].argmax(dim=0)
    assert detections.masks is not None
    is_free = torch.ones(size_hw, dtype=torch.bool, device=device)
    # One by one: a hundred masks of a large photo are a hundred photos in memory.
    for label, box in enumerate(detections.boxes_xyxy.tolist()):
        rows = pixels_between(box[1], box[3], size_hw[0])
        columns = pixels_between(box[0], box[2], size_hw[1])
        if not rows or not columns:
            continue
        place = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
        places = (
            torch.arange(pixels.start, pixels.stop, device=device) for pixels in (rows, columns)
        )
        mask = enlarge_masks(detections.masks[label], detections.boxes_xyxy[label], *places)
        is_mask = mask >= MASK_THRESHOLD
        is_own = is_mask & is_free[place]
        if is_own.sum() >= (1 - MOST_TAKEN) * is_mask.sum():
            merged[place][is_own] = label
            is_free[place] &= ~is_own
    return merged


def pixels_between(start: float, stop: float, side: int) -> range:
    """Return the pixels of a row or column of an image whose centre is between two places."""
    return range(max(0, math.ceil(start - 0.5)), max(0, min(side, math.ceil(stop - 0.5))))
