from dataclasses import replace

import numpy as np
import pytest

from annotools.errors import DatasetError, RecipeError
from annotools.prices.actions import price_seconds
from annotools.prices.dataset_prices import list_purchases, measure_images, price_images
from annotools.prices.image_content import read_statistics
from annotools.prices.times import read_times
from annotools.records import Dataset, Image
from tests.builders import make_categories, make_label

LABELS = {
    1: make_label([[1, 2], [1, 3]], {1: 10, 2: 30, 3: 30}, image_id=1),
    2: make_label([[1, 2]], {1: 10, 2: 20}, image_id=2),
}


def make_dataset() -> Dataset:
    return Dataset(
        name="two",
        split="train",
        categories=make_categories(),
        images=tuple(Image(image_id=i, file_name=f"{i}.png", width=2, height=2) for i in LABELS),
        read_label=lambda image: LABELS[int(image.image_id)],
        read_photo=lambda image: np.zeros((2, 2, 3), dtype=np.uint8),
    )


def test_every_image_gets_the_price_of_every_kind() -> None:
    dataset = make_dataset()
    kinds = ("boxes", "boxes+tags", "full")
    prices = price_images(dataset, dataset.images, kinds, read_times("li2018"), None)
    # Two boxes at 7 s and one stuff tag at 1 s; no box and two tags.
    assert prices == {
        1: {"boxes": 14.0, "boxes+tags": 15.0, "full": 5400.0},
        2: {"boxes": 0.0, "boxes+tags": 2.0, "full": 5400.0},
    }


def test_a_preset_that_asks_about_absent_classes_charges_every_image_for_them() -> None:
    dataset = make_dataset()
    prices = price_images(
        dataset, dataset.images, ("boxes", "tags"), read_times("bearman2016"), None
    )
    # Three classes; the second image has no car: one question, and both kinds of stuff as tags.
    assert prices == {1: {"boxes": 14.0, "tags": 3.0}, 2: {"boxes": 1.0, "tags": 3.0}}


def test_content_of_a_dataset_is_the_mean_over_its_images() -> None:
    dataset = make_dataset()
    content = measure_images(dataset, dataset.images, None)
    assert (content.things, content.thing_tags, content.stuff_tags) == (1, 0.5, 1.5)
    with pytest.raises(DatasetError, match="no image"):
        measure_images(dataset, [], None)


def test_vertices_are_counted_only_for_those_who_ask() -> None:
    asked: list[int | str] = []

    def count(image: Image) -> int | None:
        asked.append(image.image_id)
        return 12 if image.image_id == 1 else None

    dataset = replace(make_dataset(), count_vertices=count)
    assert measure_images(dataset, dataset.images, None).vertices_known == 0
    assert asked == []
    content = measure_images(dataset, dataset.images, None, with_vertices=True)
    assert (content.vertices, content.vertices_known, asked) == (12, 0.5, [1, 2])
    nowhere = measure_images(make_dataset(), dataset.images, None, with_vertices=True)
    assert nowhere.vertices_known == 0


def test_purchases_are_the_sum_over_images() -> None:
    dataset, times = make_dataset(), read_times("li2018")
    kinds = ("full", "boxes", "tags", "boxes+tags", "coarse")
    prices = price_images(dataset, dataset.images, kinds, times, None)
    purchases = list_purchases(measure_images(dataset, dataset.images, None), 2, kinds, times)
    totals = {p.name: price_seconds(p.actions or {}, times) for p in purchases}
    assert totals == {kind: sum(prices[i][kind] for i in prices) for kind in kinds} | {
        # Three classes, or two of stuff, in each of two crops.
        "tags, all questions": 6,
        "boxes+tags, all questions": 14 + 4,
    }


@pytest.mark.parametrize(
    ("kind", "actions"),
    [
        ("full", {"full_image": 3, "coarse_image": 4}),
        ("full by vertex", {"vertex": 30, "coarse_image": 4}),
        ("boxes", {"box": 7}),
        ("coarse", {"coarse_image": 7}),
    ],
)
def test_further_images_are_coarse_where_full_labels_are_asked(kind: str, actions: dict) -> None:
    content = replace(read_statistics("cityscapes-train").content, things=1.0, vertices=10.0)
    paper = read_times("li2018")
    times = replace(paper, actions={**paper.actions, "vertex": paper.actions["box"]})
    (purchase,) = list_purchases(content, 3, [kind], times, num_coarse_images=4)
    assert purchase.actions == actions
    assert purchase.num_images == 7


def test_no_price_without_a_time_or_a_count() -> None:
    content = read_statistics("cityscapes-train").content
    purchases = list_purchases(content, 1, ("scribbles", "tags", "boxes"), read_times("li2018"))
    assert [p.name for p in purchases] == ["scribbles", "tags", "boxes"]
    assert [p.actions for p in purchases] == [None, None, {"box": 17.9}]
    present = ("thing_classes_present", "stuff_classes_present")
    assert [p.missing_times for p in purchases] == [("scribble",), (), ()]
    assert [p.missing_counts for p in purchases] == [present, ("thing_tags",), ()]
    (full,) = list_purchases(content, 1, ["full"], read_times("sam-assisted"))
    assert full.actions is None


def test_tags_come_once_where_absent_classes_are_asked_anyway() -> None:
    content = read_statistics("voc").content
    purchases = list_purchases(content, 1, ["tags", "boxes+tags"], read_times("bearman2016"))
    assert [p.actions for p in purchases] == [
        {"tag": 1.5, "tag_question": 18.5},
        {"box": 2.8, "tag_question": 18.5},
    ]


def test_unknown_kind_is_refused() -> None:
    dataset = make_dataset()
    with pytest.raises(RecipeError, match="'masks'"):
        price_images(dataset, dataset.images, ["masks"], read_times("li2018"), None)
    with pytest.raises(RecipeError, match="'masks'"):
        list_purchases(read_statistics("voc").content, 1, ["masks"], read_times("li2018"))
