"""Small pictures of a few scored images, which a trial keeps when its predictions go.

All trials of a study draw the same images: the first ones that have things.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.drawing.labels import draw_label, encode_jpeg, enlarge
from annotools.files import write_json, write_whole
from annotools.formats import read_dataset
from annotools.formats.source import Source, open_source, same_image
from annotools.label_maps import with_map
from annotools.read_files import read_own_json
from annotools.records import FullLabel, Photo
from wsps.evaluation.overlaps import RunLabel

EXAMPLES_FOLDER = "examples"
"""The name of the folder in that of a trial."""

LIST_FILE = "examples.json"

NUM_EXAMPLES = 3

SIDE = 400
"""Pixels of the longer side that large photos are brought down to, and small ones up towards."""

QUALITY = 80
"""Of the JPEG files: with less, outlines of one pixel fray."""

PICTURES = ("photo", "truth", "prediction")


@dataclass(frozen=True, kw_only=True)
class Example:
    """What a trial made of one image: JPEG files, and the categories in label and prediction.

    `colours` has the colour, as `#rrggbb`, in which each of the categories is drawn.
    """

    file_name: str
    photo: bytes
    truth: bytes
    prediction: bytes
    true_names: tuple[str, ...]
    predicted_names: tuple[str, ...]
    colours: Mapping[str, str]


def keep_examples(
    source: Source, truth: Sequence[RunLabel], predictions: Path, folder: Path
) -> None:
    """Draw photo, truth and prediction of the first images with things into a trial's folder.

    Where no image has things the first images are drawn.

    Args:
        source: of the images that are scored.
        truth: their labels, in the order of the source.
        predictions: the label set that was predicted.
        folder: to write to; its list of pictures is written last.
    """
    dataset = open_source(source)
    found = read_dataset("coco-panoptic", predictions, "photos")
    things = {c.category_id for c in dataset.categories.categories if c.is_thing}
    with_things = [one for one in truth if any(s.category_id in things for s in one.segments)]
    entries = []
    for place, label in enumerate((with_things or truth)[:NUM_EXAMPLES]):
        image = dataset.image_of[label.image_id]
        photo = dataset.read_photo(image)
        true, predicted = dataset.read_label(image), found.read_label(same_image(found, image))
        factor = max(1, SIDE // max(photo.shape[:2]))
        pictures = {
            "photo": enlarge(_shrink_photo(photo), factor),
            "truth": _draw(photo, true, dataset.categories, factor),
            "prediction": _draw(photo, predicted, dataset.categories, factor),
        }
        for name in PICTURES:
            write_whole(_path(folder, place, name), encode_jpeg(pictures[name], QUALITY))
        names = [_colours(one, dataset.categories) for one in (true, predicted)]
        entries.append(
            {
                "file_name": image.file_name,
                "true_names": list(names[0]),
                "predicted_names": list(names[1]),
                "colours": names[0] | names[1],
            }
        )
    write_json(folder / LIST_FILE, entries)


def read_examples(folder: Path) -> tuple[Example, ...]:
    """Return the examples of a trial; none where an older version ran it, or a file is missing."""
    entries = read_own_json(folder / LIST_FILE)
    if not isinstance(entries, list):
        return ()
    try:
        return tuple(_read_example(folder, place, entry) for place, entry in enumerate(entries))
    except (OSError, KeyError, TypeError, AttributeError):
        # A page without pictures is better than none.
        return ()


def _read_example(folder: Path, place: int, entry: Mapping[str, Any]) -> Example:
    photo, truth, prediction = (_path(folder, place, name).read_bytes() for name in PICTURES)
    return Example(
        file_name=str(entry["file_name"]),
        photo=photo,
        truth=truth,
        prediction=prediction,
        true_names=tuple(map(str, entry["true_names"])),
        predicted_names=tuple(map(str, entry["predicted_names"])),
        colours={str(name): str(colour) for name, colour in entry["colours"].items()},
    )


def _path(folder: Path, place: int, name: str) -> Path:
    return folder / f"{place}_{name}.jpg"


def _draw(photo: Photo, label: FullLabel, categories: CategorySet, factor: int) -> Photo:
    small, small_label = _shrink_photo(photo), _shrink_label(label)
    return draw_label(small, small_label, categories, ["segments"], factor=factor, named=False)


def _shrink_photo(photo: Photo) -> Photo:
    rows, columns = _kept(photo)
    shrunk = cv2.resize(photo, (len(columns), len(rows)), interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, dtype=np.uint8)


def _shrink_label(label: FullLabel) -> FullLabel:
    rows, columns = _kept(label.segment_map)
    return with_map(label, label.segment_map[np.ix_(rows, columns)])


def _kept(pixels: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows and columns that a picture of at most `SIDE` pixels keeps."""
    height, width = pixels.shape[:2]
    scale = max(1.0, max(height, width) / SIDE)
    rows, columns = (
        ((np.arange(max(1, round(side / scale))) + 0.5) * scale).astype(np.intp).clip(max=side - 1)
        for side in (height, width)
    )
    return rows, columns


def _colours(label: FullLabel, categories: CategorySet) -> dict[str, str]:
    """Return the categories of a label with their colours, those with most pixels first."""
    areas: dict[int, int] = {}
    for segment in label.segments:
        areas[segment.category_id] = areas.get(segment.category_id, 0) + segment.area
    found = [categories.by_id(i) for i in sorted(areas, key=lambda i: -areas[i])]
    return {category.name: "#{:02x}{:02x}{:02x}".format(*category.colour) for category in found}
