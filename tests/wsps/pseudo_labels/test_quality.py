import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.categories import IGNORE_INDEX
from tests.builders import make_categories
from wsps.evaluation.mean_iou import PixelCounts, count_pixels
from wsps.pseudo_labels.quality import CropScores, QualityRow, quality_rows, tag_precision

CATEGORIES = make_categories(things=("car", "bus"), stuff=("road", "sky"))
ROAD, SKY, CAR, BUS, NO = 0, 1, 2, 3, IGNORE_INDEX


def rows_of(truth: list[int], label: list[int]) -> dict[str, QualityRow]:
    maps = (np.array([values], dtype=np.uint8) for values in (truth, label))
    counts = count_pixels(*maps, len(CATEGORIES), 1)
    return {row.name: row for row in quality_rows(counts, CATEGORIES)}


def test_rates_of_a_map_worked_out_by_hand() -> None:
    rows = rows_of(
        [ROAD, ROAD, ROAD, ROAD, SKY, SKY, CAR, CAR, NO, NO],
        [ROAD, ROAD, SKY, NO, SKY, NO, CAR, ROAD, CAR, NO],
    )
    road, sky, car = rows["road"], rows["sky"], rows["car"]
    assert (road.precision, road.recall, road.coverage) == (2 / 3, 2 / 4, 3 / 4)
    assert (sky.precision, sky.recall, sky.coverage) == (1 / 2, 1 / 2, 1 / 2)
    assert (car.precision, car.recall, car.coverage) == (1, 1 / 2, 1)
    assert (road.pixels, road.labelled, road.kind, car.kind) == (4, 3, "stuff", "thing")
    everything, things, stuff = rows["all"], rows["things"], rows["stuff"]
    assert (everything.precision, everything.recall, everything.coverage) == (4 / 6, 4 / 8, 6 / 8)
    assert (things.precision, things.recall, things.coverage) == (1, 1 / 2, 1)
    assert (stuff.precision, stuff.recall, stuff.coverage) == (3 / 5, 3 / 6, 4 / 6)
    assert (everything.pixels, everything.labelled) == (8, 6)


def test_what_has_no_pixel_is_undefined() -> None:
    bus = rows_of([ROAD], [ROAD])["bus"]
    assert (bus.precision, bus.recall, bus.coverage) == (None, None, None)
    wrong = rows_of([ROAD], [BUS])
    assert (wrong["bus"].precision, wrong["bus"].recall) == (0, None)
    assert (wrong["road"].precision, wrong["road"].coverage) == (None, 1)
    assert {row.precision for row in quality_rows(PixelCounts.zero(4), CATEGORIES)} == {None}


def scores_of(
    scores: list[list[float]], present: list[list[int]], asked: list[int] | None = None
) -> CropScores:
    shape = np.array(present).shape
    is_asked = np.ones(shape) if asked is None else np.broadcast_to(asked, shape)
    return CropScores(
        scores=np.array(scores, dtype=np.float32),
        present=np.array(present) > 0,
        asked=is_asked > 0,
    )


def test_average_precision_worked_out_by_hand() -> None:
    # Class 0 is ranked yes, no, yes: (1 + 2/3) / 2. Class 1 is in no crop.
    first = scores_of([[0.9, 0.5], [0.6, 0.5]], [[1, 0], [0, 0]])
    second = scores_of([[0.3, 0.9]], [[1, 0]])
    found = tag_precision([first, second], 2)
    assert found.num_crops == 3
    assert found.ap[0] == pytest.approx((1 + 2 / 3) / 2)
    assert math.isnan(found.ap[1])
    assert found.mean == pytest.approx((1 + 2 / 3) / 2)


def test_equal_scores_count_as_one_step() -> None:
    for present in ([[1], [0], [0], [1]], [[0], [1], [1], [0]]):
        found = tag_precision([scores_of([[0.5]] * 4, present)], 1)
        assert found.ap.tolist() == [0.5]


def test_a_class_nobody_was_asked_about_does_not_count() -> None:
    asked = scores_of([[0.9, 0.9], [0.1, 0.1]], [[1, 1], [0, 0]])
    unasked = scores_of([[1.0, 1.0]], [[0, 0]], asked=[1, 0])
    found = tag_precision([asked, unasked], 2)
    assert found.ap.tolist() == [0.5, 1.0]


def test_without_any_crop_nothing_is_defined() -> None:
    found = tag_precision([], 2)
    assert found.num_crops == 0
    assert np.isnan([*found.ap, found.mean]).all()


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.7]), st.booleans()), min_size=1, max_size=8))
def test_average_precision_is_the_area_under_the_steps_of_the_curve(
    crops: list[tuple[float, bool]],
) -> None:
    positives = sum(hit for _, hit in crops)
    area, recall = 0.0, 0.0
    for threshold in (0.7, 0.4, 0.1):
        kept = [hit for score, hit in crops if score >= threshold]
        if kept and positives:
            area += (sum(kept) / positives - recall) * sum(kept) / len(kept)
            recall = sum(kept) / positives
    scores = scores_of([[score] for score, _ in crops], [[hit] for _, hit in crops])
    found = tag_precision([scores], 1).mean
    assert math.isnan(found) if not positives else found == pytest.approx(area)
