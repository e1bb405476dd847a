import pytest

from studies.advice.purchases import images_for, minutes_per_image
from tests.studies.study_builders import make_result


def bought(mix: str, budget: float, spent: float, **images: int) -> object:
    return make_result(mix, budget, 0, 0.1, spent_hours=spent, images=images)


def test_images_are_interpolated_for_the_hours_that_were_spent() -> None:
    # 10 images an hour with 1 h, 20 with 4 h: 15 halfway on the logarithmic axis.
    rows = [bought("a", 1, 0.5, boxes=5), bought("a", 4, 4, boxes=80, full=4), bought("b", 1, 1)]
    assert images_for(rows, "a", 2) == pytest.approx({"boxes": 30, "full": 1})
    assert images_for(rows, "a", 1) == pytest.approx({"boxes": 10, "full": 0})
    assert images_for(rows, "a", 16) == pytest.approx({"boxes": 320, "full": 16})
    assert images_for(rows, "a", 0.5) == pytest.approx({"boxes": 5, "full": 0})
    assert images_for(rows, "b", 3) == {}


def test_seeds_count_together() -> None:
    rows = [
        make_result("a", 1, seed, 0.1, spent_hours=spent, images={"full": count})
        for seed, (spent, count) in enumerate(((0.5, 1), (1.0, 2)))
    ]
    assert images_for(rows, "a", 3) == pytest.approx({"full": 6})


def test_minutes_are_those_of_mixes_with_one_kind() -> None:
    rows = [bought("a", 1, 1, full=4), bought("b", 1, 1, full=0, boxes=60, none=9)]
    rows += [bought("c", 1, 1, full=1, boxes=1), bought("d", 1, 2, full=2)]
    assert minutes_per_image(rows) == pytest.approx({"full": 180 / 6, "boxes": 1})
