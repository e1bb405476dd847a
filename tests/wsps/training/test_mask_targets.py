import torch
from torch import Tensor

from annotools.categories import IGNORE_INDEX
from wsps.training.mask_targets import mask_targets

ROAD, CAR, BUS, OPEN = 0, 1, 2, IGNORE_INDEX


def targets_of(boxes: list[list[float]], box_classes: list[int]) -> Tensor:
    """Of a 4 x 6 image: the car 1 on the left, the bus 2 on the right, an unlabelled column."""
    classes = torch.tensor(
        [
            [CAR, CAR, OPEN, ROAD, BUS, BUS],
            [CAR, CAR, OPEN, ROAD, BUS, BUS],
            [CAR, ROAD, OPEN, ROAD, CAR, ROAD],
            [ROAD, ROAD, OPEN, ROAD, ROAD, ROAD],
        ]
    )
    instances = torch.tensor(
        [[1, 1, 0, 0, 2, 2], [1, 1, 0, 0, 2, 2], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
    )
    return mask_targets(
        torch.tensor(boxes).reshape(-1, 4), torch.tensor(box_classes), classes, instances
    )


def test_the_object_is_1_the_rest_0_and_what_nobody_knows_a_half():
    # The box of the car has the unlabelled column in its first three rows; IoU 6/9 with its extent.
    (car,) = targets_of([[0, 0, 3, 3]], [CAR])
    assert car.tolist() == [
        [1, 1, 0.5, 0, 0, 0],
        [1, 1, 0.5, 0, 0, 0],
        [1, 0, 0.5, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_a_thing_pixel_without_an_instance_is_unknown_to_boxes_of_its_class_alone():
    # The pixel of a car below the bus may be of the car whose box is here.
    bus, car = targets_of([[4, 0, 6, 3], [0, 0, 5, 3]], [BUS, CAR])
    assert bus.tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1], [0] * 6, [0] * 6]
    # IoU 6/15 with the extent of the car: the instance of this box is not known.
    assert torch.equal(car, torch.full((4, 6), 0.5))


def test_an_instance_is_matched_from_half_of_the_union_on_and_by_its_class():
    # The extent of the bus has 4 pixels: IoU 4/8 and 4/9 (with a box that leaves the image).
    half, less, other = targets_of([[2, 0, 6, 2], [4, 0, 7, 3], [4, 0, 6, 2]], [BUS, BUS, CAR])
    assert half[0].tolist() == [0, 0, 0.5, 0, 1, 1]
    assert set(less.flatten().tolist()) == {0.5}
    assert set(other.flatten().tolist()) == {0.5}


def test_of_several_instances_the_one_that_fits_best_is_taken():
    classes, instances = torch.full((1, 6), CAR), torch.tensor([[7, 7, 7, 7, 9, 9]])
    boxes, box_classes = torch.tensor([[0.0, 0, 4, 1], [3.4, 0, 6, 1]]), torch.tensor([CAR, CAR])
    first, second = mask_targets(boxes, box_classes, classes, instances)
    assert first.tolist() == [[1, 1, 1, 1, 0, 0]]
    assert second.tolist() == [[0, 0, 0, 0, 1, 1]]


def test_without_boxes_or_instances_there_is_nothing_to_learn():
    assert targets_of([], []).shape == (0, 4, 6)
    classes = torch.full((2, 3), ROAD)
    (unknown,) = mask_targets(
        torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([CAR]), classes, torch.zeros_like(classes)
    )
    assert torch.equal(unknown, torch.full((2, 3), 0.5))
