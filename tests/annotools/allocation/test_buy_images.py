from dataclasses import replace

import pytest

from annotools.allocation.buy_images import buy_images, price_images, summarise_allocation
from annotools.errors import DatasetError, RecipeError, TimesError
from annotools.prices.image_content import UNKNOWN, measure_images
from annotools.prices.times import read_times
from annotools.records import Box, FullLabel, Image, WeakLabel
from tests.builders import (
    make_categories,
    make_dataset,
    make_label,
    make_plan,
    make_weak_dataset,
)

LABELS = {
    "1.png": make_label([[1, 2], [1, 3]], {1: 10, 2: 30, 3: 30}, image_id=1),
    "2.png": make_label([[1, 2]], {1: 10, 2: 20}, image_id=2),
}
DATASET = make_dataset(LABELS, make_categories())
CONTENTS = measure_images(DATASET, DATASET.images, None)


def test_every_image_gets_the_price_of_every_kind() -> None:
    kinds = ("boxes", "boxes+tags", "full")
    prices = price_images(CONTENTS, kinds, read_times("li2018"))
    # Two boxes at 7 s and one stuff tag at 1 s; no box and two tags.
    assert prices == {
        1: {"boxes": 14.0, "boxes+tags": 15.0, "full": 5400.0},
        2: {"boxes": 0.0, "boxes+tags": 2.0, "full": 5400.0},
    }


def test_a_preset_that_asks_about_absent_classes_charges_every_image_for_them() -> None:
    prices = price_images(CONTENTS, ("boxes", "tags"), read_times("bearman2016"))
    # Three classes; the second image has no car: one question, and both kinds of stuff as tags.
    assert prices == {1: {"boxes": 14.0, "tags": 3.0}, 2: {"boxes": 1.0, "tags": 3.0}}


def test_a_price_that_nobody_knows_is_refused() -> None:
    contents = {7: replace(CONTENTS[1], stuff_tags=UNKNOWN)}
    assert price_images(contents, ["boxes"], read_times("li2018")) == {7: {"boxes": 14.0}}
    with pytest.raises(DatasetError, match="image 7: its label does not tell what 'tags' would"):
        price_images(contents, ["boxes", "tags"], read_times("li2018"))


def test_each_label_is_read_once_for_all_plans() -> None:
    read: list[int | str] = []

    def read_label(image: Image) -> FullLabel:
        read.append(image.image_id)
        return DATASET.read_label(image)

    dataset = replace(DATASET, read_label=read_label)
    mixes = ({"boxes+tags": 1.0, "full": 2.0}, {"tags": 1.0, "none": 1.0})
    plans = [make_plan(mix, hours, order="most-categories") for mix in mixes for hours in (1, 4)]
    allocations, contents = buy_images(dataset, dataset.images, plans)
    assert [bought.settings for bought in allocations] == plans
    assert read == [1, 2]
    assert contents == CONTENTS


@pytest.mark.parametrize("order", ["random", "cheapest", "most-categories"])
def test_a_larger_budget_keeps_what_a_smaller_one_bought(order: str) -> None:
    plans = [make_plan({"full": 1.0, "boxes": 1.0}, hours, order=order) for hours in (1.5, 3)]
    (small, large), _ = buy_images(DATASET, DATASET.images, plans)
    assert len(small.kind_of) > 0
    assert list(large.kind_of.items())[: len(small.kind_of)] == list(small.kind_of.items())


@pytest.mark.parametrize(
    ("background", "order"),
    [(False, [{"d"}, {"b", "c"}, {"a"}]), (True, [{"c", "d"}, {"b"}, {"a"}])],
)
def test_categories_are_counted_once_each_and_without_background(
    background: bool, order: list[set[str]]
) -> None:
    labels = {
        "a": make_label([[1, 2, 0]], {1: 10, 2: 10}, image_id="a"),
        "b": make_label([[1, 2, 3]], {1: 10, 2: 20, 3: 20}, image_id="b"),
        "c": make_label([[1, 2, 3]], {1: 20, 2: 40, 3: 40}, image_id="c"),
        "d": make_label([[1, 2, 3]], {1: 10, 2: 20, 3: 40}, image_id="d"),
    }
    dataset = make_dataset(labels, make_categories(things=("car", "dog"), background=background))
    plan = make_plan({"full": 1.0}, 100, order="most-categories")
    (bought,), _ = buy_images(dataset, dataset.images, [plan])
    found = iter(bought.labelled)
    assert [{next(found) for _ in ties} for ties in order] == order


def test_boxes_without_masks_can_be_bought() -> None:
    box = Box(category_id=20, box_xyxy=(0, 0, 2, 2))
    categories = make_categories(things=("car",), stuff=("background",), background=True)
    given = {
        "a.png": WeakLabel(image_id=1, boxes=(box, box), has_boxes=True),
        "b.png": WeakLabel(image_id=2, boxes=(replace(box, is_group=True),), has_boxes=True),
    }
    dataset = make_weak_dataset(given, categories, (4, 4))
    (bought,), contents = buy_images(dataset, dataset.images, [make_plan({"boxes": 1.0}, 1)])
    row = summarise_allocation(bought, contents)
    assert bought.spent_seconds == 21
    assert [(kind.images, kind.instances) for kind in row.kinds] == [(2, 2)]
    # A full label is a mask on each thing.
    (full,), _ = buy_images(dataset, dataset.images, [make_plan({"full": 1.0}, 1)])
    assert full.seconds_of == {1: pytest.approx(158.4), 2: pytest.approx(79.2)}
    tags = WeakLabel(image_id=1, tagged_category_ids=(20,))
    untold = make_weak_dataset({"a.png": tags}, categories, (4, 4))
    (bought,), contents = buy_images(untold, untold.images, [make_plan({"tags": 1.0}, 1)])
    assert summarise_allocation(bought, contents).kinds[0].instances is None


def test_what_cannot_be_asked_is_said_before_labels_are_read() -> None:
    def refuse(image: Image) -> FullLabel:
        raise AssertionError(image)

    dataset = replace(DATASET, read_label=refuse)
    for plan, error in (
        (make_plan({"masks": 1.0}, 1), RecipeError),
        (make_plan({"boxes": 0.0}, 1), RecipeError),
        (make_plan({"boxes": 1.0}, 1, times="nobody"), TimesError),
    ):
        with pytest.raises(error):
            buy_images(dataset, dataset.images, [plan])
    with pytest.raises(DatasetError, match="split train has no image to buy"):
        buy_images(dataset, (), [make_plan({"boxes": 1.0}, 1)])


def test_coarse_labels_of_things_alone_are_not_bought_at_the_price_of_a_street() -> None:
    categories = make_categories(stuff=("background",), background=True)
    label = make_label([[1, 2], [1, 3]], {1: 10, 2: 20, 3: 20})
    dataset = make_dataset({"1.png": label}, categories)
    with pytest.raises(TimesError, match=r"no labelled stuff: add .*\[actions\.coarse_instance\]"):
        buy_images(dataset, dataset.images, [make_plan({"coarse": 1.0}, 1)])
    times = read_times("li2018")
    own = replace(times, actions={**times.actions, "coarse_instance": times.actions["box"]})
    contents = measure_images(dataset, dataset.images, None)
    assert price_images(contents, ["coarse", "full"], own) == {1: {"coarse": 14, "full": 158.4}}
