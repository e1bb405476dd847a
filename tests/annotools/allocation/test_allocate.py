import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotools.allocation.allocate import allocate
from annotools.errors import RecipeError
from tests.builders import make_plan

KINDS = ("full", "boxes", "tags", "boxes+tags")
SECOND = 1 / 3600

prices_of_image = st.tuples(*[st.floats(0, 6000)] * len(KINDS))
prices_of_images = st.lists(prices_of_image, max_size=12).map(
    lambda rows: {i: dict(zip(KINDS, row, strict=True)) for i, row in enumerate(rows)}
)
mixes = st.dictionaries(st.sampled_from(KINDS), st.floats(0.01, 10), min_size=1)
hours = st.floats(0, 12)
seeds = st.integers(0, 5)


def buy(mix, budget_hours, prices, seed, queues=None, share_by="hours"):
    plan = make_plan(mix, budget_hours, seed=seed, share_by=share_by)
    return allocate(plan, prices, queues)


def same_prices(count, **price_of):
    return dict.fromkeys(range(count), price_of)


def test_the_kind_furthest_behind_its_share_is_bought_next():
    prices = same_prices(8, full=60.0, boxes=20.0)
    allocation = buy({"full": 1, "boxes": 1}, 200 * SECOND, prices, seed=0)

    # full 60 | boxes 20, 40, 60 | tie: full 120 | boxes 80; another of 20 would make 220.
    assert list(allocation.kind_of.values()) == ["full", *["boxes"] * 3, "full", "boxes"]
    assert allocation.spent_seconds == 200
    assert allocation.spent_by_kind == {"full": 120, "boxes": 80}


@pytest.mark.parametrize(("seconds", "ran_out"), [(59, False), (60, True), (90, True)])
def test_it_says_when_no_image_is_left(seconds, ran_out):
    allocation = buy({"full": 1}, seconds * SECOND, same_prices(3, full=20.0), seed=0)

    assert allocation.ran_out == ran_out
    assert allocation.next_purchase == (None if ran_out else ("full", 20))


def test_ties_go_to_the_first_of_the_mix():
    prices = same_prices(1, full=5.0, boxes=5.0)

    assert set(buy({"boxes": 2, "full": 2}, 1, prices, 0).kind_of.values()) == {"boxes"}
    assert set(buy({"full": 2, "boxes": 2}, 1, prices, 0).kind_of.values()) == {"full"}


def test_it_stops_at_the_first_purchase_that_is_too_dear():
    prices = same_prices(4, full=100.0, boxes=1.0)
    allocation = buy({"boxes": 1, "full": 1}, 50 * SECOND, prices, seed=0)

    assert list(allocation.kind_of.values()) == ["boxes"]
    assert allocation.spent_by_kind == {"boxes": 1, "full": 0}


def test_a_budget_that_is_the_sum_of_prices_buys_them_all():
    prices = same_prices(2975, boxes=182.3)
    budget_hours = 2975 * 182.3 / 3600

    assert len(buy({"boxes": 1}, budget_hours, prices, seed=0).kind_of) == 2975


def test_an_infinite_budget_labels_every_image():
    allocation = buy({"tags": 1}, math.inf, same_prices(9, tags=3.0), seed=0)

    assert set(allocation.kind_of) == set(range(9))
    assert allocation.spent_seconds == 27


def test_no_budget_or_no_images_buy_nothing():
    for allocation in (
        buy({"tags": 1}, 0, same_prices(9, tags=3.0), seed=0),
        buy({"tags": 1}, 5, {}, seed=0),
    ):
        assert allocation.kind_of == {}
        assert allocation.spent_seconds == 0
        assert allocation.spent_by_kind == {"tags": 0}


def test_order_depends_on_seed_and_not_on_how_prices_are_listed():
    prices = same_prices(50, tags=1.0)
    backwards = dict(reversed(prices.items()))
    orders = [list(buy({"tags": 1}, 1, prices, seed).kind_of) for seed in (0, 1)]

    assert orders[0] != orders[1]
    assert orders[0] == list(buy({"tags": 1}, 1, backwards, seed=0).kind_of)


def test_ids_may_be_names():
    prices = {"b": {"tags": 1.0}, "a": {"tags": 1.0}}

    assert set(buy({"tags": 1}, 1, prices, seed=0).kind_of) == {"a", "b"}


def test_only_the_proportion_of_shares_counts():
    prices = same_prices(30, full=60.0, boxes=7.0)
    small = buy({"full": 0.25, "boxes": 0.75}, 0.1, prices, seed=0)
    large = buy({"full": 2, "boxes": 6}, 0.1, prices, seed=0)

    assert replace(large, settings=small.settings) == small


def test_shares_may_be_of_the_images():
    prices = same_prices(6, full=60.0, boxes=1.0)
    allocation = buy({"full": 1, "boxes": 2}, 1, prices, seed=0, share_by="images")

    # Counts over shares: full 1 | boxes 1, 2 | tie: full 2 | boxes 3, 4.
    assert list(allocation.kind_of.values()) == ["full", "boxes", "boxes"] * 2
    assert allocation.spent_by_kind == {"full": 120, "boxes": 4}


def test_what_is_left_is_reported():
    prices = same_prices(4, full=100.0)

    assert buy({"full": 1}, 250 * SECOND, prices, 0).left_seconds == pytest.approx(50)
    assert buy({"full": 1}, math.inf, prices, 0).left_seconds == math.inf
    # Rounding may let purchases exceed a budget by less than a billionth of it.
    assert buy({"full": 1}, 200 * SECOND * (1 - 1e-10), prices, 0).left_seconds == 0


