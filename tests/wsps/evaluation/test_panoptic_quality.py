from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from annotools.label_maps import build_label, find_runs
from annotools.records import FullLabel
from tests.builders import make_categories, make_label
from tests.wsps.evaluation.one_image import count_image
from tests.wsps.evaluation.score_records import MeanQuality, PanopticQuality, panoptic_quality
from wsps.evaluation.panoptic_quality import PanopticCounts

CATEGORIES = make_categories()
ROAD, SKY, CAR = 10, 20, 30
CAR_INDEX = CATEGORIES.class_index_of[CAR]


def car_counts(
    truth: FullLabel, prediction: FullLabel, all_groups: bool = True
) -> tuple[float, int, int, int]:
    counts = count_image(truth, prediction, CATEGORIES, all_groups=all_groups)
    return (
        float(counts.iou_sum[CAR_INDEX]),
        int(counts.true_positives[CAR_INDEX]),
        int(counts.false_positives[CAR_INDEX]),
        int(counts.false_negatives[CAR_INDEX]),
    )


def same_counts(one: PanopticCounts, other: PanopticCounts) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("iou_sum", "true_positives", "false_positives", "false_negatives")
    )


def score(truth: FullLabel, prediction: FullLabel) -> PanopticQuality:
    return panoptic_quality(count_image(truth, prediction, CATEGORIES), CATEGORIES)


def test_scores_of_an_example_by_hand():
    truth = make_label([[1, 1, 1, 2, 2, 2], [3, 3, 3, 3, 0, 0]], {1: CAR, 2: CAR, 3: ROAD})
    prediction = make_label([[5, 5, 6, 6, 6, 0], [7, 7, 7, 8, 8, 8]], {5: 30, 6: 30, 7: 10, 8: 20})
    quality = score(truth, prediction)
    # Car 5 has IoU 2/3, car 6 has 2/4: one match, one car too many, one missed. Road: 3/4.
    # Sky 8 has two of three pixels in void.
    np.testing.assert_allclose(quality.pq, [3 / 4, np.nan, (2 / 3) / 2])
    np.testing.assert_allclose(quality.sq, [3 / 4, np.nan, 2 / 3])
    np.testing.assert_allclose(quality.dq, [1, np.nan, 1 / 2])
    assert quality.all.pq == pytest.approx((3 / 4 + 1 / 3) / 2)
    assert quality.all.sq == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert quality.all.dq == pytest.approx(3 / 4)
    assert quality.things.pq == pytest.approx(1 / 3)
    assert quality.stuff.pq == pytest.approx(3 / 4)
    assert [m.num_classes for m in (quality.all, quality.things, quality.stuff)] == [2, 1, 1]


def test_void_pixels_of_the_truth_are_left_out_of_the_union():
    truth = make_label([[1, 1, 1, 0, 0, 0]], {1: CAR})
    prediction = make_label([[4, 4, 0, 4, 4, 4]], {4: CAR})
    assert car_counts(truth, prediction) == (2 / 3, 1, 0, 0)


def test_half_is_not_enough_to_match():
    truth = make_label([[1, 1, 2, 2]], {1: CAR, 2: ROAD})
    prediction = make_label([[4, 0, 0, 0]], {4: CAR})
    assert car_counts(truth, prediction) == (0, 0, 1, 1)


def test_half_in_void_is_a_false_positive_and_more_than_half_is_not():
    truth = make_label([[2, 2, 2, 0, 0]], {2: ROAD})
    half = make_label([[0, 4, 4, 4, 4]], {4: CAR})
    more = make_label([[0, 0, 4, 4, 4]], {4: CAR})
    assert car_counts(truth, half) == (0, 0, 1, 0)
    assert car_counts(truth, more) == (0, 0, 0, 0)


def test_segments_of_different_category_do_not_match():
    truth = make_label([[1, 1]], {1: CAR})
    prediction = make_label([[1, 1]], {1: SKY})
    counts = count_image(truth, prediction, CATEGORIES)
    assert counts.true_positives.tolist() == [0, 0, 0]
    assert counts.false_positives.tolist() == [0, 1, 0]
    assert counts.false_negatives.tolist() == [0, 0, 1]


def test_a_group_is_neither_matched_nor_missed():
    truth = make_label([[1, 1, 2]], {1: CAR, 2: ROAD}, groups=[1])
    found = make_label([[1, 1, 2]], {1: CAR, 2: ROAD})
    overlooked = make_label([[0, 0, 2]], {2: ROAD})
    assert car_counts(truth, found) == (0, 0, 0, 0)
    assert car_counts(truth, overlooked) == (0, 0, 0, 0)


def test_a_group_does_not_excuse_a_segment_of_another_category():
    truth = make_label([[1, 1]], {1: CAR}, groups=[1])
    counts = count_image(truth, make_label([[1, 1]], {1: SKY}), CATEGORIES)
    assert counts.false_positives.tolist() == [0, 1, 0]


