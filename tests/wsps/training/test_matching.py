import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from annotools.categories import IGNORE_INDEX
from wsps.networks.instance import InstanceLabels
from wsps.training.matching import UNMATCHED, match_labels

ROAD, CAR, BUS = 0, 1, 2
NO = UNMATCHED


def labels_of(*images: tuple[list[int], int]) -> InstanceLabels:
    """Labels of images, each with its classes and how many of them are detections."""
    longest = max(len(classes) for classes, _ in images)
    classes = torch.zeros(len(images), longest, dtype=torch.int64)
    is_thing = torch.zeros(len(images), longest, dtype=torch.bool)
    is_label = torch.zeros(len(images), longest, dtype=torch.bool)
    for row, (listed, num_things) in enumerate(images):
        classes[row, : len(listed)] = torch.tensor(listed, dtype=torch.int64)
        is_thing[row, :num_things] = True
        is_label[row, : len(listed)] = True
    return InstanceLabels(
        class_indices=classes,
        scores=torch.ones(classes.shape),
        boxes_xyxy=torch.zeros(*classes.shape, 4),
        is_thing=is_thing,
        is_label=is_label,
    )


def match(
    predicted: list[int],
    label_classes: list[int],
    num_things: int,
    classes: list[int],
    instances: list[int],
) -> list[int]:
    target = match_labels(
        torch.tensor([[predicted]]),
        labels_of((label_classes, num_things)),
        torch.tensor([[classes]]),
        torch.tensor([[instances]], dtype=torch.int32),
    )
    return target[0, 0].tolist()


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


def test_a_union_counts_the_overlap_once():
    # Instance 2 has 3/5 with label 1; the other pairing has 1/4 and 1/4. Were the overlap in the
    # unions twice, 3/8 would be less than 1/5 and 1/5.
    target = match(
        predicted=[1, 0, 1, 1, 1],
        label_classes=[CAR, CAR],
        num_things=2,
        classes=[CAR] * 5,
        instances=[1, 2, 2, 2, 2],
    )
    assert target == [NO, 1, 1, 1, 1]


def test_pixels_of_a_label_outside_the_instance_are_in_the_union():
    # Label 0 covers half of the instance and nothing else: 2/4. Label 1 covers the other half and
    # two pixels of the road: 2/6.
    target = match(
        predicted=[0, 0, 1, 1, 1, 1],
        label_classes=[CAR, CAR, ROAD],
        num_things=2,
        classes=[CAR, CAR, CAR, CAR, ROAD, ROAD],
        instances=[1, 1, 1, 1, 0, 0],
    )
    assert target == [0, 0, 0, 0, 2, 2]


def test_unknown_pixels_of_a_label_are_in_no_union():
    # Label 1 has 3 of the instance's 5 pixels, and 10 that nobody knows: 3/5, not 3/15. Label 0
    # has 2/5.
    target = match(
        predicted=[0] * 2 + [1] * 13,
        label_classes=[CAR, CAR],
        num_things=2,
        classes=[CAR] * 5 + [IGNORE_INDEX] * 10,
        instances=[1] * 5 + [0] * 10,
    )
    assert target == [1] * 5 + [NO] * 10


def test_images_of_a_batch_are_matched_each_by_itself():
    # Both have an instance 1. The second image has one label less, and its road is label 1.
    target = match_labels(
        torch.tensor([[[0, 1, 1, 2]], [[0, 0, 1, 1]]]),
        labels_of(([CAR, CAR, ROAD], 2), ([BUS, ROAD], 1)),
        torch.tensor([[[CAR, CAR, CAR, ROAD]], [[BUS, BUS, BUS, ROAD]]]),
        torch.tensor([[[1, 1, 1, 0]], [[1, 1, 1, 0]]], dtype=torch.int32),
    )
    assert target.tolist() == [[[1, 1, 1, 2]], [[0, 0, 0, 1]]]


def test_what_is_no_label_explains_nothing():
    # Its class index is 0, which is that of the road, but the image has no label for it.
    target = match_labels(
        torch.tensor([[[0, 0]], [[0, 1]]]),
        labels_of(([CAR], 1), ([CAR, CAR], 2)),
        torch.tensor([[[CAR, ROAD]], [[CAR, CAR]]]),
        torch.tensor([[[1, 0]], [[1, 2]]], dtype=torch.int32),
    )
    assert target.tolist() == [[[0, NO]], [[0, 1]]]


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

    def total_overlap(numbers: np.ndarray) -> float:
        target = match_labels(
            torch.from_numpy(predicted)[None],
            labels_of(([CAR, CAR, CAR, ROAD], 3)),
            torch.from_numpy(classes)[None].long(),
            torch.from_numpy(numbers)[None],
        )[0].numpy()
        assert (target[numbers == 0] == 3).all()
        total = 0.0
        for label in set(target[numbers > 0].tolist()) - {NO}:
            claimed, true = predicted == label, target == label
            assert len(np.unique(numbers[true])) == 1
            total += (claimed & true).sum() / (claimed | true).sum()
        return total

    assert np.isclose(total_overlap(instances), total_overlap(renumbered))