@pytest.mark.parametrize("share", [0.01, 1, 99])
def test_by_hours_images_without_a_label_are_what_nothing_else_bought(share):
    prices = same_prices(9, full=100.0)
    without = buy({"full": 1}, 350 * SECOND, prices, seed=2)
    allocation = buy({"full": 1, "none": share}, 350 * SECOND, prices, seed=2)

    assert set(allocation.kind_of) == set(prices)
    assert allocation.labelled == tuple(without.kind_of)
    assert list(allocation.kind_of.values()) == ["full"] * 3 + ["none"] * 6
    assert allocation.spent_by_kind == {"full": 300, "none": 0}


def test_an_order_of_one_s_own_lists_the_images_without_a_label_too():
    prices = same_prices(6, full=100.0)
    queues = dict.fromkeys(("full", "none"), (4, 1, 2))
    allocation = buy({"full": 1, "none": 1}, 150 * SECOND, prices, 0, queues)

    assert allocation.kind_of[4] == "full"
    assert set(allocation.kind_of) == {4, 1, 2}


def test_by_images_those_without_a_label_have_their_share():
    prices = same_prices(9, full=100.0)
    allocation = buy({"none": 2, "full": 1}, 250 * SECOND, prices, 0, share_by="images")

    # The third label would exceed the budget; until then two images go without for each.
    assert list(allocation.kind_of.values()) == ["none", "full", "none"] * 2 + ["none"]
    assert allocation.spent_seconds == 200


def test_an_unknown_base_of_shares_is_refused():
    with pytest.raises(RecipeError, match="shares by 'days': use hours or images"):
        buy({"boxes": 1}, 1, same_prices(2, boxes=7.0), seed=0, share_by="days")


def test_the_default_sequence_is_what_finished_studies_bought():
    prices = {i: {"full": 31.0, "boxes": 7.0 * (1 + i % 5)} for i in range(12)}
    allocation = buy({"boxes": 1, "full": 1}, 1, prices, seed=1)

    assert list(allocation.kind_of) == [0, 3, 10, 9, 1, 4, 11, 2, 7, 6, 8, 5]
    assert "".join(kind[0] for kind in allocation.kind_of.values()) == "bfbbfbfbfbbf"


@given(mixes, prices_of_images, hours, hours, seeds)
def test_a_smaller_budget_buys_the_beginning_of_a_larger_one(mix, prices, first, second, seed):
    small = buy(mix, min(first, second), prices, seed)
    large = buy(mix, max(first, second), prices, seed)

    bought = list(large.kind_of.items())
    assert list(small.kind_of.items()) == bought[: len(small.kind_of)]


@given(mixes, prices_of_images, hours, seeds)
def test_it_spends_what_it_says_and_never_more_than_the_budget(mix, prices, budget, seed):
    allocation = buy(mix, budget, prices, seed)

    paid = Counter(dict.fromkeys(mix, 0.0))
    for image_id, kind in allocation.kind_of.items():
        paid[kind] += prices[image_id][kind]
    assert allocation.spent_by_kind == paid
    assert allocation.spent_seconds == pytest.approx(sum(paid.values()))
    assert allocation.spent_seconds <= budget * 3600 * (1 + 1e-8)


@given(mixes, prices_of_images, hours, seeds)
def test_what_is_left_does_not_pay_for_the_next_purchase(mix, prices, budget, seed):
    allocation = buy(mix, budget, prices, seed)
    sequence = list(buy(mix, math.inf, prices, seed).kind_of.items())

    assert len(sequence) == len(prices)
    for image_id, kind in sequence[len(allocation.kind_of) :][:1]:
        assert budget * 3600 - allocation.spent_seconds < prices[image_id][kind]


@given(mixes, prices_of_images, hours, seeds)
def test_no_kind_is_ahead_of_its_share_by_more_than_one_purchase(mix, prices, budget, seed):
    allocation = buy(mix, budget, prices, seed)
    dearest = max((max(row.values()) for row in prices.values()), default=0)

    for kind, spent in allocation.spent_by_kind.items():
        share = mix[kind] / sum(mix.values())
        assert spent <= share * allocation.spent_seconds + dearest + 1e-6


@given(mixes, prices_of_images, hours, seeds)
def test_the_same_question_has_the_same_answer(mix, prices, budget, seed):
    assert buy(mix, budget, prices, seed) == buy(mix, budget, dict(prices), seed)


@pytest.mark.parametrize(
    ("mix", "budget", "message"),
    [
        ({}, 1, "mix is empty: give a share to some of full, boxes"),
        ({"masks": 1}, 1, "label kind 'masks': use full, boxes"),
        ({"boxes": 0}, 1, "mix.boxes = 0: give a share above 0"),
        ({"boxes": 1, "tags": -1}, 1, "mix.tags = -1: give"),
        ({"boxes": math.inf}, 1, "mix.boxes = inf: give"),
        ({"boxes": math.nan}, 1, "mix.boxes = nan: give"),
        ({"full": 1}, 1, "mix has 'full', but image 0 has no price for it"),
        ({"boxes": 1}, -1, "budget of -1 hours"),
        ({"boxes": 1}, math.nan, "budget of nan hours"),
        ({"none": 1}, 1, "the mix buys no label: add a kind to 'none'"),
    ],
)
def test_impossible_questions_are_refused(mix, budget, message):
    with pytest.raises(RecipeError, match=message):
        buy(mix, budget, same_prices(2, boxes=7.0, tags=1.0), seed=0)
