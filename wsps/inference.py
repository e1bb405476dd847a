"""Segment the photos of a source with a trained model: a folder in, a label set out.

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

from annotools.categories import CategorySet
from annotools.drawing.labels import encode_jpeg
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
from annotools.parallel import available_processors, map_ahead
from annotools.progress import track
from annotools.records import Dataset, FullLabel, Image, Photo
from annotools.settings import as_table, read_settings, set_by_path
from annotools.work_folder import (
    MANIFEST_FILE,
    check_apart,
    check_outside,
    filling,
    finish_folder,
    mark_done,
    read_done,
    write_manifest,
)
from wsps.detections import GivenDetections, hash_detections, read_detections
from wsps.networks.model import PanopticModel
from wsps.prediction import Prediction, draw_overlay
from wsps.recipe import ImageSettings, InstanceSettings, PredictionSettings, Recipe
from wsps.students import check_given, predict_batch
from wsps.training.finished_runs import load_model

WRITTEN_BY = "annotools predict"

BATCH_PIXELS = 2**19
"""Photos of one size go through the networks of a GPU together while they have no more pixels, as
many as one photo of Cityscapes at half its size."""

_CHANGEABLE = ("images.max_side", "instance.score_threshold", "instance.nms_threshold")
"""Settings with which a model was trained and that can be others when it predicts."""

_MAX_THREADS = 4


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

    `entry` is that of an earlier run, None without one, and `label` its label where that is still
    to be drawn; `photo` is None where nothing is left to do, and `prediction` until the networks
    have seen the photo.
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
        changes: other settings than the run's, as `prediction.iterations=3`, as
            `change_recipe` takes them.
        overlays: whether overlays are written too.
        overwrite: remove what such a run wrote to `out`; None where nobody can ask for it.

    Raises:
        DatasetError: when the run, the detections or a photo cannot be read, the run has other
            categories than the source or no detector where no detections are given, or the folder
            may not be written to.
        RecipeError: for an impossible change, where the run's student takes no detections or wants
            masks with them, or where memory is not enough.
        OSError: when a file cannot be written.
    """
    model, dataset = load_model(run), open_source(source)
    model = replace(model, recipe=change_recipe(model.recipe, changes))
    given = _read_detections(run, model, dataset, detections)
    images = dataset.images[: source.max_images]
    if not images:
        raise DatasetError(f"{source.root}: no photo is there to predict: check the path")
    _check_apart(run, out, source, dataset, detections)
    names = name_images(images, out)
    listed = list(zip(images, names, strict=True))
    # The order counts as well: a class index is a place in it.
    is_same = tuple(dataset.categories.class_index_of) == tuple(model.categories.class_index_of)
    if source.format_name != PHOTOS_ALONE and not is_same:
        raise DatasetError(f"{run}: was trained for other categories than {source.root} has")
    setup = {
        # The manifest of the run names its training, so that predictions of two are never mixed.
        "run": read_json(run / MANIFEST_FILE, "*.json"),
        "settings": _tables(model.recipe),
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
    with filling(out, WRITTEN_BY, setup, planned, overwrite=overwrite):
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
        counts = {"images": len(images), "left_out": [drop.place for drop in dataset.drops]}
        write_manifest(out, WRITTEN_BY, ("annotools", "torch"), setup, counts)
    found = _count(model.categories, entries, num_resumed=sum(is_old for _, is_old in done))
    return found if given is None else replace(found, remarks=given.remarks)


def change_recipe(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """Return a recipe with other settings for prediction, from texts as `prediction.iterations=3`.

    Raises:
        RecipeError: for a setting that is impossible, or on which the trained weights depend.
    """
    table = _tables(recipe)
    for change in changes:
        name = change.partition("=")[0].strip()
        if name not in _CHANGEABLE and not name.startswith("prediction."):
            raise RecipeError(
                f"--set {change!r}: the model was trained with what it was; for prediction only "
                f"these can be others: prediction.*, {', '.join(_CHANGEABLE)}"
            )
        table = set_by_path(table, change)
    return replace(
        recipe,
        images=read_settings(ImageSettings, table["images"], where="--set: images"),
        instance=read_settings(InstanceSettings, table["instance"], where="--set: instance"),
        prediction=read_settings(
            PredictionSettings, table["prediction"], where="--set: prediction"
        ),
    )


def _tables(recipe: Recipe) -> dict[str, Any]:
    return {name: as_table(getattr(recipe, name)) for name in ("images", "instance", "prediction")}


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
    check_given(model.student, model.recipe.instance)
    # Those of all images count here, so that a limit does not make a good file one of others.
    threshold = model.recipe.instance.score_threshold
    return read_detections(path, dataset.images, model.categories, threshold)


def _check_apart(
    run: Path, out: Path, source: Source, dataset: Dataset, detections: Path | None
) -> None:
    given = () if detections is None else (detections,)
    check_apart(out, source.root, (*dataset.source_files, *given))
    read = [run]
    # What is written there would be photos of the next run.
    if source.format_name == PHOTOS_ALONE:
        read.append(source.root if source.photos is None else source.photos)
    # The list may be that of a label set.
    if (source.root.parent / MANIFEST_FILE).is_file():
        read.append(source.root.parent)
    check_outside("--out", out, read)


def _overlay_file(name: str) -> str:
    return f"overlays/{name}.jpg"


def _item(name: str) -> str:
    return f"images/{name}"


def _overlay_item(name: str) -> str:
    return f"overlays/{name}"


def _read(folder: _Folder, listed: tuple[Image, str]) -> _Item:
    """Return what is there of an image: what an earlier run wrote, else its photo."""
    image, name = listed
    key = photo_stamp(folder.root, image)
    item = _Item(image=image, name=name, key=key)
    entry: Entry | None = read_done(folder.out, _item(name), key)
    if entry is not None:
        item = replace(item, entry=entry)
        if not folder.overlays or read_done(folder.out, _overlay_item(name), key) is not None:
            return item
        item = replace(item, label=read_written(folder.out, image, entry))
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
    # Marks come after the files: what a killed run left without one is made again.
    if item.prediction is not None:
        label = item.prediction.label
        label_file, semantic_file, _ = label_files(name, with_maps=True)
        write_map(out / semantic_file, item.prediction.semantic_classes)
        entry = write_label(out, name, item.image, label, item.prediction.scores)
        mark_done(out, _item(name), item.key, entry, [label_file, semantic_file])
    assert entry is not None
    if folder.overlays and item.photo is not None and label is not None:
        drawn = draw_overlay(item.photo, label, folder.model.categories)
        with name_place(str(out / _overlay_file(name))):
            content = encode_jpeg(drawn)
        write_whole(out / _overlay_file(name), content, flush=False)
        mark_done(out, _overlay_item(name), item.key, name, [_overlay_file(name)])
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
