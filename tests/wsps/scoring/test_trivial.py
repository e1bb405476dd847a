import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import make_categories, make_label
from tests.segment_maps import label_of, segment_maps
from tests.wsps.panoptic_files import write_panoptic
from wsps.evaluation.overlaps import to_runs
from wsps.scoring.trivial import fill_boxes, most_frequent, score_trivial

CATEGORIES = make_categories()
ROAD, SKY, CAR = 10, 20, 30
TRUTH = (
    make_label([[1, 1, 1, 2, 2, 2], [3, 3, 3, 3, 0, 0]], {1: CAR, 2: CAR, 3: ROAD}, (), "a"),
    make_label([[3, 3, 3, 1]], {1: CAR, 3: ROAD}, (), "b"),
)


def write_set(folder, labels, scores=None):
    folder.mkdir()
    (folder / "panoptic").mkdir()
    write_panoptic(folder / "panoptic.json", list(labels), None, scores)
    return folder


def score(tmp_path, found, scores, truth=TRUTH, categories=CATEGORIES):
    return score_trivial(
        write_set(tmp_path / "found", found, scores),
        [to_runs(label) for label in truth],
        categories,
    )


def test_rates_by_hand(tmp_path):
    # An L of a car whose extent is 3 x 2, and a surer car whose extent lies over its last column.
    found = (
        make_label([[5, 5, 5, 6, 0, 0], [5, 0, 6, 6, 0, 0]], {5: CAR, 6: CAR}, (), "a"),
        make_label([[0, 0, 0, 1]], {1: CAR}, (), "b"),
    )
    rates = score(tmp_path, found, {"a": {5: 0.25, 6: 0.5}, "b": {1: 1.0}})
    # Road and cars have seven pixels each, and the road comes first; void is no class.
    # Road everywhere: IoU 4/10 in a (void left out) and 3/4 in b; no car is found.
    road_pq = (3 / 4) / (1 + 1 / 2 + 1 / 2)
    assert rates["trivial_pq"] == pytest.approx((road_pq + 0) / 2)
    # Of 14 labelled pixels 7 are road; the sky is neither there nor predicted.
    assert rates["trivial_miou"] == pytest.approx((7 / 14 + 0) / 2)
    # The boxes over road: [[5, 5, 6, 6, r, r], [5, 5, 6, 6, r, r]] and [[r, r, r, 1]].
    # Cars in a: 2 / (3 + 4 - 2) and, of the other, 1 / (3 + 4 - 1): none above a half; in b 1.
    car_pq = 1 / (1 + 2 / 2 + 2 / 2)
    # Road in a: half of it lies in void, which is not more than half, the rest on a car; in b 1.
    road_pq = 1 / (1 + 1 / 2 + 1 / 2)
    assert rates["filled_pq"] == pytest.approx((car_pq + road_pq) / 2)


def test_the_surest_box_is_on_top_whatever_the_order_of_the_file(tmp_path):
    truth = (make_label([[1, 1, 1, 2, 2, 2]], {1: CAR, 2: CAR}, (), "a"),)
    # The extent of 1 covers all; 2 lies in the middle of it.
    found = (make_label([[1, 1, 1, 2, 2, 1]], {1: CAR, 2: CAR}, (), "a"),)
    # On top, 2 takes its two pixels and leaves four: IoU 3/4 and 2/3.
    surer = score(tmp_path, found, {"a": {1: 0.25, 2: 0.5}}, truth)
    assert surer["filled_pq"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    (tmp_path / "other").mkdir()
    # Below, 2 is not there: IoU 3/6, which is no match.
    covered = score(tmp_path / "other", found, {"a": {1: 0.5, 2: 0.25}}, truth)
    assert covered["filled_pq"] == 0


def test_a_thing_everywhere_is_one_segment_an_image(tmp_path):
    truth = (make_label([[1, 1, 1, 2]], {1: CAR, 2: ROAD}, (), "a"),)
    rates = score(tmp_path, truth, {"a": {1: 1.0, 2: 1.0}}, truth)
    assert rates == {
        "trivial_pq": pytest.approx((3 / 4) / 2),
        "trivial_miou": pytest.approx((3 / 4) / 2),
        "filled_pq": 1.0,
    }


def test_the_background_counts_in_miou_and_not_in_pq(tmp_path):
    categories = make_categories(stuff=("background",), things=("cell",), background=True)
    label = make_label([[1, 1, 1, 2]], {1: 10, 2: 20}, (), "a")
    rates = score(tmp_path, (label,), {"a": {1: 1, 2: 1}}, (label,), categories)
    assert rates["trivial_pq"] == 0
    assert rates["trivial_miou"] == pytest.approx((3 / 4) / 2)


def test_what_is_undefined_is_none(tmp_path):
    void = (make_label([[0, 0]], {}, (), "a"),)
    road = (make_label([[1, 1]], {1: ROAD}, (), "a"),)
    nothing = dict.fromkeys(("trivial_pq", "trivial_miou", "filled_pq"))
    one = {"trivial_pq": 1.0, "trivial_miou": 1.0}
    for number, (found, truth, expected) in enumerate(
        [(road, void, nothing), (void, road, nothing | one), (road, road, nothing | one)]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert score(folder, found, {"a": {1: 1.0}}, truth) == expected


def test_without_stuff_boxes_lie_on_void(tmp_path):
    categories = make_categories(stuff=(), things=("car",))
    label = make_label([[1, 1, 2, 0]], {1: 10, 2: 10}, (), "a")
    rates = score(tmp_path, (label,), {"a": {1: 1, 2: 1}}, (label,), categories)
    assert rates["filled_pq"] == 1


def test_of_equally_frequent_categories_the_first_is_taken():
    assert most_frequent({CAR: 2, SKY: 2, ROAD: 1}, CATEGORIES.categories) == SKY
    assert most_frequent({CAR: 0}, CATEGORIES.categories) is None


@given(segment_maps(max_enlargement=3), st.sampled_from([None, ROAD]))
@settings(max_examples=60, deadline=None)
def test_filled_boxes_hold_what_they_were_drawn_around(segment_map, base):
    label = to_runs(label_of(segment_map))
    filled = fill_boxes(label, label.segments, base)
    total = sum(s.area for s in filled.segments)
    things = sum(s.area for s in filled.segments if s.category_id == CAR)
    assert things >= sum(s.area for s in label.segments)
    assert total == (things if base is None else segment_map.size)
    assert len(filled.segments) <= len(label.segments) + (base is not None)


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_one_class_everywhere_has_the_share_of_its_class(tmp_path_factory, rows):
    label = make_label(rows, {1: ROAD, 2: SKY, 3: CAR}, (), "a")
    areas = np.bincount(np.ravel(rows), minlength=4)[1:]
    rates = score(tmp_path_factory.mktemp("sets"), (label,), {"a": dict.fromkeys(
        range(1, 4), 1.0)}, (label,))  # fmt: skip
    if areas.sum() == 0:
        assert rates["trivial_miou"] is None
    else:
        # Every other class that is there counts as 0.
        share = areas.max() / areas.sum()
        assert rates["trivial_miou"] == pytest.approx(share / np.count_nonzero(areas))
        assert 1 / 9 <= rates["trivial_miou"] <= 1
