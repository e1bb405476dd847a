"""Predict the panoptic segmentation of photos with a trained model.

Paper: Li, Arnab, Torr 2018, sec. 3.5.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from annotools.errors import DatasetError
from annotools.files import digest
from annotools.formats.json_values import read_json
from annotools.formats.panoptic_folder import (
    LABELS_FILE,
    label_files,
    name_images,
    read_written,
    write_label,
    write_label_set,
    write_map,
)
from annotools.formats.source import Source, open_source, photo_stamp
from annotools.formats.weak_json import Entry
from annotools.label_maps import build_label
from annotools.progress import track
from annotools.records import Dataset, FullLabel, Image, Photo
from annotools.settings import as_table
from annotools.work_folder import (
    MANIFEST_FILE,
    finish_folder,
    mark_done,
    read_done,
    start_folder,
    write_manifest,
)
from wsps.data import as_tensor, reduce_photo, resize_map
from wsps.networks.instance import InstanceMarginals
from wsps.networks.model import PanopticModel
from wsps.training.train import load_model

WRITTEN_BY = "annotools predict"


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


def predict_images(run: Path, source: Source, out: Path) -> None:
    """Write the predictions of a split as a label set whose segments have scores.

    `semantic/NAME.png` has the semantic network's own class indices. A run that was stopped goes
    on where it was.

    Args:
        run: the folder of a trained model.
        source: of the photos.
        out: the folder to write to: new, empty, or of an earlier run with the same settings.

    Raises:
        DatasetError: when the run or a photo cannot be read, the run has other categories than the
            source, or the folder may not be written to.
        OSError: when a file cannot be written.
    """
    model, dataset = load_model(run), open_source(source)
    images = dataset.images[: source.max_images]
    names = name_images(images, out)
    listed = list(zip(images, names, strict=True))
    # The order counts as well: a class index is a place in it.
    if tuple(dataset.categories.class_index_of) != tuple(model.categories.class_index_of):
        raise DatasetError(f"{run}: was trained for other categories than {source.root} has")
    setup = {
        # The manifest of the run names its training, so that predictions of two are never mixed.
        "run": read_json(run / MANIFEST_FILE, "*.json"),
        # The digest says which images a limit leaves: one above their number changes nothing.
        "source": as_table(replace(source, max_images=None)),
        "images": digest([[image.image_id, name] for image, name in listed]),
    }
    planned = [LABELS_FILE, *(f for name in names for f in label_files(name, with_maps=True)[:2])]
    start_folder(out, WRITTEN_BY, setup, planned)
    write = partial(_write_prediction, model, dataset, source.root, out)
    entries = [write(*one) for one in track(listed, "predicting", total=len(listed))]
    write_label_set(out, model.categories, zip(images, entries, strict=True))
    finish_folder(out, WRITTEN_BY)
    write_manifest(out, WRITTEN_BY, ("annotools", "torch"), setup, {"images": len(images)})


def _write_prediction(
    model: PanopticModel, dataset: Dataset, root: Path, out: Path, image: Image, name: str
) -> Entry:
    """Write the files of an image, unless they are there, and return its entry."""
    key = photo_stamp(root, image)
    entry: Entry | None = read_done(out, name, key)
    _, semantic_file, _ = label_files(name, with_maps=True)
    is_whole = read_written(out, image, entry) is not None and (out / semantic_file).is_file()
    if entry is not None and is_whole:
        return entry
    prediction = predict(model, dataset.read_photo(image), image.image_id)
    write_map(out / semantic_file, prediction.semantic_classes)
    entry = write_label(out, name, image, prediction.label, prediction.scores)
    # The mark comes after the files: what a killed run left without one is made again.
    mark_done(out, name, key, entry)
    return entry


@torch.no_grad()
def predict(model: PanopticModel, photo: Photo, image_id: int | str) -> Prediction:
    """Predict the panoptic segmentation of one photo.

    Args:
        model: trained.
        photo: (H, W, 3) RGB of any size.
        image_id: that the prediction shall carry.
    """
    settings = model.recipe.instance
    model.semantic.eval()
    image = as_tensor(reduce_photo(photo, model.recipe.images.max_side)).to(model.device)
    semantic = model.semantic(image[None])[0].softmax(dim=0)  # (K, h, w)
    (detections,) = model.detector.detect(
        image[None], settings.score_threshold, settings.max_detections
    )
    side = torch.tensor([max(image.shape[1:])], device=model.device)
    marginals = model.instance(
        semantic[None], image[None], side, [detections], model.recipe.prediction.iterations
    )
    labels = _most_probable(marginals.log_q[0])  # (h, w)
    size_wh = (photo.shape[1], photo.shape[0])
    # Segment id 0 is void in the format, so that the first label gets the id 1, and none 0.
    segment_map = resize_map(labels.cpu().numpy() + 1, size_wh).astype(np.int32)
    return Prediction(
        label=build_label(image_id, segment_map, _categories_of_labels(model, marginals)),
        scores=_score_labels(labels, marginals, semantic),
        semantic_classes=resize_map(semantic.argmax(dim=0).cpu().numpy(), size_wh).astype(np.uint8),
    )


def _most_probable(log_q: torch.Tensor) -> torch.Tensor:
    """Return the best of (L, H, W) labels at each pixel, -1 where there is no label at all."""
    if len(log_q) == 0:
        return torch.full(log_q.shape[1:], -1)
    return log_q.argmax(dim=0)


def _categories_of_labels(model: PanopticModel, marginals: InstanceMarginals) -> dict[int, int]:
    """Return the category id of each label's segment id, which is its number plus one."""
    categories = model.categories.categories
    return {
        label + 1: categories[class_index].category_id
        for label, class_index in enumerate(marginals.labels.class_indices[0].tolist())
    }


def _score_labels(
    labels: torch.Tensor, marginals: InstanceMarginals, semantic: torch.Tensor
) -> dict[int, float]:
    scores = {}
    of_labels = marginals.labels
    for label in torch.unique(labels[labels >= 0]).tolist():
        if of_labels.is_thing[0, label]:
            scores[label + 1] = float(of_labels.scores[0, label])
        else:
            probability = semantic[of_labels.class_indices[0, label]]
            # In single precision the mean of many ones can pass 1.
            scores[label + 1] = float(probability[labels == label].mean(dtype=torch.float64))
    return scores
