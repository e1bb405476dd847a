"""Files of a prediction beside those of the truth, in COCO's panoptic format.

Anybody's files are read: a prediction needs the list `annotations` alone. Which of the truth's
images a prediction lacks, and every segment that a JSON and a PNG do not both have, is an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.formats.coco_entries import take_flag, take_image_id
from annotools.formats.coco_panoptic import read_categories
from annotools.formats.json_values import check_inside, entries, read_json, take
from annotools.formats.panoptic_png import decode_segment_map
from annotools.formats.pictures import read_png_chunks
from annotools.formats.png_runs import find_png_runs
from annotools.label_maps import Runs, find_runs, measure_runs
from annotools.records import VOID, Segment
from wsps.evaluation.image_scores import ImageToScore, PredictedLabel
from wsps.evaluation.overlaps import RunLabel


@dataclass(frozen=True, kw_only=True)
class ScoringTask:
    """The images to score, in the order of the truth, and the truth's categories.

    `num_unasked` counts predicted images that the truth does not have.
    """

    categories: CategorySet
    images: tuple[ImageToScore, ...]
    num_unasked: int


@dataclass(frozen=True, kw_only=True)
class _Segment:
    """What a JSON says of a segment; scores are None where it gives none."""

    segment_id: int
    category_id: int
    is_group: bool
    score: float | None
    probability: float | None


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """What a JSON says of an image, `place` for messages."""

    place: str
    image_id: int | str
    png_path: Path
    segments: tuple[_Segment, ...]


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
        prediction_folder: likewise.

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
    as_text = any(_all_texts(side) for side in (true_entries, predicted))
    predicted_of = _by_id(predicted, as_text)
    true_of = _by_id(true_entries, as_text)
    if missing := [image_id for image_id in true_of if image_id not in predicted_of]:
        raise DatasetError(
            f"{prediction}: image {missing[0]!r} has no prediction (images without one: "
            f"{len(missing)} of {len(true_of)}): predict every image of {truth}"
        )
    images = tuple(
        ImageToScore(
            image_id=entry.image_id,
            prediction_file=prediction,
            read_truth=partial(_read_truth, entry),
            read_prediction=partial(_read_prediction, predicted_of[key], entry.image_id),
        )
        for key, entry in true_of.items()
    )
    return ScoringTask(
        categories=categories, images=images, num_unasked=len(predicted_of.keys() - true_of.keys())
    )


def _read_results(path: Path) -> Any:
    return read_json(path, others="*.json")


def _all_texts(side: tuple[_Entry, ...]) -> bool:
    return bool(side) and all(isinstance(entry.image_id, str) for entry in side)


def _by_id(side: tuple[_Entry, ...], as_text: bool) -> dict[int | str, _Entry]:
    entry_of: dict[int | str, _Entry] = {}
    for entry in side:
        key = str(entry.image_id) if as_text else entry.image_id
        if key in entry_of:
            raise DatasetError(f"{entry.place}: image_id {key!r} is given twice: drop one")
        entry_of[key] = entry
    return entry_of


def _read_entries(
    path: Path, content: Any, folder: Path | None, categories: CategorySet
) -> tuple[_Entry, ...]:
    folder = path.with_suffix("") if folder is None else folder
    check_folder(folder, f"give the folder of the PNGs of {path}")
    found = []
    for place, entry in entries(path, content, "annotations"):
        image_id = take_image_id(place, entry, "image_id")
        file_name = take(place, entry, "file_name", str)
        check_inside(place, file_name, folder)
        inner = f"{place}: image {image_id!r}"
        segments = [_read_segment(f"{inner}: {p}", s, categories) for p, s in _listed(inner, entry)]
        if len({s.segment_id for s in segments}) < len(segments):
            raise DatasetError(f"{inner}: two segments have the same id: give each its own")
        found.append(
            _Entry(
                place=inner,
                image_id=image_id,
                png_path=folder / file_name,
                segments=tuple(segments),
            )
        )
    return tuple(found)


def _listed(place: str, entry: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    listed = entry.get("segments_info")
    if not isinstance(listed, list) or not all(isinstance(s, dict) for s in listed):
        raise DatasetError(f"{place}: segments_info is missing or not a list of objects: add it")
    return [(f"segments_info[{number}]", segment) for number, segment in enumerate(listed)]


def _read_segment(place: str, entry: dict[str, Any], categories: CategorySet) -> _Segment:
    segment_id = take(place, entry, "id", int)
    if segment_id == VOID:
        raise DatasetError(f"{place}: id {VOID} is kept for unlabelled pixels: use another")
    category_id = take(place, entry, "category_id", int)
    if category_id not in categories.class_index_of:
        known = ", ".join(str(known_id) for known_id in categories.class_index_of)
        raise DatasetError(f"{place}: unknown category_id {category_id}: the truth has {known}")
    return _Segment(
        segment_id=segment_id,
        category_id=category_id,
        is_group=take_flag(place, entry, "iscrowd", default=False),
        score=take_score(place, entry, "score"),
        probability=take_score(place, entry, "probability"),
    )


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


def take_score(place: str, entry: Mapping[str, Any], key: str) -> float | None:
    """Return a number in [0, 1] of an object in a JSON file, None where it has none.

    Raises:
        DatasetError: for anything else.
    """
    score = entry.get(key)
    if score is None:
        return None
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    if not is_number or not 0 <= score <= 1:
        raise DatasetError(f"{place}: {key} = {score!r}: give a number in [0, 1]")
    return float(score)


def _read_truth(entry: _Entry) -> RunLabel:
    return _read_label(entry, entry.image_id)


def _read_prediction(entry: _Entry, image_id: int | str) -> PredictedLabel:
    label = _read_label(entry, image_id)
    scores = {s.segment_id: s.score for s in entry.segments if s.score is not None}
    probabilities = {
        s.segment_id: s.probability for s in entry.segments if s.probability is not None
    }
    return PredictedLabel(label=label, scores=scores, probabilities=probabilities)


def _read_label(entry: _Entry, image_id: int | str) -> RunLabel:
    runs = _read_runs(entry.png_path)
    measured = measure_runs(runs)
    listed = {segment.segment_id for segment in entry.segments}
    if unlisted := [segment_id for segment_id in measured if segment_id not in listed]:
        raise DatasetError(
            f"{entry.place}: segment {unlisted[0]} is in {entry.png_path} but not in "
            "segments_info: add it, or make its pixels 0"
        )
    segments = []
    # The last crowd in the JSON's order is the one that the reference implementation counts.
    for given in entry.segments:
        if given.segment_id not in measured:
            raise DatasetError(
                f"{entry.place}: segment {given.segment_id} is in segments_info but has no pixel "
                f"in {entry.png_path}: leave it out"
            )
        area, box = measured[given.segment_id]
        segments.append(
            Segment(
                segment_id=given.segment_id,
                category_id=given.category_id,
                area=area,
                box_xyxy=box,
                is_group=given.is_group,
            )
        )
    return RunLabel(image_id=image_id, runs=runs, segments=tuple(segments))


def _read_runs(path: Path) -> Runs:
    runs = find_png_runs(read_png_chunks(path))
    return find_runs(decode_segment_map(path)) if runs is None else runs
