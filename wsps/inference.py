"""Predict the panoptic segmentation of photos with a trained model.

While the networks see photos, threads read the next ones and write what was found in the last.

Paper: Li, Arnab, Torr 2018, sec. 3.5.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from annotools.categories import CategorySet
from annotools.drawing.labels import draw_label, encode_jpeg, readable_factor
from annotools.errors import DatasetError, RecipeError, name_place
from annotools.files import digest, write_whole
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
from annotools.formats.photo_folder import PHOTOS_ALONE
from annotools.formats.source import Source, open_source, photo_stamp
from annotools.formats.weak_json import Entry
from annotools.label_maps import build_label
from annotools.parallel import available_processors, map_ahead
from annotools.progress import track
from annotools.records import Dataset, FullLabel, Image, Photo
from annotools.settings import as_table, read_settings, set_by_path
from annotools.work_folder import (
    MANIFEST_FILE,
    check_apart,
    finish_folder,
    mark_done,
    read_done,
    start_folder,
    write_manifest,
)
from wsps.data import as_tensor, reduce_photo, resize_map
from wsps.detections import Detections, GivenDetections, hash_detections, read_detections
from wsps.device import autocast
from wsps.memory import name_memory_remedy
from wsps.networks.instance import InstanceLabels
from wsps.networks.model import PanopticModel
from wsps.recipe import MIN_TILE_SIDE, ImageSettings, PredictionSettings, Recipe
from wsps.tiles import blend_tiles
from wsps.training.train import load_model

WRITTEN_BY = "annotools predict"

BATCH_PIXELS = 2**19
"""Photos of one size go through the networks of a GPU together while they have no more pixels, as
many as one photo of Cityscapes at half its size."""

_MAX_THREADS = 4


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
class PredictedImages:
    """What a run came to.

    `num_images` are in the label set, `num_resumed` of them from an earlier run. `segments` and
    `images_with` count by category id, in the model's order, segments and images that have one.
    `remarks` are about detections that were given.
    """

    categories: CategorySet
    num_images: int
    num_resumed: int
    segments: Mapping[int, int]
    images_with: Mapping[int, int]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Folder:
    """What is read and written: of a dataset, from its root, to a folder, with overlays or not.

    `given` are detections in place of the detector's, None without a file of them.
    """

    model: PanopticModel
    given: GivenDetections | None
    dataset: Dataset
    root: Path
    out: Path
    overlays: bool


@dataclass(frozen=True, kw_only=True)
class _Item:
    """An image on its way. `key` names the state of its photo.

    `entry` and `label` are those of an earlier run, None without one; `photo` is None where nothing
    is left to do, and `prediction` until the networks have seen the photo.
    """

    image: Image
    name: str
    key: str
    entry: Entry | None = None
    label: FullLabel | None = None
    photo: Photo | None = None
    prediction: Prediction | None = None


def predict_images(
    run: Path,
    source: Source,
    out: Path,
    *,
    detections: Path | None = None,
    changes: Sequence[str] = (),
    overlays: bool = False,
    overwrite: bool | None = None,
) -> PredictedImages:
    """Write the predictions of a split as a label set whose segments have scores.

    `semantic/NAME.png` has the semantic network's own class indices, `overlays/NAME.jpg`, if asked,
    the photo with its segments drawn over it, a small one enlarged as `draw` does it. A run that
    was stopped goes on where it was; on a GPU, where photos of one size go together, what it adds
    may then differ by a few pixels from that of a run that was not.

    Args:
        run: the folder of a trained model.
        source: of the photos.
        out: the folder to write to: new, empty, or of an earlier run with the same settings.
        detections: a COCO results file with detections in the photos, as `read_detections` takes
            it, which replace those of the run's detector; None lets it detect.
        changes: other settings than the run's, as `prediction.iterations=3`; of `images.max_side`
            and the table `prediction`.
        overlays: whether overlays are written too.
        overwrite: remove what such a run wrote to `out`; None where nobody can ask for it.

    Raises:
        DatasetError: when the run, the detections or a photo cannot be read, the run has other
            categories than the source or no detector where no detections are given, or the folder
            may not be written to.
        RecipeError: for an impossible change, or where memory is not enough.
        OSError: when a file cannot be written.
    """
    model, dataset = load_model(run), open_source(source)
    model = replace(model, recipe=change_recipe(model.recipe, changes))
    given = _read_detections(run, model, dataset, detections)
    images = dataset.images[: source.max_images]
    _check_apart(out, source, dataset, detections)
    names = name_images(images, out)
    listed = list(zip(images, names, strict=True))
    # The order counts as well: a class index is a place in it.
    is_same = tuple(dataset.categories.class_index_of) == tuple(model.categories.class_index_of)
    if source.format_name != PHOTOS_ALONE and not is_same:
        raise DatasetError(f"{run}: was trained for other categories than {source.root} has")
    setup = {
        # The manifest of the run names its training, so that predictions of two are never mixed.
        "run": read_json(run / MANIFEST_FILE, "*.json"),
        "settings": _changeable(model.recipe),
        # The digest says which images a limit leaves: one above their number changes nothing.
        "source": as_table(replace(source, max_images=None)),
        "images": digest([[image.image_id, name] for image, name in listed]),
    }
    if detections is not None:
        setup["detections"] = hash_detections(detections)
    planned = [LABELS_FILE]
    for name in names:
        # Overlays may be asked for in a later run, so that they are planned in any case.
        planned += [*label_files(name, with_maps=True)[:2], _overlay_file(name)]
    start_folder(out, WRITTEN_BY, setup, planned, overwrite=overwrite)
    folder = _Folder(
        model=model, given=given, dataset=dataset, root=source.root, out=out, overlays=overlays
    )
    threads = min(_MAX_THREADS, available_processors())
    with (
        closing(map_ahead(partial(_read, folder), listed, threads)) as items,
        closing(
            map_ahead(partial(_write, folder), _predict_all(folder, items), threads)
        ) as written,
    ):
        done = list(track(written, "predicting", total=len(listed)))
    entries = [entry for entry, _ in done]
    write_label_set(out, model.categories, zip(images, entries, strict=True))
    finish_folder(out, WRITTEN_BY)
    write_manifest(out, WRITTEN_BY, ("annotools", "torch"), setup, {"images": len(images)})
    found = _count(model.categories, entries, num_resumed=sum(is_old for _, is_old in done))
    return found if given is None else replace(found, remarks=given.remarks)


def change_recipe(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Return a recipe with other settings for prediction, from texts as `prediction.iterations=3`.

    Raises:
        RecipeError: for a setting that is impossible, or on which the trained weights depend.
    """
    table = _changeable(recipe)
    for change in changes:
        name = change.partition("=")[0].strip()
        if name != "images.max_side" and not name.startswith("prediction."):
            raise RecipeError(
                f"--set {change!r}: the model was trained with what it was: only prediction.* and "
                "images.max_side can be another for prediction"
            )
        table = set_by_path(table, change)
    return replace(
        recipe,
        images=read_settings(ImageSettings, table["images"], where="--set: images"),
        prediction=read_settings(
            PredictionSettings, table["prediction"], where="--set: prediction"
        ),
    )


