"""Match predictions in COCO's panoptic format with the labels that they are scored against.

Anybody's files are read: a prediction needs the list `annotations` alone. It is an error when a
prediction lacks an image of the truth, or when a segment is in the JSON or in the PNG alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.coco_panoptic import PanopticEntry, read_categories, read_entries
from annotools.formats.json_values import read_json
from annotools.formats.panoptic_png import decode_segment_map
from annotools.formats.pictures import decode_map, read_png_chunks
from annotools.formats.png_runs import find_png_runs
from annotools.label_maps import Runs, find_runs, measure_runs
from annotools.records import Segment
from wsps.evaluation.overlaps import RunLabel

_SEMANTIC_FOLDER = "semantic"


@dataclass(frozen=True, kw_only=True)
class ImageToScore:
    """One image: its truth, in memory or as a file lists it, and its prediction.

    `prediction_file` lists the image's predicted segments. `semantic_file` has a class map that
    was predicted without segments; None where there is none.
    """

    image_id: int | str
    truth: RunLabel | PanopticEntry
    prediction: PanopticEntry
    prediction_file: Path
    semantic_file: Path | None = None

    def read_truth(self) -> RunLabel:
        """Return the true label."""
        if isinstance(self.truth, RunLabel):
            return self.truth
        return _read_label(self.truth, self.image_id)

    def read_prediction(self) -> RunLabel:
        """Return the predicted label, void where nothing is predicted."""
        return _read_label(self.prediction, self.image_id)

    def ranks(self, ranking: str) -> Mapping[int, float]:
        """Return the numbers in [0, 1] that the file gives for a ranking; segments may lack one."""
        entry = self.prediction
        return entry.probabilities if ranking == "probability" else entry.scores


@dataclass(frozen=True, kw_only=True)
class ScoringTask:
    """The images to score, in the order of the truth, and the truth's categories.

    `num_unasked` counts predicted images that the truth does not have.
    """

    categories: CategorySet
    images: tuple[ImageToScore, ...]
    num_unasked: int


def read_panoptic_task(
    truth: Path,
    prediction: Path,
    truth_folder: Path | None = None,
    prediction_folder: Path | None = None,
) -> ScoringTask:
    """Return the images of a truth with their predictions; PNGs are read when asked for.

    Image ids match as they are; where those of one side are all texts, numbers of the other match
    as texts. A segment with `iscrowd` is a group, whatever its category. Segments come in the
    JSON's order. A predicted segment may have a `score` and a `probability`.

    Args:
        truth: the JSON with `categories` and `annotations`.
        prediction: the JSON with `annotations`.
        truth_folder: of the PNGs; None is the JSON's path without its ending.
        prediction_folder: the same for the prediction.

    Raises:
        DatasetError: for a JSON that is missing or contradicts itself, an unknown category, or an
            image without a prediction. The readers of an image raise it for a PNG that is
            missing or damaged, and for segments that JSON and PNG do not both have.
    """
    content = _read_results(truth)
    categories = read_categories(truth, content)
    true_entries = _read_entries(truth, content, truth_folder, categories)
    predicted = _read_entries(prediction, _read_results(prediction), prediction_folder, categories)
    if not true_entries:
        raise DatasetError(f"{truth}: annotations is empty: give the labels of some images")
    return _pair(categories, true_entries, prediction, predicted, f"every image of {truth}")


def match_labels(
    truth: Sequence[RunLabel], prediction: Path, categories: CategorySet
) -> ScoringTask:
    """Return labels in memory with their predictions, whose PNGs are read when asked for.

    Args:
        truth: the labels, at least one.
        prediction: a folder with `panoptic.json` and `panoptic/NAME.png`, and optionally
            `semantic/NAME.png`, 8-bit class indices, for each image or for none.
        categories: of both.

    Raises:
        DatasetError: as `read_panoptic_task`.
    """
    if not truth:
        raise DatasetError(f"{prediction}: no label to compare with: score at least one image")
    path = prediction / "panoptic.json"
    predicted = _read_entries(path, _read_results(path), None, categories)
    task = _pair(categories, truth, path, predicted, "every image that is scored")
    if not (prediction / _SEMANTIC_FOLDER).is_dir():
        return task
    images = (replace(i, semantic_file=_semantic_file(i, prediction)) for i in task.images)
    return replace(task, images=tuple(images))


def check_folder(folder: Path, remedy: str) -> None:
    """Make sure that a folder is there.

    Raises:
        DatasetError: when it is not.
    """
    try:
        is_there = folder.is_dir()
    except OSError:  # a name that is too long
        is_there = False
    if not is_there:
        raise DatasetError(f"{folder}: no such folder: {remedy}")


def read_classes(path: Path) -> NDArray[np.uint8]:
    """Return the (H, W) class indices of a PNG.

    Raises:
        DatasetError: when it is missing, damaged or of another kind.
    """
    classes = decode_map(path)
    if classes.ndim != 2 or classes.dtype != np.uint8:
        raise DatasetError(f"{path}: is not grey with 8 bits a pixel: write class indices so")
    return classes


def _read_results(path: Path) -> Any:
    return read_json(path, others="*.json")


def _read_entries(
    path: Path, content: Any, folder: Path | None, categories: CategorySet
) -> tuple[PanopticEntry, ...]:
    folder = path.with_suffix("") if folder is None else folder
    check_folder(folder, f"give the folder of the PNGs of {path}")
    known = ", ".join(str(category_id) for category_id in categories.class_index_of)
    return tuple(
        read_entries(
            path,
            content,
            folder,
            categories,
            with_scores=True,
            known=f"the truth, which has {known}",
        )
    )


def _pair(
    categories: CategorySet,
    truths: Sequence[RunLabel | PanopticEntry],
    prediction: Path,
    predicted: Sequence[PanopticEntry],
    wanted: str,
) -> ScoringTask:
    """Return each true image with its prediction.

    Args:
        categories: of the truth.
        truths: in the order to keep.
        prediction: the file of the predictions.
        predicted: its entries.
        wanted: the images that need a prediction, for messages.
    """
    # Some tools write every id as a text, "42" for 42.
    as_text = any(
        listed and all(isinstance(label.image_id, str) for label in listed)
        for listed in (truths, predicted)
    )
    true_ids, numbers = _number_by_id(truths, as_text), _number_by_id(predicted, as_text)
    if missing := [image_id for image_id in true_ids if image_id not in numbers]:
        raise DatasetError(
            f"{prediction}: image {missing[0]!r} has no prediction (images without one: "
            f"{len(missing)} of {len(true_ids)}): predict {wanted}"
        )
    images = tuple(
        ImageToScore(
            image_id=truth.image_id,
            truth=truth,
            prediction=predicted[numbers[image_id]],
            prediction_file=prediction,
        )
        for truth, image_id in zip(truths, true_ids, strict=True)
    )
    num_unasked = len(numbers.keys() - true_ids.keys())
    return ScoringTask(categories=categories, images=images, num_unasked=num_unasked)


def _number_by_id(
    labels: Sequence[RunLabel | PanopticEntry], as_text: bool
) -> dict[int | str, int]:
    number_of: dict[int | str, int] = {}
    for number, label in enumerate(labels):
        key = str(label.image_id) if as_text else label.image_id
        if number_of.setdefault(key, number) != number:
            place = f"image {key!r}" if isinstance(label, RunLabel) else label.place
            raise DatasetError(f"{place}: image_id {key!r} is given twice: drop one")
    return number_of


def _read_label(entry: PanopticEntry, image_id: int | str) -> RunLabel:
    place = f"{entry.place}: image {entry.image_id!r}"
    runs = _read_runs(entry.png_path)
    measured = measure_runs(runs)
    if unlisted := [i for i in measured if i not in entry.category_of]:
        raise DatasetError(
            f"{place}: segment {unlisted[0]} is in {entry.png_path} but not in "
            "segments_info: add it, or make its pixels 0"
        )
    if undrawn := [i for i in entry.category_of if i not in measured]:
        raise DatasetError(
            f"{place}: segment {undrawn[0]} is in segments_info but has no pixel "
            f"in {entry.png_path}: leave it out"
        )
    # The last crowd in the JSON's order is the one that the reference implementation counts.
    segments = tuple(
        Segment(
            segment_id=segment_id,
            category_id=category_id,
            area=measured[segment_id][0],
            box_xyxy=measured[segment_id][1],
            is_group=segment_id in entry.crowds,
        )
        for segment_id, category_id in entry.category_of.items()
    )
    return RunLabel(image_id=image_id, runs=runs, segments=segments)


def _read_runs(path: Path) -> Runs:
    # Runs read from the scan lines save drawing the map; a decoder tells of all other pictures.
    runs = find_png_runs(read_png_chunks(path))
    return find_runs(decode_segment_map(path)) if runs is None else runs


def _semantic_file(image: ImageToScore, prediction: Path) -> Path:
    name = image.prediction.png_path.relative_to(prediction / "panoptic")
    return prediction / _SEMANTIC_FOLDER / name
