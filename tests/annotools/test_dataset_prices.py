import numpy as np
import pytest

from annotools.dataset_prices import price_images, summarise_prices
from annotools.errors import DatasetError, RecipeError
from annotools.records import Dataset, Image
from annotools.times import read_times
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


def test_summary_is_means_hours_and_ratio() -> None:
    rows = summarise_prices(
        {1: {"boxes": 14.0, "full": 100.0}, 2: {"boxes": 0.0, "full": 40.0}}, ["boxes"]
    )
    assert [vars(row) for row in rows] == [
        {
            "kind": "boxes",
            "seconds_per_image": 7.0,
            "hours": 14 / 3600,
            "ratio_to_full": 0.1,
        }
    ]


def test_ratio_to_free_full_labels_is_undefined() -> None:
    (row,) = summarise_prices({1: {"full": 0.0}}, ["full"])
    assert row.ratio_to_full is None


def test_nothing_to_price_is_refused() -> None:
    with pytest.raises(DatasetError, match="no image"):
        summarise_prices({}, ["full"])


def test_unknown_kind_is_refused() -> None:
    dataset = make_dataset()
    with pytest.raises(RecipeError, match="'masks'"):
        price_images(dataset, dataset.images, ["masks"], read_times("li2018"), None)