def _changeable(recipe: Recipe) -> dict[str, Any]:
    return {name: as_table(getattr(recipe, name)) for name in ("images", "prediction")}


def _read_detections(
    run: Path, model: PanopticModel, dataset: Dataset, path: Path | None
) -> GivenDetections | None:
    """Return the detections of a file in a dataset's photos, None where the model detects."""
    if path is None:
        if model.detector is None:
            raise DatasetError(
                f"{run}: has no detector, because it was trained on given detections: give "
                "--detections a file of detections in these photos"
            )
        return None
    # Those of all images count here, so that a limit does not make a good file one of others.
    threshold = model.recipe.instance.score_threshold
    return read_detections(path, dataset.images, model.categories, threshold)


def _check_apart(out: Path, source: Source, dataset: Dataset, detections: Path | None) -> None:
    given = () if detections is None else (detections,)
    check_apart(out, source.root, (*dataset.source_files, *given))
    # What is written there would be photos of the next run.
    is_folder = source.format_name == PHOTOS_ALONE and source.root.is_dir()
    if is_folder and out.resolve().is_relative_to(source.root.resolve()):
        raise DatasetError(f"{out}: lies in {source.root}: give --out a folder elsewhere")


def _overlay_file(name: str) -> str:
    return f"overlays/{name}.jpg"


