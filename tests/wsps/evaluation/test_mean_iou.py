import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from annotools.categories import IGNORE_INDEX
from annotools.errors import DatasetError
from tests.wsps.evaluation.score_records import mean_iou
from wsps.evaluation.mean_iou import PixelCounts, count_pixels

NO = IGNORE_INDEX
CLASS_MAPS = arrays(np.uint8, (3, 5), elements=st.sampled_from([0, 1, 2, NO]))


def count(truth: list[int], prediction: list[int], num_classes: int = 3) -> PixelCounts:
    maps = (np.array([row], dtype=np.uint8) for row in (truth, prediction))
    return count_pixels(*maps, num_classes, "street 1")


def test_scores_of_an_example_by_hand():
    counts = count([0, 0, 0, 1, 1, NO], [0, 0, 1, 1, 0, 1])
    assert counts.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    result = mean_iou(counts)
    np.testing.assert_allclose(result.iou, [2 / 4, 1 / 3, np.nan])
    assert result.mean == pytest.approx((2 / 4 + 1 / 3) / 2)


def test_a_pixel_without_prediction_is_a_miss_and_no_false_alarm():
    counts = count([0, 0, 1, NO], [0, NO, 1, NO])
    assert counts.unpredicted.tolist() == [1, 0, 0]
    np.testing.assert_allclose(mean_iou(counts).iou, [1 / 2, 1, np.nan])


def test_a_class_that_is_only_predicted_scores_zero():
    result = mean_iou(count([0, 0], [0, 2]))
    np.testing.assert_allclose(result.iou, [1 / 2, np.nan, 0])
    assert result.mean == 1 / 4


def test_nothing_is_defined_where_no_class_is_known():
    result = mean_iou(count([NO, NO], [0, 1]))
    assert np.isnan(result.iou).all()
    assert np.isnan(result.mean)


def test_counts_of_images_add_up():
    total = PixelCounts.zero(2) + count([0, 1], [0, NO], 2) + count([0, 1], [1, 1], 2)
    assert total.confusion.tolist() == [[1, 1], [0, 1]]
    assert total.unpredicted.tolist() == [0, 1]
    np.testing.assert_allclose(mean_iou(total).iou, [1 / 2, 1 / 3])


@given(CLASS_MAPS, CLASS_MAPS, CLASS_MAPS)
def test_what_is_predicted_under_void_changes_nothing(truth, prediction, other):
    changed = np.where(truth == NO, other, prediction)
    before = mean_iou(count_pixels(truth, prediction, 3, 1))
    after = mean_iou(count_pixels(truth, changed, 3, 1))
    np.testing.assert_array_equal(before.iou, after.iou)


@given(CLASS_MAPS, CLASS_MAPS)
def test_iou_equals_that_of_boolean_masks(truth, prediction):
    iou = mean_iou(count_pixels(truth, prediction, 3, 1)).iou
    known = truth != NO
    for class_index in range(3):
        true_mask, predicted_mask = truth == class_index, known & (prediction == class_index)
        union = np.sum(true_mask | predicted_mask)
        expected = np.sum(true_mask & predicted_mask) / union if union else np.nan
        np.testing.assert_array_equal(iou[class_index], expected)


def test_255_classes_fit():
    result = mean_iou(count([254, 0], [254, 0], 255))
    assert result.iou[254] == result.iou[0] == result.mean == 1


def test_maps_of_different_shape_are_refused():
    with pytest.raises(DatasetError, match=r"image street 1: .*shape \(1, 3\), the truth \(1, 2\)"):
        count([0, 0], [0, 0, 0])


def test_an_unknown_class_index_is_refused():
    with pytest.raises(DatasetError, match="image street 1: the prediction has class index 3"):
        count([0, 0], [0, 3])
    with pytest.raises(DatasetError, match="image street 1: the truth has class index 254"):
        count([0, 254], [0, 0])


def test_a_result_that_is_no_rate_cannot_be_made():
    impossible = PixelCounts(confusion=np.array([[3]]), unpredicted=np.array([-1]))
    with pytest.raises(AssertionError):
        mean_iou(impossible)
