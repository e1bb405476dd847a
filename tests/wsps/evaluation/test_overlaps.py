from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from annotools.errors import DatasetError
from annotools.label_maps import build_label, find_runs
from annotools.records import FullLabel
from tests.builders import make_categories, make_label
from wsps.evaluation.overlaps import Overlaps, measure_overlaps, to_runs

CATEGORIES = make_categories()
LARGEST_ID = 2**31 - 1
IDS = st.sampled_from([0, 1, 255, 256, 65_535, 65_536, 2**24, LARGEST_ID - 1, LARGEST_ID])


def label_of(segment_map: np.ndarray) -> FullLabel:
    return build_label(1, segment_map, dict.fromkeys(np.unique(segment_map).tolist(), 30))


def test_a_small_example_by_hand():
    truth = make_label([[1, 1, 2], [0, 0, 2]], {1: 10, 2: 30})
    prediction = make_label([[7, 8, 8], [8, 0, 0]], {7: 10, 8: 30})
    overlaps = measure_overlaps(truth, prediction, CATEGORIES)
    assert overlaps.truth_classes.tolist() == [0, 2]
    assert overlaps.prediction_classes.tolist() == [0, 2]
    assert overlaps.truth_areas.tolist() == [2, 2]
    assert overlaps.prediction_areas.tolist() == [1, 3]
    assert overlaps.prediction_void.tolist() == [0, 1]
    assert overlaps.pair_truth.tolist() == [0, 0, 1]
    assert overlaps.pair_prediction.tolist() == [0, 1, 1]
    assert overlaps.pair_pixels.tolist() == [1, 1, 1]
    assert overlaps.same_class().tolist() == [True, False, True]
    assert overlaps.unions().tolist() == [2, 3, 3]


def test_a_run_that_goes_on_in_the_next_row_is_counted_whole():
    truth = make_label([[1, 2], [2, 1]], {1: 30, 2: 30})
    overlaps = measure_overlaps(truth, truth, CATEGORIES)
    assert overlaps.pair_pixels.tolist() == [2, 2]


def test_two_empty_maps_have_no_overlaps():
    nothing = make_label([[0, 0], [0, 0]], {})
    overlaps = measure_overlaps(nothing, nothing, CATEGORIES)
    assert overlaps.pair_pixels.size == 0
    assert overlaps.mostly_unscored(overlaps.truth_is_group).size == 0


@given(arrays(np.int32, (2, 3, 4), elements=IDS))
def test_counts_equal_those_of_boolean_masks_for_ids_of_any_size(maps):
    truth, prediction = label_of(maps[0]), label_of(maps[1])
    overlaps = measure_overlaps(truth, prediction, CATEGORIES)
    counted = {
        (truth.segments[t].segment_id, prediction.segments[p].segment_id): pixels
        for t, p, pixels in zip(
            overlaps.pair_truth, overlaps.pair_prediction, overlaps.pair_pixels, strict=True
        )
    }
    by_masks = {
        (t.segment_id, p.segment_id): np.sum((maps[0] == t.segment_id) & (maps[1] == p.segment_id))
        for t in truth.segments
        for p in prediction.segments
    }
    assert counted == {pair: pixels for pair, pixels in by_masks.items() if pixels}
    assert overlaps.truth_areas.tolist() == [s.area for s in truth.segments]
    assert overlaps.prediction_areas.tolist() == [s.area for s in prediction.segments]
    in_void = [np.sum((maps[0] == 0) & (maps[1] == s.segment_id)) for s in prediction.segments]
    assert overlaps.prediction_void.tolist() == in_void


def as_lists(overlaps: Overlaps) -> list[list[int]]:
    return [getattr(overlaps, field.name).tolist() for field in fields(Overlaps)]


@given(arrays(np.int32, (2, 3, 4), elements=IDS))
def test_labels_as_runs_give_what_their_maps_give(maps):
    truth, prediction = label_of(maps[0]), label_of(maps[1])
    expected = as_lists(measure_overlaps(truth, prediction, CATEGORIES))
    kept, predicted = to_runs(truth), to_runs(prediction)
    maps[...] = -1  # nothing may look at the maps again
    assert as_lists(measure_overlaps(kept, predicted, CATEGORIES)) == expected
    assert as_lists(measure_overlaps(to_runs(kept), predicted, CATEGORIES)) == expected


