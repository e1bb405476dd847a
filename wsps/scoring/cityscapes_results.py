"""Score the two kinds of results that the Cityscapes benchmark takes against its labels.

Names of result files start with the image's id, CITY_SEQ_FRAME; files lie at any depth, and files
of other names do not count.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotools.categories import IGNORE_INDEX
from annotools.category_tables.cityscapes import CITYSCAPES_CATEGORIES, LABEL_NAMES
from annotools.errors import DatasetError
from annotools.formats.pictures import decode_map
from annotools.formats.source import Source, open_source
from annotools.label_maps import class_map, find_runs, replace_ids
from annotools.read_files import read_bytes
from annotools.records import Dataset, Image, draw_runs
from wsps.evaluation.image_scores import ImageScores, PredictionScores, ScoredMask, score_masks
from wsps.evaluation.mean_iou import count_pixels
from wsps.scoring.evaluate import score_images
from wsps.scoring.panoptic_files import check_folder

_LABEL_IDS = sorted(label_id for label_id in LABEL_NAMES if label_id >= 0)
"""The ids that a label map may have; the official evaluation refuses -1, the license plate."""

_IMAGE_ID = re.compile(r"[^_]+_\d+_\d+")


def score_semantic(truth: Path, split: str, prediction: Path, workers: int = 1) -> PredictionScores:
    """Count the pixels of label maps by true and predicted class, of the 19 evaluated ones.

    Pixels whose true label is not evaluated do not count; a predicted label that is not evaluated
    is a miss of the true class.

    Args:
        truth: the Cityscapes root, or its `gtFine` or `gtCoarse`.
        split: a folder in it.
        prediction: a folder with a PNG of label ids, not trainIds, for each image of the truth.
        workers: processes at work at the same time.

    Raises:
        DatasetError: when a file is missing or damaged, an image has no or two files, or a map is
            of another size than its truth or has an id that no label has.
    """
    source = Source(format_name="cityscapes", root=truth, split=split)
    return _score_results(source, prediction, ".png", partial(_score_classes, source), workers)


def score_thing_masks(
    truth: Path, split: str, prediction: Path, workers: int = 1
) -> PredictionScores:
    """Measure what masks of things, which may overlap, contribute to average precision.

    The rules are those of `score_masks` and `match_segments`. The official evaluation leaves
    out true instances of fewer than 100 pixels, counts void in IoU, ignores a mask on void or a
    group by the IoU threshold instead of the half, and sums precision without interpolation: its
    figures are not the same. As there, masks without a pixel and masks of other labels than the
    evaluated things are left out.

    Args:
        truth: the Cityscapes root, or its `gtFine` or `gtCoarse`.
        split: a folder in it.
        prediction: a folder with a text file for each image of the truth. Its lines are
            `MASK.png LABEL_ID SCORE`: a path from the text file's folder to a PNG that is nonzero
            on the object, a label id and a score in [0, 1].
        workers: processes at work at the same time.

    Raises:
        DatasetError: when a file is missing or damaged, an image has no or two text files, or a
            line is wrong: its mask is outside `prediction` or of another size than the truth,
            its label is unknown, or its score is none.
    """
    source = Source(format_name="cityscapes", root=truth, split=split)
    score = partial(_score_masks, source, prediction)
    return _score_results(source, prediction, ".txt", score, workers)


def _score_results(
    source: Source,
    folder: Path,
    ending: str,
    score: Callable[[tuple[Path, Image]], ImageScores],
    workers: int,
) -> PredictionScores:
    """Return what the images contribute, each with its file of results."""
    dataset = open_source(source)
    path_of, num_unasked = _find_results(folder, ending, dataset)
    items = [(path_of[image.image_id], image) for image in dataset.images]
    return PredictionScores(
        categories=CITYSCAPES_CATEGORIES,
        images=score_images(score, items, workers),
        num_unasked=num_unasked,
    )


def _score_classes(source: Source, item: tuple[Path, Image]) -> ImageScores:
    path, image = item
    true = class_map(open_source(source).read_label(image), CITYSCAPES_CATEGORIES)
    found = _read_classes(path, image)
    pixels = count_pixels(true, found, len(CITYSCAPES_CATEGORIES), image.image_id)
    return ImageScores(pixels=pixels)


def _score_masks(source: Source, folder: Path, item: tuple[Path, Image]) -> ImageScores:
    path, image = item
    label = open_source(source).read_label(image)
    masks = _read_masks(path, image, folder)
    return ImageScores(scored=score_masks(label, masks, CITYSCAPES_CATEGORIES))


def _find_results(folder: Path, ending: str, dataset: Dataset) -> tuple[dict[int | str, Path], int]:
    """Return the file of each image, and how many files are of images outside the truth."""
    check_folder(folder, "give the folder of the results")
    path_of: dict[int | str, Path] = {}
    # Sorted, so that the message about two files of one image is the same on every file system.
    for path in sorted(folder.rglob(f"*{ending}")):
        match = _IMAGE_ID.match(path.name)
        if match is None:
            continue
        other = path_of.setdefault(match[0], path)
        if other != path:
            raise DatasetError(f"{path}: {other} is of image {match[0]} too: keep one of them")
    asked = [image.image_id for image in dataset.images]
    if missing := [image_id for image_id in asked if image_id not in path_of]:
        raise DatasetError(
            f"{folder}: image {missing[0]} has no file {missing[0]}*{ending} (images without one: "
            f"{len(missing)} of {len(asked)}): predict every image of {dataset.split}"
        )
    return path_of, len(path_of.keys() - set(asked))


def _read_classes(path: Path, image: Image) -> NDArray[np.uint8]:
    """Return (H, W) class indices, `IGNORE_INDEX` for labels that are not evaluated."""
    # A map has far fewer runs than pixels, so that checking and replacing ids costs little.
    runs = find_runs(_decode(path, image))
    if (unknown := np.setdiff1d(runs.ids, _LABEL_IDS)).size:
        raise DatasetError(
            f"{path}: has the id {unknown[0]}, no label id of Cityscapes: write label ids, "
            f"{_LABEL_IDS[0]} to {_LABEL_IDS[-1]}, not trainIds"
        )
    class_index_of = CITYSCAPES_CATEGORIES.class_index_of
    return draw_runs(replace_ids(runs, class_index_of, IGNORE_INDEX)).astype(np.uint8)


def _read_masks(path: Path, image: Image, folder: Path) -> Iterator[ScoredMask]:
    lines = read_bytes(path).decode("utf-8", errors="replace").splitlines()
    things = {c.category_id for c in CITYSCAPES_CATEGORIES.categories if c.is_thing}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, label_id, score = _split_line(f"{path}: line {number}", line)
        # Somebody else's list must not make us read files outside of its folder.
        mask_path = path.parent / name
        if "\0" in name or not mask_path.resolve().is_relative_to(folder.resolve()):
            raise DatasetError(f"{path}: line {number}: {name!r} is outside {folder}: move it")
        if label_id not in things:
            continue
        mask = _decode(mask_path, image) != 0
        if mask.any():
            yield ScoredMask(category_id=label_id, score=score, mask=mask)


def _split_line(place: str, line: str) -> tuple[str, int, float]:
    """Return mask, label id and score; the mask's name may have spaces."""
    try:
        name, label_text, score_text = line.strip().rsplit(maxsplit=2)
        label_id, score = float(label_text), float(score_text)
    except ValueError as error:
        raise DatasetError(
            f"{place}: {line!r} is not MASK.png LABEL_ID SCORE: correct it"
        ) from error
    # Result files of some tools write label ids as 26.0, which the official evaluation reads.
    if label_id not in LABEL_NAMES:
        raise DatasetError(f"{place}: {label_text} is no label id of Cityscapes: correct it")
    if not 0 <= score <= 1:
        raise DatasetError(f"{place}: score {score_text}: give a number in [0, 1]")
    return name, int(label_id), score


def _decode(path: Path, image: Image) -> NDArray[np.integer]:
    pixels = decode_map(path)
    if pixels.shape != (image.height, image.width):
        raise DatasetError(
            f"{path}: has pixels of shape {pixels.shape}, not {image.height} rows of "
            f"{image.width} numbers as the truth of image {image.image_id}: write it so"
        )
    return pixels
