"""Overlaps say how the segments of a prediction lie over those of the truth of one image.

All scores are computed from them. A prediction that contradicts itself or its image is refused
here, so that every score refuses the same things in the same words. Labels are kept as run
lengths, a few per cent of the memory of a map, and one pass over the runs finds all overlaps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotools.categories import CategorySet
from annotools.errors import DatasetError
from annotools.label_maps import find_runs
from annotools.records import VOID, FullLabel, Runs, Segment

_NO_SEGMENT = -1
_ID_BITS = 32
_ID_MASK = 2**_ID_BITS - 1


@dataclass(frozen=True, kw_only=True)
class RunLabel:
    """The panoptic label of an image without its map: every segment in `segments` is in `runs`."""

    image_id: int | str
    runs: Runs
    segments: tuple[Segment, ...]


AnyLabel = FullLabel | RunLabel
"""A label that can be scored; `to_runs` of one that is compared more than once saves time."""


@dataclass(frozen=True, kw_only=True)
class Overlaps:
    """Areas and intersections in pixels of T true and P predicted segments of one image.

    Segments go by their place in `FullLabel.segments`. The M pairs are those that share a pixel,
    in reading order of their first shared pixel, so that nothing computed from them in order
    depends on how segments are numbered or listed.

    `truth_classes`: (T,) class indices; `truth_is_group`: (T,); `truth_areas`: (T,).
    `prediction_classes`: (P,) class indices; `prediction_areas`: (P,), all pixels;
    `prediction_void`: (P,), the pixels among them that are void in the truth.
    `pair_truth`, `pair_prediction`, `pair_pixels`: (M,).
    """

    truth_classes: NDArray[np.intp]
    truth_is_group: NDArray[np.bool_]
    truth_areas: NDArray[np.int64]
    prediction_classes: NDArray[np.intp]
    prediction_areas: NDArray[np.int64]
    prediction_void: NDArray[np.int64]
    pair_truth: NDArray[np.intp]
    pair_prediction: NDArray[np.intp]
    pair_pixels: NDArray[np.int64]

    def same_class(self) -> NDArray[np.bool_]:
        """Return for each pair whether both segments have the same category: (M,)."""
        truth_classes = self.truth_classes[self.pair_truth]
        return np.equal(truth_classes, self.prediction_classes[self.pair_prediction])

    def unions(self) -> NDArray[np.int64]:
        """Return each pair's union in pixels, those void in the truth left out: (M,)."""
        counted = self.prediction_areas - self.prediction_void
        areas = self.truth_areas[self.pair_truth] + counted[self.pair_prediction]
        return areas - self.pair_pixels

    def mostly_unscored(self, groups: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which predicted segments lie by more than half where nothing can be scored.

        That is in void, or in groups of the segment's own category.

        Args:
            groups: (T,), true on the true segments to take as groups.

        Returns:
            (P,), true on predicted segments that are no false positive when unmatched.
        """
        in_group = groups[self.pair_truth] & self.same_class()
        pixels = self.prediction_void.copy()
        np.add.at(pixels, self.pair_prediction[in_group], self.pair_pixels[in_group])
        return 2 * pixels > self.prediction_areas


def to_runs(label: AnyLabel) -> RunLabel:
    """Return the label with its map as runs; one that has runs comes back as it is."""
    if isinstance(label, RunLabel):
        return label
    runs = find_runs(label.segment_map) if label.runs.is_down else label.runs
    return RunLabel(image_id=label.image_id, runs=runs, segments=label.segments)


def measure_overlaps(truth: AnyLabel, prediction: AnyLabel, categories: CategorySet) -> Overlaps:
    """Return the overlaps of a prediction with the truth of the same image.

    A label that is measured more than once is best given as `to_runs` of it: its map is then
    read that once. Areas are counted from the maps; those in the segments' records are not used.
    Whether a predicted segment is marked as a group has no meaning and is not used either.

    Raises:
        DatasetError: when the maps differ in shape, a map and its segments contradict each
            other, or a segment has a category that is not in the set.
    """
    truth, prediction = to_runs(truth), to_runs(prediction)
    shape, truth_shape = _shape(prediction.runs), _shape(truth.runs)
    if shape != truth_shape:
        raise DatasetError(
            f"image {truth.image_id}: the prediction has shape {shape}, "
            f"the truth {truth_shape}: predict at the size of the truth"
        )
    truth_ids, prediction_ids, pixels = _count_pairs(truth.runs, prediction.runs)
    truth_classes = _class_indices(truth, "truth", categories)
    prediction_classes = _class_indices(prediction, "prediction", categories)
    truth_places = _places(truth_ids, truth, "truth")
    prediction_places = _places(prediction_ids, prediction, "prediction")

    in_truth, in_prediction = truth_places != _NO_SEGMENT, prediction_places != _NO_SEGMENT
    in_void, in_both = ~in_truth & in_prediction, in_truth & in_prediction
    num_truth, num_predicted = len(truth.segments), len(prediction.segments)
    return Overlaps(
        truth_classes=truth_classes,
        truth_is_group=np.array([s.is_group for s in truth.segments], dtype=bool),
        truth_areas=_sums(truth_places[in_truth], pixels[in_truth], num_truth),
        prediction_classes=prediction_classes,
        prediction_areas=_sums(
            prediction_places[in_prediction], pixels[in_prediction], num_predicted
        ),
        prediction_void=_sums(prediction_places[in_void], pixels[in_void], num_predicted),
        pair_truth=truth_places[in_both],
        pair_prediction=prediction_places[in_both],
        pair_pixels=pixels[in_both],
    )


def _shape(runs: Runs) -> tuple[int, int]:
    return runs.height, runs.width


def _count_pairs(
    truth: Runs, prediction: Runs
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Return true id, predicted id and shared pixels of each pair, in reading order."""
    # Runs begin wherever one of either map does. Each map's current run is the last that has
    # begun; where both begin, the first of the two starts has no pixel and goes.
    starts = np.concatenate([truth.starts, prediction.starts])
    order = np.argsort(starts, kind="stable")  # merges, as both halves are sorted
    lengths = np.diff(starts[order], append=truth.height * truth.width)
    of_truth = np.cumsum(order < len(truth.starts), dtype=np.int64)
    of_prediction = np.arange(1, len(order) + 1) - of_truth
    has_pixels = lengths > 0
    lengths = lengths[has_pixels]
    of_truth, of_prediction = of_truth[has_pixels] - 1, of_prediction[has_pixels] - 1

    # An id has up to 31 bits: both fit side by side in one 64-bit code.
    codes = truth.ids[of_truth].astype(np.int64) << _ID_BITS
    codes |= prediction.ids[of_prediction].astype(np.int64) & _ID_MASK
    # Sorted and searched, as np.unique is several times as slow when it returns the inverse.
    pairs = np.unique(codes)
    pair_of_run = np.searchsorted(pairs, codes)
    pixels = _sums(pair_of_run, lengths, len(pairs))

    # Of the values assigned to one place numpy keeps the last, here the pair's first run.
    first_run = np.empty(len(pairs), dtype=np.intp)
    first_run[pair_of_run[::-1]] = np.arange(len(codes))[::-1]
    reading_order = np.argsort(first_run)
    pairs = pairs[reading_order]
    return (
        (pairs >> _ID_BITS).astype(np.int32),
        (pairs & _ID_MASK).astype(np.int32),
        pixels[reading_order],
    )


def _sums(places: NDArray[np.intp], values: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    # bincount adds in float64, which is exact for any number of pixels.
    return np.bincount(places, weights=values, minlength=length).astype(np.int64)


def _class_indices(label: RunLabel, side: str, categories: CategorySet) -> NDArray[np.intp]:
    for segment in label.segments:
        if segment.category_id not in categories.class_index_of:
            known = ", ".join(str(category_id) for category_id in categories.class_index_of)
            raise DatasetError(
                f"image {label.image_id}: segment {segment.segment_id} of the {side} has the "
                f"unknown category id {segment.category_id}: this dataset has {known}"
            )
    indices = [categories.class_index_of[s.category_id] for s in label.segments]
    return np.array(indices, dtype=np.intp)


def _places(ids: NDArray[np.int32], label: RunLabel, side: str) -> NDArray[np.intp]:
    """Return the place in `label.segments` of each id, `_NO_SEGMENT` for void."""
    place_of = {s.segment_id: place for place, s in enumerate(label.segments)}
    in_map = set(ids.tolist()) - {VOID}
    image = f"image {label.image_id}"
    if len(place_of) != len(label.segments):
        raise DatasetError(f"{image}: two segments of the {side} have the same id: give each one")
    if unlisted := in_map - place_of.keys():
        raise DatasetError(
            f"{image}: segment {min(unlisted)} is in the map of the {side} but not among its "
            f"segments: list it, or make its pixels void ({VOID})"
        )
    if undrawn := place_of.keys() - in_map:
        raise DatasetError(
            f"{image}: segment {min(undrawn)} of the {side} has no pixel in its map: leave it out"
        )
    places = [place_of.get(segment_id, _NO_SEGMENT) for segment_id in ids.tolist()]
    return np.array(places, dtype=np.intp)
