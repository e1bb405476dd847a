from pathlib import Path

import cv2
import numpy as np
import pytest

from annotools.prices.image_content import read_statistics
from annotools.prices.intervals import Interval, Price
from annotools.prices.plots import draw_prices
from annotools.prices.price_list import make_price_list
from annotools.prices.times import read_times


def make_price(name: str, hours: float) -> Price:
    return Price(
        name=name,
        seconds_per_image=1.0,
        hours=hours,
        hours_interval=Interval(low=hours / 2, median=hours, high=hours * 2),
        ratio_to_full=None,
        ratio_interval=None,
        full_is_times=None,
        full_is_times_interval=None,
    )


def read_size(path: Path) -> tuple[int, ...]:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture.shape


def test_both_panels_are_drawn(tmp_path: Path) -> None:
    content = read_statistics("voc").content
    listed = make_price_list(
        content, 10, None, read_times("bearman2016"), num_coarse_images=0, seed=0
    )
    rows = [row for row in listed.prices if row]
    path = tmp_path / "deep" / "prices.png"
    draw_prices(rows, listed.headline, path)
    assert read_size(path)[1] == 2 * 5.5 * 160


def test_without_a_saving_there_are_hours_alone(tmp_path: Path) -> None:
    path = tmp_path / "prices.png"
    draw_prices([make_price("boxes", 3.0), make_price("free", 0.0)], None, path)
    assert read_size(path)[1] == 5.5 * 160


def test_bars_are_as_long_as_their_hours(tmp_path: Path) -> None:
    path = tmp_path / "prices.png"
    draw_prices([make_price("a", 40.0), make_price("b", 400.0)], None, path)
    picture = cv2.imread(str(path))
    assert picture is not None
    is_bar = (picture == (0xE9, 0xB4, 0x56)).all(axis=2)
    lengths = is_bar.sum(axis=1)
    top, bottom = (np.median(half[half > 0]) for half in np.split(lengths, [len(lengths) // 2]))
    # A line of 2 pixels across a bar hides none of the rows beside it.
    assert bottom / top == pytest.approx(10, rel=0.06)


@pytest.mark.parametrize("hours", [[], [0.0]])
def test_nothing_to_draw_is_an_empty_picture(tmp_path: Path, hours: list[float]) -> None:
    path = tmp_path / "empty.png"
    price = make_price("boxes", 1.0)
    draw_prices([make_price("free", h) for h in hours], (price, np.array([2.0, 3.0])), path)
    assert read_size(path)[1] == 2 * 5.5 * 160