def test_all_groups_of_a_category_count_but_the_reference_takes_the_last():
    truth = make_label([[1, 1, 3, 2, 2, 2]], {1: CAR, 2: CAR, 3: ROAD}, groups=[1, 2])
    prediction = make_label([[4, 4, 4, 4, 4, 0]], {4: CAR})  # two pixels in each, one on road
    assert car_counts(truth, prediction) == (0, 0, 0, 0)
    assert car_counts(truth, prediction, all_groups=False) == (0, 0, 1, 0)


def test_the_last_group_is_the_last_in_segment_order():
    truth = make_label([[1, 3, 2, 2, 2]], {1: CAR, 2: CAR, 3: ROAD}, groups=[1, 2])
    prediction = make_label([[4, 4, 4, 4, 4]], {4: CAR})  # three of five in group 2
    reverse = replace(truth, segments=truth.segments[::-1])
    assert car_counts(truth, prediction, all_groups=False) == (0, 0, 0, 0)
    assert car_counts(reverse, prediction, all_groups=False) == (0, 0, 1, 0)
    assert car_counts(reverse, prediction) == (0, 0, 0, 0)


def test_a_class_that_occurs_without_a_match_scores_zero_and_counts():
    truth = make_label([[1, 1, 2, 2]], {1: CAR, 2: ROAD})
    quality = score(truth, make_label([[0, 0, 0, 0]], {}))
    for rates in (quality.pq, quality.sq, quality.dq):
        np.testing.assert_array_equal(rates, [0, np.nan, 0])
    assert quality.all == MeanQuality(pq=0, sq=0, dq=0, num_classes=2)


def test_nothing_is_defined_where_all_is_void():
    truth = make_label([[0, 0, 0]], {})
    quality = score(truth, make_label([[1, 1, 2]], {1: CAR, 2: ROAD}))
    assert np.isnan([quality.pq, quality.sq, quality.dq]).all()
    assert np.isnan([quality.all.pq, quality.things.sq, quality.stuff.dq]).all()
    assert quality.all.num_classes == 0


def test_an_instance_in_two_parts_is_one():
    truth = make_label([[1, 1, 2, 1]], {1: CAR, 2: ROAD})
    whole = make_label([[5, 5, 6, 5]], {5: CAR, 6: ROAD})
    parts = make_label([[5, 5, 6, 7]], {5: CAR, 6: ROAD, 7: CAR})
    assert car_counts(truth, whole) == (1, 1, 0, 0)
    assert car_counts(truth, parts) == (2 / 3, 1, 1, 0)


def test_ids_may_have_31_bits():
    near, far = 2**31 - 1, 2**31 - 1 - 2**16
    truth = make_label([[near, near, far, far]], {near: CAR, far: CAR})
    prediction = make_label([[far, far, near, 65_536]], {near: CAR, far: CAR, 65_536: CAR})
    assert car_counts(truth, prediction) == (1, 1, 2, 1)


def test_counts_of_images_add_up():
    truth = make_label([[1, 1, 2]], {1: CAR, 2: ROAD})
    hit = count_image(truth, truth, CATEGORIES)
    miss = count_image(truth, make_label([[0, 0, 4]], {4: CAR}), CATEGORIES)
    total = PanopticCounts.zero(3) + hit + miss
    assert total.iou_sum.tolist() == [1, 0, 1]
    assert total.true_positives.tolist() == [1, 0, 1]
    assert total.false_positives.tolist() == [0, 0, 1]
    assert total.false_negatives.tolist() == [1, 0, 1]
    np.testing.assert_allclose(panoptic_quality(total, CATEGORIES).pq, [1 / 1.5, np.nan, 1 / 2])


def test_the_background_counts_in_means_only_when_asked():
    categories = make_categories(things=("car",), stuff=("background",), background=True)
    truth = make_label([[1, 1, 2, 2]], {1: 10, 2: 20})
    counts = count_image(truth, make_label([[1, 1, 1, 1]], {1: 10}), categories)
    without = panoptic_quality(counts, categories)
    assert without.all == without.things == MeanQuality(pq=0, sq=0, dq=0, num_classes=1)
    assert without.stuff.num_classes == 0
    assert np.isnan(without.stuff.pq)
    counts = counts + count_image(truth, truth, categories)
    within = panoptic_quality(counts, categories, include_background=True)
    # Background: IoU 1 and a failed match at exactly one half. Car: one match, one miss.
    np.testing.assert_allclose(within.pq, [1 / 2, 1 / 1.5])
    assert within.stuff.pq == within.pq[0]
    assert within.all.pq == pytest.approx((1 / 2 + 1 / 1.5) / 2)


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("inf")])
def test_a_result_that_is_no_rate_cannot_be_made(rate):
    counts = count_image(label := make_label([[1]], {1: CAR}), label, CATEGORIES)
    impossible = replace(counts, iou_sum=np.where(counts.true_positives, rate, 0))
    with pytest.raises(AssertionError):
        panoptic_quality(impossible, CATEGORIES)


MAPS = arrays(np.int32, (4, 5), elements=st.integers(0, 4))
CATEGORY_OF = st.fixed_dictionaries({i: st.sampled_from([ROAD, CAR]) for i in range(1, 5)})