def _read(folder: _Folder, listed: tuple[Image, str]) -> _Item:
    """Return what is there of an image: what an earlier run wrote, else its photo."""
    image, name = listed
    key = photo_stamp(folder.root, image)
    item = _Item(image=image, name=name, key=key)
    entry: Entry | None = read_done(folder.out, name, key)
    label = read_written(folder.out, image, entry)
    _, semantic_file, _ = label_files(name, with_maps=True)
    if label is not None and (folder.out / semantic_file).is_file():
        item = replace(item, entry=entry, label=label)
        if not folder.overlays or (folder.out / _overlay_file(name)).is_file():
            return item
    return replace(item, photo=folder.dataset.read_photo(image))


def _predict_all(folder: _Folder, items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield the items, in order, with the predictions that were missing."""
    model = folder.model
    most = BATCH_PIXELS if model.device.type == "cuda" else 0
    for batch in _in_batches(items, most):
        photos = [item.photo for item in batch if item.entry is None and item.photo is not None]
        if not photos:
            yield from batch
            continue
        image_ids = [item.image.image_id for item in batch]
        given = None if folder.given is None else [folder.given.of(i) for i in image_ids]
        with name_place(str(batch[0].image.path or batch[0].image.file_name)):
            found = predict_batch(model, photos, image_ids, given)
        for item, prediction in zip(batch, found, strict=True):
            yield replace(item, prediction=prediction)


def _in_batches(items: Iterable[_Item], most_pixels: int) -> Iterator[list[_Item]]:
    """Yield neighbours that lack a prediction and have photos of one size, all others alone.

    Args:
        items: in order.
        most_pixels: of the photos of several items together.
    """
    batch: list[_Item] = []
    for item in items:
        shape = None if item.entry is not None or item.photo is None else item.photo.shape
        first = None if not batch or batch[0].photo is None else batch[0].photo
        is_alike = first is not None and batch[0].entry is None and first.shape == shape
        pixels = 0 if shape is None else (len(batch) + 1) * shape[0] * shape[1]
        if batch and not (is_alike and pixels <= most_pixels):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def _write(folder: _Folder, item: _Item) -> tuple[Entry, bool]:
    """Write the files of an image and return its entry, and whether it was there before."""
    out, name, entry, label = folder.out, item.name, item.entry, item.label
    if item.prediction is not None:
        label = item.prediction.label
        _, semantic_file, _ = label_files(name, with_maps=True)
        write_map(out / semantic_file, item.prediction.semantic_classes)
        entry = write_label(out, name, item.image, label, item.prediction.scores)
    assert entry is not None
    if folder.overlays and item.photo is not None and label is not None:
        drawn = draw_overlay(item.photo, label, folder.model.categories)
        write_whole(out / _overlay_file(name), encode_jpeg(drawn))
    if item.prediction is not None:
        # The mark comes after the files: what a killed run left without one is made again.
        mark_done(out, name, item.key, entry)
    return entry, item.prediction is None


def _count(categories: CategorySet, entries: Sequence[Entry], num_resumed: int) -> PredictedImages:
    segments, images_with = Counter[int](), Counter[int]()
    for entry in entries:
        ids = [info["category_id"] for info in entry["segments_info"]]
        segments.update(ids)
        images_with.update(set(ids))
    order = categories.class_index_of
    return PredictedImages(
        categories=categories,
        num_images=len(entries),
        num_resumed=num_resumed,
        segments={category_id: segments[category_id] for category_id in order},
        images_with={category_id: images_with[category_id] for category_id in order},
    )


def predict(
    model: PanopticModel, photo: Photo, image_id: int | str, given: Detections | None = None
) -> Prediction:
    """Predict the panoptic segmentation of one photo.

    Args:
        model: trained.
        photo: (H, W, 3) RGB of any size.
        image_id: that the prediction shall carry.
        given: detections in the photo, as `predict_batch` takes them.

    Raises:
        RecipeError: where memory is not enough; it says what to lower.
    """
    (prediction,) = predict_batch(model, [photo], [image_id], None if given is None else [given])
    return prediction


def draw_overlay(photo: Photo, label: FullLabel, categories: CategorySet) -> Photo:
    """Return a photo with the segments of its label over it, enlarged until names can be read."""
    factor = readable_factor(photo.shape[1])
    return draw_label(photo, label, categories, ["segments"], factor=factor)


@torch.no_grad()
def predict_batch(
    model: PanopticModel,
    photos: Sequence[Photo],
    image_ids: Sequence[int | str],
    given: Sequence[Detections] | None = None,
) -> list[Prediction]:
    """Predict the panoptic segmentation of photos of one size, all at once.

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
    recipe = model.recipe
    reduced = [as_tensor(reduce_photo(photo, recipe.images.max_side)) for photo in photos]
    images = torch.stack(reduced).to(model.device)  # (B, 3, h, w)
    semantic = _see_classes(model, images)
    if given is None:
        detections = _detect(model, images)
    else:
        height, width = photos[0].shape[:2]
        scale = images.shape[3] / width, images.shape[2] / height
        detections = [_take_given(model, found, scale) for found in given]
    longer = max(images.shape[2:])
    sides = torch.tensor([longer] * len(photos), device=model.device)
    with name_memory_remedy(_reduce_photos(longer)):
        marginals = model.instance(
            semantic, images, sides, detections, recipe.prediction.iterations
        )
        label_maps = _most_probable(marginals.log_q, marginals.labels.is_label)  # (B, h, w)
        scores = _score_labels(label_maps, marginals.labels, semantic)
        classes = semantic.argmax(dim=1).to(torch.uint8).cpu().numpy()
    class_indices = marginals.labels.class_indices.tolist()
    predictions = []
    for number, labels in enumerate(label_maps.cpu().numpy()):
        size_wh = (photos[number].shape[1], photos[number].shape[0])
        # Segment id 0 is void in the format, so that the first label gets the id 1, and none 0.
        segment_map = resize_map(labels + 1, size_wh).astype(np.int32)
        category_of = {
            label + 1: model.categories.categories[class_index].category_id
            for label, class_index in enumerate(class_indices[number])
        }
        predictions.append(
            Prediction(
                label=build_label(image_ids[number], segment_map, category_of),
                scores={i + 1: scores[number][i] for i in np.unique(labels).tolist() if i >= 0},
                semantic_classes=resize_map(classes[number], size_wh).astype(np.uint8),
            )
        )
    return predictions


def _see_classes(model: PanopticModel, images: Tensor) -> Tensor:
    """Return (B, K, h, w) class probabilities of (B, 3, h, w) images.

    The semantic network runs here and nowhere else in a prediction.
    """
    recipe, settings = model.recipe, model.recipe.prediction
    model.semantic.eval()

    def class_probabilities(part: Tensor) -> Tensor:
        logits: Tensor = model.semantic(part)
        return logits.float().softmax(dim=1)

    longer = max(images.shape[2:])
    side = longer if settings.tile_side is None else min(longer, settings.tile_side)
    remedy = _reduce_photos(longer)
    if side // 2 >= MIN_TILE_SIDE:
        remedy = f"set prediction.tile_side = {side // 2}, or {remedy.removeprefix('set ')}"
    with name_memory_remedy(remedy), autocast(model.device, recipe.descent.precision):
        return blend_tiles(class_probabilities, images, settings.tile_side, settings.tile_overlap)


def _detect(model: PanopticModel, images: Tensor) -> list[Detections]:
    """Return the detections of the model's detector in (B, 3, h, w) images.

    The detector runs here and nowhere else in a prediction. It sees whole images: a box that a tile
    cuts would stand beside the whole one.
    """
    assert model.detector is not None
    recipe, remedy = model.recipe, _reduce_photos(max(images.shape[2:]))
    with name_memory_remedy(remedy), autocast(model.device, recipe.descent.precision):
        return model.detector.detect(
            images, recipe.instance.score_threshold, recipe.instance.max_detections
        )


def _take_given(
    model: PanopticModel, given: Detections, scale_xy: tuple[float, float]
) -> Detections:
    """Return the best detections of a photo, on the model's device, as in the reduced photo."""
    best = given.pick(slice(model.recipe.instance.max_detections))
    boxes_xyxy = best.boxes_xyxy * torch.tensor(scale_xy * 2)
    return replace(best, boxes_xyxy=boxes_xyxy).to(model.device)


def _reduce_photos(longer: int) -> str:
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