def test_a_truth_as_runs_beside_a_map_by_hand():
    truth = to_runs(make_label([[1, 1, 2], [0, 0, 2]], {1: 10, 2: 30}, groups=[2]))
    overlaps = measure_overlaps(
        truth, make_label([[7, 8, 8], [8, 0, 0]], {7: 10, 8: 30}), CATEGORIES
    )
    assert overlaps.truth_is_group.tolist() == [False, True]
    assert overlaps.pair_truth.tolist() == [0, 0, 1]
    assert overlaps.pair_prediction.tolist() == [0, 1, 1]
    assert overlaps.pair_pixels.tolist() == [1, 1, 1]
    assert overlaps.prediction_void.tolist() == [0, 1]


def test_a_truth_as_runs_of_another_shape_is_refused():
    truth = to_runs(make_label([[1, 1], [2, 2]], {1: 10, 2: 30}))
    with pytest.raises(DatasetError, match=r"shape \(1, 4\), the truth \(2, 2\)"):
        measure_overlaps(truth, make_label([[1, 1, 2, 2]], {1: 10, 2: 30}), CATEGORIES)


@given(arrays(np.int32, (2, 3, 4), elements=IDS))
def test_pairs_come_in_reading_order(maps):
    truth, prediction = label_of(maps[0]), label_of(maps[1])
    overlaps = measure_overlaps(truth, prediction, CATEGORIES)
    in_order = dict.fromkeys(
        (t, p) for t, p in zip(*maps.reshape(2, -1).tolist(), strict=True) if t and p
    )
    assert list(in_order) == [
        (truth.segments[t].segment_id, prediction.segments[p].segment_id)
        for t, p in zip(overlaps.pair_truth, overlaps.pair_prediction, strict=True)
    ]


def test_unscored_needs_more_than_half_in_void_or_groups_of_the_category():
    truth = make_label([[0, 1, 1, 2, 3, 3]], {1: 30, 2: 30, 3: 10}, groups=[1, 2])
    prediction = make_label([[5, 5, 5, 6, 6, 7]], {5: 30, 6: 30, 7: 10})
    overlaps = measure_overlaps(truth, prediction, CATEGORIES)
    assert overlaps.mostly_unscored(overlaps.truth_is_group).tolist() == [True, False, False]
    only_second = np.array([False, True, False])
    assert overlaps.mostly_unscored(only_second).tolist() == [False, False, False]


TRUTH = make_label([[1, 1], [2, 2]], {1: 10, 2: 30}, image_id="a/b 1")


@pytest.mark.parametrize(
    ("prediction", "problem"),
    [
        (make_label([[1, 1]], {1: 10}), r"shape \(1, 2\), the truth \(2, 2\)"),
        (
            replace(TRUTH, segments=TRUTH.segments[:1]),
            "segment 2 is in the map of the prediction but not among its segments",
        ),
        (
            replace(TRUTH, drawn=None, runs=find_runs(np.array([[1, 1], [0, 0]], dtype=np.int32))),
            "segment 2 of the prediction has no pixel in its map",
        ),
        (
            replace(TRUTH, segments=TRUTH.segments + TRUTH.segments[:1]),
            "two segments of the prediction have the same id",
        ),
        (
            make_label([[1, 1], [2, 2]], {1: 10, 2: 31}, image_id="a/b 1"),
            "segment 2 of the prediction has the unknown category id 31: this dataset has 10, 20",
        ),
        (
            replace(TRUTH, drawn=None, runs=find_runs(np.array([[1, 1], [2, -7]], dtype=np.int32))),
            "segment -7 is in the map of the prediction",
        ),
    ],
)
def test_a_prediction_that_does_not_fit_is_refused_by_name(prediction, problem):
    with pytest.raises(DatasetError, match=f"image a/b 1: .*{problem}"):
        measure_overlaps(TRUTH, prediction, CATEGORIES)


def test_a_truth_that_contradicts_itself_is_refused_too():
    broken = replace(TRUTH, segments=TRUTH.segments[:1])
    with pytest.raises(DatasetError, match="image a/b 1: segment 2 is in the map of the truth"):
        measure_overlaps(broken, TRUTH, CATEGORIES)