@st.composite
def truth_and_prediction(draw: st.DrawFn) -> tuple[FullLabel, FullLabel]:
    truth_map, other = draw(MAPS), draw(MAPS)
    kept = draw(arrays(np.bool_, truth_map.shape))
    category_of = draw(CATEGORY_OF)
    groups = draw(st.sets(st.integers(1, 4)))
    predicted_category_of = draw(st.just(category_of) | CATEGORY_OF)
    return (
        build_label(1, truth_map, category_of, sorted(groups)),
        build_label(1, np.where(kept, truth_map, other), predicted_category_of),
    )


def naive_counts(truth: FullLabel, prediction: FullLabel) -> Counter[tuple[str, int]]:
    def mask(label: FullLabel, segment_id: int) -> np.ndarray:
        return label.segment_map == segment_id

    void = mask(truth, 0)
    counts: Counter[tuple[str, int]] = Counter()
    partners = set()
    for t in truth.segments:
        if t.is_group:
            continue
        for p in prediction.segments:
            t_mask, p_mask = mask(truth, t.segment_id), mask(prediction, p.segment_id) & ~void
            iou = (t_mask & p_mask).sum() / (t_mask | p_mask).sum()
            if iou > 0.5 and t.category_id == p.category_id:
                counts["iou", t.category_id] += iou
                counts["tp", t.category_id] += 1
                partners.add(p.segment_id)
                break
        else:
            counts["fn", t.category_id] += 1
    for p in prediction.segments:
        unscored = void.copy()
        for t in truth.segments:
            if t.is_group and t.category_id == p.category_id:
                unscored |= mask(truth, t.segment_id)
        if p.segment_id not in partners and unscored[mask(prediction, p.segment_id)].mean() <= 0.5:
            counts["fp", p.category_id] += 1
    return counts


@given(truth_and_prediction())
def test_counts_equal_those_of_a_naive_program(labels):
    counts = count_image(*labels, CATEGORIES)
    naive = naive_counts(*labels)
    for category_id, index in CATEGORIES.class_index_of.items():
        assert counts.iou_sum[index] == pytest.approx(naive["iou", category_id])
        assert counts.true_positives[index] == naive["tp", category_id]
        assert counts.false_positives[index] == naive["fp", category_id]
        assert counts.false_negatives[index] == naive["fn", category_id]


@given(truth_and_prediction(), MAPS)
def test_what_is_predicted_under_void_changes_no_match_and_no_miss(labels, other):
    truth, prediction = labels
    category_of = dict.fromkeys(range(1, 5), CAR)
    category_of |= {s.segment_id: s.category_id for s in prediction.segments}
    changed_map = np.where(truth.segment_map == 0, other, prediction.segment_map)
    before = count_image(truth, prediction, CATEGORIES)
    after = count_image(truth, build_label(1, changed_map, category_of), CATEGORIES)
    # False positives may change: whether an unmatched segment is mostly in void is what
    # decides about it.
    assert before.iou_sum.tolist() == after.iou_sum.tolist()
    assert before.true_positives.tolist() == after.true_positives.tolist()
    assert before.false_negatives.tolist() == after.false_negatives.tolist()


@given(truth_and_prediction())
def test_a_segment_that_is_wholly_under_void_changes_nothing(labels):
    truth, prediction = labels
    hidden_map = np.where(truth.segment_map == 0, 0, prediction.segment_map)
    extra_map = np.where(truth.segment_map == 0, 99, prediction.segment_map)
    category_of = {s.segment_id: s.category_id for s in prediction.segments}
    hidden = count_image(truth, build_label(1, hidden_map, category_of), CATEGORIES)
    extra = build_label(1, extra_map, category_of | {99: CAR})
    assert same_counts(hidden, count_image(truth, extra, CATEGORIES))


@given(truth_and_prediction(), st.permutations([7, 65_536, 2**24 + 1, 2**31 - 1]))
def test_numbering_and_order_of_segments_do_not_matter(labels, new_ids):
    renamed = [
        replace(
            label,
            drawn=None,
            runs=find_runs(np.array([0, *new_ids], dtype=np.int32)[label.segment_map]),
            segments=tuple(
                replace(s, segment_id=new_ids[s.segment_id - 1]) for s in reversed(label.segments)
            ),
        )
        for label in labels
    ]
    before, after = count_image(*labels, CATEGORIES), count_image(*renamed, CATEGORIES)
    assert same_counts(before, after)


@given(truth_and_prediction())
def test_the_truth_itself_scores_one_wherever_it_is_defined(labels):
    truth = labels[0]
    quality = score(truth, truth)
    scored = {CATEGORIES.class_index_of[s.category_id] for s in truth.segments if not s.is_group}
    expected = [1.0 if i in scored else np.nan for i in range(len(CATEGORIES))]
    for rates in (quality.pq, quality.sq, quality.dq):
        np.testing.assert_array_equal(rates, expected)
    assert quality.all.num_classes == len(scored)
