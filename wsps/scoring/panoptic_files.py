"""Match predictions in COCO's panoptic format with the labels that they are scored against.

Anybody's files are read: a prediction needs the list `annotations` alone. It is an error when a
prediction lacks an image of the truth, or when a segment is in the JSON or in the PNG alone.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.coco_panoptic import (
    PanopticEntry,
    read_categories,
    read_entries,
    refuse_instances,
)
from annotools.formats.forms import OTHER_IDS, Forms, make_number, read_coco, same_ids
from annotools.formats.json_values import entries
from annotools.formats.panoptic_png import read_runs
from annotools.formats.pictures import decode_map
from annotools.label_maps import measure_runs
from annotools.records import Segment
from wsps.evaluation.image_scores import KEYS
from wsps.evaluation.overlaps import RunLabel
from wsps.scoring.remarks import file_remarks

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

    `num_unasked` counts predicted images that the truth does not have. `remarks` say what is
    particular to the files: what was taken in another form, names that differ.
    """

    categories: CategorySet
    images: tuple[ImageToScore, ...]
    num_unasked: int
    remarks: tuple[str, ...] = ()

    @property
    def files(self) -> Iterator[Path]:
        """The files that are read for the images, beside the lists."""
        for image in self.images:
            if isinstance(image.truth, PanopticEntry):
                yield image.truth.png_path
            yield image.prediction.png_path
            if image.semantic_file is not None:
                yield image.semantic_file


def read_panoptic_task(
    truth: Path,
    prediction: Path,
    truth_folder: Path | None = None,
    prediction_folder: Path | None = None,
) -> ScoringTask:
    """Return the images of a truth with their predictions; PNGs are read when asked for.

    Image ids match as they are, or as `same_ids` has it. A segment with `iscrowd` is a group,
    whatever its category. Segments come in the JSON's order. A predicted segment may have a `score`
    and a `probability`.

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
    true_forms: Forms = Counter()
    forms: Forms = Counter()
    true_content, content = read_coco(truth, true_forms), read_coco(prediction, forms)
    refuse_instances(truth, true_content)
    categories = read_categories(truth, true_content)
    true_entries = _read_entries(truth, true_content, truth_folder, categories)
    predicted = _read_predicted(prediction, content, prediction_folder, categories, forms)
    if not true_entries:
        raise DatasetError(f"{truth}: annotations is empty: give the labels of some images")
    wanted = f"every image of {truth}"
    task = _pair(categories, true_entries, prediction, predicted, wanted, forms)
    remarks = (
        *file_remarks(truth, true_forms),
        *file_remarks(prediction, forms),
        *_name_remarks(prediction, content, categories),
    )
    return replace(task, remarks=remarks)


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
    forms: Forms = Counter()
    predicted = _read_predicted(path, read_coco(path, forms), None, categories, forms)
    task = _pair(categories, truth, path, predicted, "every image that is scored", forms)
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


def _read_predicted(
    path: Path, content: Any, folder: Path | None, categories: CategorySet, forms: Forms
) -> tuple[PanopticEntry, ...]:
    for _, entry in entries(path, content, "annotations"):
        segments = entry.get("segments_info")
        # What is no list of objects is told where it is read.
        for segment in segments if isinstance(segments, list) else ():
            for key in KEYS.values() if isinstance(segment, dict) else ():
                make_number(segment, key, forms)
    return _read_entries(path, content, folder, categories, with_scores=True)


def _read_entries(
    path: Path,
    content: Any,
    folder: Path | None,
    categories: CategorySet,
    *,
    with_scores: bool = False,
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
            with_scores=with_scores,
            known=f"the truth, which has {known}",
        )
    )


def _pair(
    categories: CategorySet,
    truths: Sequence[RunLabel | PanopticEntry],
    prediction: Path,
    predicted: Sequence[PanopticEntry],
    wanted: str,
    forms: Forms,
) -> ScoringTask:
    """Return each true image with its prediction.

    Args:
        categories: of the truth.
        truths: in the order to keep.
        prediction: the file of the predictions.
        predicted: its entries.
        wanted: the images that need a prediction, for messages.
        forms: counts what the predictions have in another form.
    """
    id_of = same_ids(truth.image_id for truth in truths)
    true_ids, numbers = _number_by_id(truths, id_of), _number_by_id(predicted, id_of)
    if num_other := sum(id_of.get(p.image_id, p.image_id) != p.image_id for p in predicted):
        forms[OTHER_IDS] += num_other
    if missing := [image_id for image_id in true_ids if image_id not in numbers]:
        others = [image_id for image_id in numbers if image_id not in true_ids]
        instead = f", and its image {others[0]!r} is not in the truth" if others else ""
        raise DatasetError(
            f"{prediction}: image {missing[0]!r} has no prediction (images without one: "
            f"{len(missing)} of {len(true_ids)}{instead}): predict {wanted}"
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
    labels: Sequence[RunLabel | PanopticEntry], id_of: Mapping[int | str, int | str]
) -> dict[int | str, int]:
    number_of: dict[int | str, int] = {}
    for number, label in enumerate(labels):
        key = id_of.get(label.image_id, label.image_id)
        if number_of.setdefault(key, number) != number:
            place = f"image {key!r}" if isinstance(label, RunLabel) else label.place
            raise DatasetError(f"{place}: image_id {key!r} is given twice: drop one")
    return number_of


def _name_remarks(path: Path, content: Any, categories: CategorySet) -> tuple[str, ...]:
    """Return in one remark where a prediction has other names for the ids of the truth."""
    name_of = {c.category_id: c.name for c in categories.categories}
    listed = content.get("categories")
    found = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    named = [(entry.get("id"), entry.get("name")) for entry in found]
    differing = [
        f"category {i} is {name_of[i]!r} in the truth and {name!r} in the prediction"
        for i, name in named
        if type(i) is int and isinstance(name, str) and name_of.get(i, name) != name
    ]
    more = f" ({len(differing)} names differ)" if len(differing) > 1 else ""
    return (f"{path}: {differing[0]}{more}",) if differing else ()


def _read_label(entry: PanopticEntry, image_id: int | str) -> RunLabel:
    place = f"{entry.place}: image {entry.image_id!r}"
    runs = read_runs(entry.png_path)
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


def _semantic_file(image: ImageToScore, prediction: Path) -> Path:
    name = image.prediction.png_path.relative_to(prediction / "panoptic")
    return prediction / _SEMANTIC_FOLDER / name
