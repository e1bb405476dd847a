from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.wsps.rectangles import HEIGHT, WIDTH, example_with_rectangles
from wsps.data import (
    Kept,
    TrainingExample,
    as_tensor,
    collate,
    prepare_example,
    prepare_photo,
    resize_example,
    stretch_photo,
)
from wsps.recipe import ImageSettings


def test_resizing_scales_boxes_by_the_true_factors():
    example = example_with_rectangles(1)
    smaller = resize_example(example, (20, 13))
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
    doubled = resize_example(example, (6, 4))
    assert np.array_equal(doubled.instances, numbers.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(
    ("min_side", "max_side", "size_hw"),
    [
        (None, None, (40, 60)),
        (None, 60, (40, 60)),
        (None, 30, (20, 30)),
        (60, None, (40, 60)),
        (90, None, (60, 90)),
        (90, 75, (50, 75)),
        (90, 30, (20, 30)),
    ],
)
@pytest.mark.parametrize("stretch", [False, True])
def test_photo_and_example_are_prepared_alike(
    min_side: int | None, max_side: int | None, size_hw: tuple[int, int], stretch: bool
):
    example = example_with_rectangles(2)
    settings = ImageSettings(min_side=min_side, max_side=max_side, stretch=stretch)
    prepared = prepare_example(example, settings)
    assert prepared.classes.shape == prepared.instances.shape == size_hw
    assert prepared.photo_side == size_hw[1]
    assert np.array_equal(prepared.photo, prepare_photo(example.photo, settings))


def test_a_thread_of_a_photo_keeps_a_pixel_of_width():
    thread = np.zeros((400, 3, 3), dtype=np.uint8)
    assert prepare_photo(thread, ImageSettings(max_side=40)).shape == (40, 1, 3)


def test_a_dark_photo_is_stretched_from_its_darkest_to_its_brightest():
    # Of 1000 values 20 are 10, and 20 are 50; the percentiles 1 and 99.8 lie among them.
    values = np.repeat(np.array([10, 20, 30, 50], dtype=np.uint8), [20, 480, 480, 20])
    photo = np.repeat(values.reshape(25, 40, 1), 3, axis=2)
    stretched = stretch_photo(photo, ImageSettings(stretch=True))
    # 255 / 40 for each grey value above 10.
    assert np.unique(stretched).tolist() == [0, 64, 128, 255]
    assert np.array_equal(stretched[..., 0], stretched[..., 2])
    assert stretch_photo(photo, ImageSettings()) is photo


def test_what_hardly_differs_is_not_stretched_to_noise():
    photo = np.full((8, 8, 3), 200, dtype=np.uint8)
    photo[:4] = 202
    assert np.unique(stretch_photo(photo, ImageSettings(stretch=True))).tolist() == [0, 32]


def test_a_batch_is_ready_on_its_device_and_its_lists_keep_empty_images():
    example = example_with_rectangles(0)
    empty = replace(example, boxes_xyxy=example.boxes_xyxy[:0], box_classes=example.box_classes[:0])
    batch = collate([example, empty]).on_device(torch.device("cpu"))
    assert batch.names == ("rectangles 0", "rectangles 0")
    assert batch.images.shape == (2, 3, HEIGHT, WIDTH)
    assert batch.images.dtype == torch.float32
    assert torch.equal(batch.images[1], as_tensor(example.photo))
    assert batch.classes.dtype == torch.int64
    assert [len(boxes) for boxes in batch.boxes] == [6, 0]
    assert batch.boxes[1].shape == (0, 4)


def test_a_photo_is_rgb_of_0_to_255_in_planes():
    photo = np.array([[[1, 2, 255], [4, 5, 6]]], dtype=np.uint8)
    assert as_tensor(photo).tolist() == [[[1, 4]], [[2, 5]], [[255, 6]]]


def test_examples_are_kept_while_there_is_room():
    made = []

    def make(number: int) -> TrainingExample:
        made.append(number)
        return example_with_rectangles(number)

    example_bytes = HEIGHT * WIDTH * (3 + 1 + 4)
    makers = [lambda i=i: make(i) for i in range(3)]
    examples = Kept(makers, lambda _: example_bytes, keep_bytes=2 * example_bytes)
    for _ in range(2):
        assert [len(example.box_classes) for example in examples] == [6, 6, 6]
    assert made == [0, 1, 2, 2]


def test_examples_are_made_ahead_up_to_the_room():
    made = []

    def make(number: int) -> TrainingExample:
        made.append(number)
        return example_with_rectangles(number)

    example_bytes = HEIGHT * WIDTH * (3 + 1 + 4)
    makers = [lambda i=i: make(i) for i in range(9)]
    examples = Kept(makers, lambda _: example_bytes, keep_bytes=2 * example_bytes)
    examples.keep(threads=1)
    # One that did not fit, and one that was on the way.
    assert made[:3] == [0, 1, 2]
    assert len(made) <= 4
    before = len(made)
    assert (examples[0].name, examples[1].name) == ("rectangles 0", "rectangles 1")
    assert len(made) == before
