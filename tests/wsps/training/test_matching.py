import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from annotools.categories import IGNORE_INDEX
from wsps.training.matching import UNMATCHED, match_labels

ROAD, CAR, BUS = 0, 1, 2
NO = UNMATCHED


def match(
    predicted: list[int],
    label_classes: list[int],
    num_things: int,
    classes: list[int],
    instances: list[int],
) -> list[int]:
    target = match_labels(
        np.array([predicted]),
        np.array(label_classes),
        num_things,
        np.array([classes], dtype=np.uint8),
        np.array([instances], dtype=np.int32),
    )
    return target[0].tolist()


def test_two_cars_by_hand():
    # Instance 7 overlaps label 1 by IoU 2/3 and label 0 by 1/5; instance 9 label 0 by 2/3.
    target = match(
        predicted=[1, 1, 0, 0, 0, 2],
        label_classes=[CAR, CAR, ROAD],
        num_things=2,
        classes=[CAR, CAR, CAR, CAR, CAR, ROAD],
        instances=[7, 7, 7, 9, 9, 0],
    )
    assert target == [1, 1, 1, 0, 0, 2]


def test_the_greatest_total_wins_over_the_greatest_single_overlap():
    # IoU: A with 0 is 7/14, A with 1 is 3/10, B with 0 is 4/11; greedy would give A label 0.
    target = match(
        predicted=[0] * 7 + [1] * 3 + [0] * 4,
        label_classes=[CAR, CAR],
        num_things=2,
        classes=[CAR] * 14,
        instances=[1] * 10 + [2] * 4,
    )
    assert target == [1] * 10 + [0] * 4


def test_a_detection_of_another_class_explains_nothing():
    assert match([0, 0, 1], [CAR, ROAD], 1, [BUS, BUS, ROAD], [1, 1, 0]) == [NO, NO, 1]


def test_instances_without_overlap_or_without_detections_stay_unmatched():
    assert match([0, 1, 1], [CAR, ROAD], 1, [ROAD, CAR, CAR], [0, 1, 1]) == [1, NO, NO]
    assert match([0, 0], [ROAD], 0, [ROAD, CAR], [0, 1]) == [0, NO]


def test_one_detection_explains_one_of_two_instances():
    assert match([0, 0, 0], [CAR], 1, [CAR] * 3, [1, 1, 2]) == [0, 0, NO]


def test_stuff_wins_back_pixels_that_it_lost_entirely():
    assert match([0, 0], [CAR, ROAD], 1, [ROAD, ROAD], [0, 0]) == [1, 1]


def test_unknown_pixels_have_no_target_even_inside_an_instance():
    target = match(
        predicted=[0, 0, 0, 0],
        label_classes=[CAR],
        num_things=1,
        classes=[IGNORE_INDEX, CAR, CAR, CAR],
        instances=[1, 1, 1, 0],
    )
    assert target == [NO, 0, 0, NO]


@settings(max_examples=50, deadline=None)
@given(
    predicted=arrays(np.int64, (3, 4), elements=st.integers(0, 3)),
    instances=arrays(np.int32, (3, 4), elements=st.integers(0, 3)),
    order=st.permutations([1, 2, 3]),
)
def test_the_numbers_of_true_instances_do_not_change_the_total_overlap(
    predicted: np.ndarray, instances: np.ndarray, order: list[int]
):
    classes = np.where(instances > 0, CAR, ROAD).astype(np.uint8)
    renumbered = np.array([0, *order], dtype=np.int32)[instances]
    label_classes = np.array([CAR, CAR, CAR, ROAD])

    def total_overlap(numbers: np.ndarray) -> float:
        target = match_labels(predicted, label_classes, 3, classes, numbers)
        assert (target[numbers == 0] == 3).all()
        total = 0.0
        for label in set(target[numbers > 0].tolist()) - {NO}:
            claimed, true = predicted == label, target == label
            assert len(np.unique(numbers[true])) == 1
            total += (claimed & true).sum() / (claimed | true).sum()
        return total

    assert np.isclose(total_overlap(instances), total_overlap(renumbered))
