"""Predict the panoptic segmentation of photos of one size with a trained model.

Paper: Li, Arnab, Torr 2018, sec. 3.5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from annotools.categories import CategorySet
from annotools.drawing.labels import draw_label, readable_factor
from annotools.label_maps import build_label
from annotools.records import FullLabel, Photo
from wsps.data import as_tensor, prepare_photo, resize_map
from wsps.detections import Detections
from wsps.device import autocast
from wsps.features import see_frozen
from wsps.memory import name_memory_remedy
from wsps.networks.instance import InstanceLabels
from wsps.networks.model import PanopticModel
from wsps.recipe import MIN_TILE_SIDE
from wsps.tiles import blend_tiles


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A panoptic prediction at the photo's own size.

    `label` has a segment for every pixel; `scores` gives each segment's score in [0, 1]: the
    detection's for a thing, the mean class probability over the segment for stuff;
    `semantic_classes` (H, W) are the semantic network's own class indices.
    """

    label: FullLabel
    scores: Mapping[int, float]
    semantic_classes: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What the networks see in B photos, prepared as the recipe says.

    `images` (B, 3, h, w), `semantic` (B, K, h, w) class probabilities, and each photo's detections
    in pixels of the prepared one.
    """

    images: Tensor
    semantic: Tensor
    detections: list[Detections]


def draw_overlay(photo: Photo, label: FullLabel, categories: CategorySet) -> Photo:
    """Return a photo with the segments of its label over it, enlarged until names can be read."""
    factor = readable_factor(photo.shape[1], photo.shape[0])
    return draw_label(photo, label, categories, ["segments"], factor=factor)


@torch.no_grad()
def predict_batch(
    model: PanopticModel,
    photos: Sequence[Photo],
    image_ids: Sequence[int | str],
    given: Sequence[Detections] | None = None,
) -> list[Prediction]:
    """Predict the panoptic segmentation of photos of one size, all at once, with `li2018`.

    Memory holds, beside the networks, the probabilities of all classes and the beliefs in all
    labels at each pixel. `prediction.tile_side` bounds what the semantic network needs in addition.

    Args:
        model: trained.
        photos: (H, W, 3) RGB, at least one.
        image_ids: that the predictions shall carry.
        given: detections in each photo, above the score threshold, on the CPU; None lets the
            model's detector find them, which it then has.

    Raises:
        RecipeError: where memory is not enough; it says what to lower.
    """
    instance = model.instance
    assert instance is not None
    sight = see(model, photos, given)
    longer = max(sight.images.shape[2:])
    sides = torch.tensor([longer] * len(photos), device=model.device)
    with name_memory_remedy(reduce_photos(longer)):
        marginals = instance(
            sight.semantic,
            sight.images,
            sides,
            sight.detections,
            model.recipe.prediction.iterations,
        )
        label_maps = _most_probable(marginals.log_q, marginals.labels.is_label)  # (B, h, w)
        return make_predictions(model, photos, image_ids, sight, label_maps, marginals.labels)


def see(
    model: PanopticModel, photos: Sequence[Photo], given: Sequence[Detections] | None = None
) -> Sight:
    """Return what the networks see in photos of one size, which take those given for detections.

    Raises:
        RecipeError: where memory is not enough; it says what to lower.
    """
    recipe = model.recipe
    prepared = [as_tensor(prepare_photo(photo, recipe.images)) for photo in photos]
    images = torch.stack(prepared).to(model.device)  # (B, 3, h, w)
    features = _see_features(model, images)
    semantic = _see_classes(model, images, features)
    if given is None:
        detections = _detect(model, images, features)
    else:
        height, width = photos[0].shape[:2]
        scale = images.shape[3] / width, images.shape[2] / height
        detections = [_take_given(model, found, scale) for found in given]
    return Sight(images=images, semantic=semantic, detections=detections)


def make_predictions(
    model: PanopticModel,
    photos: Sequence[Photo],
    image_ids: Sequence[int | str],
    sight: Sight,
    label_maps: Tensor,
    labels: InstanceLabels,
) -> list[Prediction]:
    """Return the predictions of B photos, at their own size, from the label of each pixel.

    Args:
        model: whose they are.
        photos: (H, W, 3) RGB, of one size.
        image_ids: that the predictions shall carry.
        sight: what the networks saw in the photos.
        label_maps: (B, h, w) places in the lists of labels, -1 where there is none.
        labels: (B, L) of them.
    """
    scores = _score_labels(label_maps, labels, sight.semantic)
    classes = sight.semantic.argmax(dim=1).to(torch.uint8).cpu().numpy()
    class_indices = labels.class_indices.tolist()
    predictions = []
    for number, label_map in enumerate(label_maps.cpu().numpy()):
        size_wh = (photos[number].shape[1], photos[number].shape[0])
        # Segment id 0 is void in the format, so that the first label gets the id 1, and none 0.
        segment_map = resize_map(label_map + 1, size_wh).astype(np.int32)
        category_of = {
            label + 1: model.categories.categories[class_index].category_id
            for label, class_index in enumerate(class_indices[number])
        }
        predictions.append(
            Prediction(
                label=build_label(image_ids[number], segment_map, category_of),
                scores={i + 1: scores[number][i] for i in np.unique(label_map).tolist() if i >= 0},
                semantic_classes=resize_map(classes[number], size_wh).astype(np.uint8),
            )
        )
    return predictions


def _see_features(model: PanopticModel, images: Tensor) -> Tensor | None:
    """Return what a frozen backbone sees in (B, 3, h, w) images, for both networks; else None."""
    if not model.recipe.backbone.frozen:
        return None
    remedy = reduce_photos(max(images.shape[2:]))
    with name_memory_remedy(remedy), autocast(model.device, model.recipe.descent.precision):
        return see_frozen(model.semantic.trunk.backbone, images)


def _see_classes(model: PanopticModel, images: Tensor, features: Tensor | None) -> Tensor:
    """Return (B, K, h, w) class probabilities of (B, 3, h, w) images.

    The semantic network runs here and nowhere else in a prediction.
    """
    recipe, settings = model.recipe, model.recipe.prediction
    model.semantic.eval()

    def class_probabilities(part: Tensor) -> Tensor:
        # A tile has features of its own.
        is_whole = part.shape == images.shape
        logits: Tensor = model.semantic(part, features if is_whole else None)
        return logits.float().softmax(dim=1)

    longer = max(images.shape[2:])
    side = longer if settings.tile_side is None else min(longer, settings.tile_side)
    remedy = reduce_photos(longer)
    if side // 2 >= MIN_TILE_SIDE:
        remedy = f"set prediction.tile_side = {side // 2}, or {remedy.removeprefix('set ')}"
    with name_memory_remedy(remedy), autocast(model.device, recipe.descent.precision):
        return blend_tiles(class_probabilities, images, settings.tile_side, settings.tile_overlap)


def _detect(model: PanopticModel, images: Tensor, features: Tensor | None) -> list[Detections]:
    """Return the detections of the model's detector in (B, 3, h, w) images.

    The detector runs here and nowhere else in a prediction. It sees whole images: a box that a tile
    cuts would stand beside the whole one.
    """
    assert model.detector is not None
    recipe, remedy = model.recipe, reduce_photos(max(images.shape[2:]))
    limits = recipe.instance
    # A detector of one class as the seed made it gives each box a half. No score is above 1.
    least = limits.score_threshold if model.has_learnt_boxes else 1.0
    with name_memory_remedy(remedy), autocast(model.device, recipe.descent.precision):
        return model.detector.detect(
            images, least, limits.max_detections, features, limits.nms_threshold
        )


def _take_given(
    model: PanopticModel, given: Detections, scale_xy: tuple[float, float]
) -> Detections:
    """Return the best detections of a photo, on the model's device, as in the prepared photo."""
    best = given.pick(slice(model.recipe.instance.max_detections))
    boxes_xyxy = best.boxes_xyxy * torch.tensor(scale_xy * 2)
    return replace(best, boxes_xyxy=boxes_xyxy).to(model.device)


