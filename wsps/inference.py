"""From a photo to a panoptic prediction. Paper: Li, Arnab, Torr 2018, sec. 3.5."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from annotools.label_maps import build_label
from annotools.records import FullLabel, Photo
from wsps.data import normalise, reduce_photo
from wsps.networks.instance import InstanceMarginals
from wsps.networks.model import PanopticModel


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


@torch.no_grad()
def predict(model: PanopticModel, photo: Photo, image_id: int | str) -> Prediction:
    """Predict the panoptic segmentation of one photo.

    Args:
        model: trained.
        photo: (H, W, 3) RGB of any size.
        image_id: that the prediction shall carry.
    """
    settings = model.recipe.instances
    model.semantic.eval()
    image = normalise(reduce_photo(photo, model.recipe.max_side)).to(model.device)
    semantic = model.semantic(image[None])[0].softmax(dim=0)  # (K, h, w)
    (detections,) = model.detector.detect(
        image[None], settings.score_threshold, settings.max_detections
    )
    marginals = model.instance(semantic, image, detections, settings.test_iterations)
    labels = marginals.log_q.argmax(dim=0)  # (h, w)
    size_wh = (photo.shape[1], photo.shape[0])
    segment_map = _resize(labels.cpu().numpy() + 1, size_wh).astype(np.int32)
    return Prediction(
        label=build_label(image_id, segment_map, _categories_of_labels(model, marginals)),
        scores=_score_labels(labels, marginals, semantic),
        semantic_classes=_resize(semantic.argmax(dim=0).cpu().numpy(), size_wh).astype(np.uint8),
    )


def _categories_of_labels(model: PanopticModel, marginals: InstanceMarginals) -> dict[int, int]:
    """Return the category id of each label's segment id, which is its number plus one."""
    categories = model.categories.categories
    return {
        label + 1: categories[class_index].category_id
        for label, class_index in enumerate(marginals.class_indices.tolist())
    }


def _score_labels(
    labels: torch.Tensor, marginals: InstanceMarginals, semantic: torch.Tensor
) -> dict[int, float]:
    scores = {}
    for label in torch.unique(labels).tolist():
        if label < marginals.num_things:
            scores[label + 1] = float(marginals.scores[label])
        else:
            probability = semantic[marginals.class_indices[label]]
            # In single precision the mean of many ones can pass 1.
            scores[label + 1] = float(probability[labels == label].mean(dtype=torch.float64))
    return scores


def _resize(labels: NDArray[np.int64], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """Enlarge label numbers, exact below 2**24, to a (width, height) by nearest pixel."""
    exact = cv2.resize(labels.astype(np.float32), size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
    return exact.astype(np.float32, copy=False)
