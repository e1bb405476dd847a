import pytest

from annotools.errors import DatasetError
from tests.builders import make_categories, make_label
from wsps.evaluation.image_scores import rank_by_given, rank_by_oracle
from wsps.evaluation.overlaps import measure_overlaps

CATEGORIES = make_categories()
ROAD, SKY, CAR = 10, 20, 30


def test_the_score_given_is_kept_and_a_missing_one_is_named():
    label = make_label([[1, 2]], {1: CAR, 2: ROAD})
    scores = {1: 0.5, 2: 0.25, 9: 1.0}
    assert rank_by_given(label, scores, "detection") == {1: 0.5, 2: 0.25}
    with pytest.raises(DatasetError, match="image 1: segment 2 of the prediction has no score"):
        rank_by_given(label, {1: 0.5}, "detection")


def rank(truth, prediction):
    return rank_by_oracle(measure_overlaps(truth, prediction, CATEGORIES), prediction)


def test_the_oracle_is_the_iou_with_the_best_true_segment_of_the_class():
    truth = make_label([[1, 1, 1, 2, 2, 0, 3, 3]], {1: CAR, 2: CAR, 3: ROAD})
    prediction = make_label([[5, 5, 5, 5, 6, 6, 7, 7]], {5: CAR, 6: CAR, 7: SKY})
    # Car 5 has 3 of 4 pixels of car 1, car 6 has one of two of car 2 beside void.
    assert rank(truth, prediction) == {5: 3 / 4, 6: 1 / 2, 7: 0.0}


def test_the_oracle_knows_no_groups():
    truth = make_label([[1, 1]], {1: CAR}, groups=[1])
    assert rank(truth, make_label([[1, 1]], {1: CAR})) == {1: 0.0}