def reduce_photos(longer: int) -> str:
    """Return what to do where the whole image, of this longer side in pixels, is too much."""
    return f"set images.max_side = {longer // 2}"


def _most_probable(log_q: Tensor, is_label: Tensor) -> Tensor:
    """Return the best of L labels at each pixel, -1 where there is no label at all: (B, H, W).

    Args:
        log_q: (B, L, H, W) beliefs.
        is_label: (B, L), false of what only fills up a list.
    """
    if log_q.shape[1] == 0:
        return log_q.new_full((len(log_q), *log_q.shape[2:]), -1, dtype=torch.int64)
    best = log_q.argmax(dim=1)
    # Where one is a label, what is none has no belief at all.
    return best.masked_fill(~is_label.any(dim=1)[:, None, None], -1)


def _score_labels(
    label_maps: Tensor, labels: InstanceLabels, semantic: Tensor
) -> list[list[float]]:
    """Return the score of each label of each image; that of stuff without a pixel means nothing."""
    scores = labels.scores.double()
    for number, is_stuff in enumerate((labels.is_label & ~labels.is_thing).tolist()):
        for label in np.flatnonzero(is_stuff).tolist():
            is_here = label_maps[number] == label
            probability = semantic[number, labels.class_indices[number, label]].double()
            mean = (probability * is_here).sum() / is_here.sum().clamp(min=1)
            # In single precision the mean of many ones can pass 1.
            scores[number, label] = mean.clamp(max=1.0)
    found: list[list[float]] = scores.tolist()
    return found
