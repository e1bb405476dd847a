from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.allocation.allocate import allocate
from annotools.allocation.image_orders import (
    queue_images,
    random_order,
    read_image_list,
)
from annotools.errors import RecipeError
from tests.builders import make_plan

SECOND = 1 / 3600
PRICES = {
    "a": {"full": 50.0, "boxes": 4.0},
    "b": {"full": 40.0, "boxes": 6.0},
    "c": {"full": 90.0, "boxes": 2.0},
}


def test_cheapest_goes_by_the_price_of_each_kind() -> None:
    queues = queue_images("cheapest", ("full", "boxes"), PRICES, {}, seed=0)
    assert list(queues["full"]) == ["b", "a", "c"]
    assert list(queues["boxes"]) == ["c", "a", "b"]


def test_a_kind_takes_the_cheapest_image_that_no_other_kind_has() -> None:
    queues = queue_images("cheapest", ("boxes", "full"), PRICES, {}, seed=0)
    bought = allocate(make_plan({"boxes": 1, "full": 1}, 99 * SECOND), PRICES, queues)
    # boxes on c for 2, full on b for 40, then boxes on a for 4.
    assert list(bought.kind_of.items()) == [("c", "boxes"), ("b", "full"), ("a", "boxes")]
    assert bought.left_seconds == 99 - 46


def test_images_without_a_label_come_at_random() -> None:
    queues = queue_images("cheapest", ("boxes", "none"), PRICES, {}, seed=1)
    assert list(queues["none"]) == list(random_order(PRICES, 1))


def test_most_categories_go_first_and_ties_are_random() -> None:
    counts = dict(enumerate([1, 5, 1, 1, 1, 1, 1, 7]))
    prices = {image_id: {"full": 1.0} for image_id in counts}
    orders = [
        queue_images("most-categories", ["full"], prices, counts, seed)["full"] for seed in (0, 1)
    ]
    assert [order[:2] for order in orders] == [[7, 1], [7, 1]]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(counts)


def test_an_order_has_a_name_or_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("c\n\n a \n")
    counts = {"a": 2, "b": 2, "c": 3}
    found = {
        order: queue_images(order, ("boxes",), PRICES, counts, seed=3)["boxes"]
        for order in ("random", "cheapest", "most-categories", str(path))
    }
    assert list(found["random"]) == list(random_order(PRICES, 3))
    assert list(found["cheapest"]) == ["c", "a", "b"]
    assert found["most-categories"][0] == "c"
    assert list(found[str(path)]) == ["c", "a"]


def test_images_that_a_list_leaves_out_are_not_bought() -> None:
    bought = allocate(make_plan({"boxes": 1}, 1), PRICES, {"boxes": ("b", "a")})
    assert list(bought.kind_of) == ["b", "a"]


def test_numbers_are_found_by_their_text(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("7\n5")
    assert read_image_list(path, [5, 6, 7]) == (7, 5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("5\n8\n", "no image '8' can be bought; the first are 5, 6"),
        ("5\n6\n5\n", "image '5' is listed twice"),
        (" \n\n", r"list\.txt: lists no image: write image ids into it, one a line"),
        (
            None,
            r"cannot be read \(No such file or directory\): use random, cheapest, "
            "most-categories, or a text file",
        ),
    ],
)
def test_impossible_lists_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecipeError, match=message):
        read_image_list(path, [5, 6])


@given(
    st.lists(st.tuples(st.floats(0, 900), st.floats(0, 900)), max_size=12),
    st.floats(0, 2),
    st.floats(0, 2),
    st.sampled_from(["hours", "images"]),
)
def test_any_order_is_nested_and_within_the_budget(
    rows: list[tuple[float, float]], first: float, second: float, share_by: str
) -> None:
    prices = {i: {"full": full, "boxes": boxes} for i, (full, boxes) in enumerate(rows)}
    mix = {"full": 1.0, "boxes": 3.0}
    queues = queue_images("cheapest", mix, prices, {}, seed=0)
    small, large = (
        allocate(make_plan(mix, hours, share_by=share_by), prices, queues)
        for hours in sorted((first, second))
    )
    assert list(large.kind_of.items())[: len(small.kind_of)] == list(small.kind_of.items())
    assert large.spent_seconds <= max(first, second) * 3600 * (1 + 1e-8)
