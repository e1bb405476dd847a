from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from annotools.categories import IGNORE_INDEX
from annotools.label_maps import measure_segments
from wsps.data import (
    Examples,
    TrainingExample,
    as_tensor,
    augment,
    collate,
    reduce_example,
    reduce_photo,
    resize_example,
)

HEIGHT, WIDTH = 40, 60


def example_with_rectangles(seed: int) -> TrainingExample:
    """Six rectangles that do not touch, each of its own colour, class and instance number."""
    rng = np.random.default_rng(seed)
    instances = np.zeros((HEIGHT, WIDTH), dtype=np.int32)
    boxes = []
    for number in range(6):
        left, top = 20 * (number % 3), 20 * (number // 3)
        x0, y0 = left + rng.integers(1, 9), top + rng.integers(1, 9)
        x1, y1 = x0 + rng.integers(2, 10), y0 + rng.integers(2, 10)
        instances[y0:y1, x0:x1] = number + 1
        boxes.append((x0, y0, x1, y1))
    photo = np.repeat(30 * instances[..., None], 3, axis=2).astype(np.uint8)
    return TrainingExample(
        photo=photo,
        photo_side=WIDTH,
        classes=instances.astype(np.uint8),
        instances=instances,
        boxes_xyxy=np.array(boxes, dtype=np.float32),
        box_classes=np.arange(1, 7),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    crop_size_wh=st.tuples(st.integers(16, 90), st.integers(16, 90)),
    scale=st.sampled_from([1, 2]),
)
def test_a_random_view_keeps_photo_maps_and_boxes_together(
    seed: int, crop_size_wh: tuple[int, int], scale: int
):
    example = example_with_rectangles(seed)
    view = augment(example, crop_size_wh, (scale, scale), np.random.default_rng(seed))
    assert view.photo.shape == (crop_size_wh[1], crop_size_wh[0], 3)
    assert view.classes.shape == view.instances.shape == view.photo.shape[:2]
    assert view.photo_side == scale * WIDTH
    known = view.classes != IGNORE_INDEX
    seen = min(crop_size_wh[0], scale * WIDTH) * min(crop_size_wh[1], scale * HEIGHT)
    assert known.sum() == seen
    assert np.array_equal(view.classes[known], view.instances[known])
    assert (view.instances[~known] == 0).all()
    measured = measure_segments(view.instances)
    boxes = dict(zip(view.box_classes.tolist(), view.boxes_xyxy.tolist(), strict=True))
    for number, (area, tight_box) in measured.items():
        whole_area = scale**2 * (example.instances == number).sum()
        sides = (tight_box[2] - tight_box[0], tight_box[3] - tight_box[1])
        assert (number in boxes) == (area >= 0.3 * whole_area and min(sides) >= 2)
        assert boxes.get(number, list(tight_box)) == list(tight_box)
    assert boxes.keys() <= measured.keys()
    if scale == 1:
        for number in measured:
            colours = view.photo[view.instances == number]
            assert (colours == colours[0]).all()
            assert abs(colours[0].mean() - 30 * number) < 0.25 * 30 * number


def test_flips_and_crops_vary_and_repeat_with_the_generator():
    example = example_with_rectangles(0)

    def view(seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        return augment(example, (32, 32), (0.8, 1.25), rng).instances.tobytes()

    assert view(3) == view(3)
    assert len({view(seed) for seed in range(8)}) == 8
    flipped = [
        np.array_equal(
            augment(example, (WIDTH, HEIGHT), (1, 1), np.random.default_rng(seed)).instances,
            example.instances[:, ::-1],
        )
        for seed in range(12)
    ]
    assert 0 < sum(flipped) < 12


def test_resizing_scales_boxes_by_the_true_factors():
    example = example_with_rectangles(1)
    smaller = resize_example(example, 0.33)  # 13 x 20 pixels
    assert smaller.classes.shape == smaller.photo.shape[:2] == (13, 20)
    expected = example.boxes_xyxy * np.array([20 / 60, 13 / 40] * 2)
    assert np.allclose(smaller.boxes_xyxy, expected)
    assert set(np.unique(smaller.classes)) <= set(np.unique(example.classes))


def test_instance_numbers_beyond_16_bit_survive_a_resize():
    numbers = np.arange(2**24 - 6, 2**24, dtype=np.int32).reshape(2, 3)
    example = replace(
        example_with_rectangles(0),
        photo=np.zeros((2, 3, 3), dtype=np.uint8),
        classes=np.zeros((2, 3), dtype=np.uint8),
        instances=numbers,
    )
    doubled = resize_example(example, 2.0)
    assert np.array_equal(doubled.instances, numbers.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(
    ("max_side", "size_hw"), [(None, (40, 60)), (60, (40, 60)), (30, (20, 30)), (1, (1, 1))]
)
def test_photo_and_example_are_reduced_alike(max_side: int | None, size_hw: tuple[int, int]):
    example = example_with_rectangles(2)
    reduced = reduce_example(example, max_side)
    assert reduced.classes.shape == reduced.instances.shape == size_hw
    assert np.array_equal(reduced.photo, reduce_photo(example.photo, max_side))


def test_a_thread_of_a_photo_keeps_a_pixel_of_width():
    assert reduce_photo(np.zeros((400, 3, 3), dtype=np.uint8), 40).shape == (40, 1, 3)


def test_a_batch_has_the_colours_and_its_lists_keep_empty_images():
    example = example_with_rectangles(0)
    empty = replace(example, boxes_xyxy=example.boxes_xyxy[:0], box_classes=example.box_classes[:0])
    batch = collate([example, empty], torch.device("cpu"))
    assert batch.images.shape == (2, 3, HEIGHT, WIDTH)
    assert batch.classes.dtype == torch.int64
    assert [len(boxes) for boxes in batch.boxes] == [6, 0]
    assert batch.boxes[1].shape == (0, 4)
    assert batch.images.dtype == torch.float32
    assert np.array_equal(batch.images[0].permute(1, 2, 0).numpy(), example.photo)
    photo = np.array([[[255, 1, 2], [3, 4, 0]]], dtype=np.uint8)
    assert as_tensor(photo).tolist() == [[[255.0, 3.0]], [[1.0, 4.0]], [[2.0, 0.0]]]


def test_examples_are_kept_while_there_is_room():
    made = []

    def make(number: int) -> TrainingExample:
        made.append(number)
        return example_with_rectangles(number)

    example_bytes = HEIGHT * WIDTH * (3 + 1 + 4)
    examples = Examples([lambda i=i: make(i) for i in range(3)], keep_bytes=2 * example_bytes)
    for _ in range(2):
        assert [len(example.box_classes) for example in examples] == [6, 6, 6]
    assert made == [0, 1, 2, 2]
