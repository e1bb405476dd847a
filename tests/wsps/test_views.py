import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from annotools.categories import IGNORE_INDEX
from annotools.label_maps import measure_segments
from tests.wsps.rectangles import HEIGHT, WIDTH, example_with_rectangles
from wsps.data import TrainingExample
from wsps.recipe import ViewSettings
from wsps.views import MEAN_COLOUR, draw_view


def look(
    example: TrainingExample,
    crop_size_wh: tuple[int, int],
    scale_range: tuple[float, float],
    seed: int,
) -> TrainingExample:
    settings = ViewSettings(crop_size_wh=crop_size_wh, scale_range=scale_range)
    return draw_view(example, settings, np.random.default_rng(seed))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    half_wh=st.tuples(st.integers(8, 45), st.integers(8, 45)),
    scale=st.sampled_from([1, 2]),
)
def test_a_random_view_keeps_photo_maps_and_boxes_together(
    seed: int, half_wh: tuple[int, int], scale: int
):
    example = example_with_rectangles(seed)
    # Even, so that a window of half the size is seen exactly twice as large.
    crop_size_wh = 2 * half_wh[0], 2 * half_wh[1]
    view = look(example, crop_size_wh, (scale, scale), seed)
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
        return look(example, (32, 32), (0.8, 1.25), seed).instances.tobytes()

    assert view(3) == view(3)
    assert len({view(seed) for seed in range(8)}) == 8
    flipped = [
        np.array_equal(
            look(example, (WIDTH, HEIGHT), (1, 1), seed).instances,
            example.instances[:, ::-1],
        )
        for seed in range(12)
    ]
    assert 0 < sum(flipped) < 12


def test_a_view_has_the_size_of_the_crop_whatever_the_scale():
    example = example_with_rectangles(0)
    for seed in range(20):
        view = look(example, (33, 47), (0.3, 3.0), seed)
        assert view.photo.shape == (47, 33, 3)
        assert view.classes.shape == view.instances.shape == (47, 33)
        assert (view.boxes_xyxy[:, :2] >= 0).all()
        assert (view.boxes_xyxy[:, 2:] <= (33, 47)).all()


def test_padding_has_the_mean_colour_but_for_the_tint():
    example = example_with_rectangles(0)
    view = look(example, (200, 200), (1, 1), seed=0)
    padding = view.photo[view.classes == IGNORE_INDEX]
    assert (padding == padding[0]).all()
    assert np.allclose(padding[0] / MEAN_COLOUR, 1, atol=0.25)


def test_a_view_of_part_of_a_photo_is_what_the_whole_photo_enlarged_shows():
    ramp = np.tile(np.arange(WIDTH, dtype=np.uint8) * 4, (HEIGHT, 1))
    example = example_with_rectangles(0)
    example = TrainingExample(
        **{
            **{name: getattr(example, name) for name in example.__dataclass_fields__},
            "photo": np.repeat(ramp[..., None], 3, axis=2),
            "classes": ramp // 4,
        }
    )
    view = look(example, (40, 40), (2, 2), seed=4)
    # The column that a pixel is of, by its label; the photo's own brightness follows it.
    column = view.classes[0].astype(float)
    assert sorted(set(np.abs(np.diff(column)))) == [0, 1]
    brightness = view.photo[0, :, 0].astype(float)
    gain = brightness.max() / (4 * column.max())
    assert np.abs(brightness - gain * 4 * column).max() <= 4
