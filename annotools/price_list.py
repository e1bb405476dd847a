"""A price list: everything the price command says, as data and in words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from annotools.content import ImageContent
from annotools.costs import PRICE_KINDS
from annotools.dataset_prices import Purchase, list_purchases
from annotools.settings import as_table
from annotools.times import AnnotationTimes, unchecked_beside_checked
from annotools.uncertainty import (
    BreakEven,
    Draws,
    Price,
    Swing,
    break_even,
    draw_seconds,
    price,
    sensitivity,
    total_hours,
)

HEADLINE_KINDS = ("boxes+tags", "boxes")
"""Whose saving is explained, the first that has a price; else the first kind but `full`."""


@dataclass(frozen=True, kw_only=True)
class PriceList:
    """What label kinds cost on a dataset, in the order asked.

    `prices` go with `purchases`, None where there is no price. `headline` is the price whose
    saving over full labels is explained, with the drawn ratios (D,) of full labels to it; None
    where there is no price or no saving. `swings` are its sensitivities.
    """

    times: AnnotationTimes
    num_images: int
    num_coarse_images: int
    purchases: tuple[Purchase, ...]
    prices: tuple[Price | None, ...]
    headline: tuple[Price, Draws] | None
    swings: tuple[Swing, ...]
    break_evens: tuple[BreakEven, ...]

    @property
    def headline_name(self) -> str | None:
        """Name of the purchase whose saving is explained."""
        return None if self.headline is None else self.headline[0].name


def make_price_list(
    content: ImageContent,
    num_images: int,
    kinds: Iterable[str] | None,
    times: AnnotationTimes,
    *,
    num_coarse_images: int,
    seed: int,
) -> PriceList:
    """Return what labels of a dataset cost.

    Args:
        content: the mean image.
        num_images: how many there are.
        kinds: some of `PRICE_KINDS`; None for all that the dataset can have.
        times: the table.
        num_coarse_images: further images, for which full labels are coarse ones.
        seed: of the draws.

    Raises:
        RecipeError: for an unknown kind.
    """
    if kinds is None:
        kinds = [kind for kind in PRICE_KINDS if content.has_stuff or kind != "tags of stuff"]
    asked = tuple(dict.fromkeys(kinds))
    purchases = list_purchases(content, num_images, asked, times, num_coarse_images)
    (full,) = list_purchases(content, num_images, ("full",), times, num_coarse_images)
    seconds = draw_seconds(times, seed)
    prices = tuple(price(purchase, full, times, seconds) for purchase in purchases)
    headline = swings = None
    chosen = _choose_headline(purchases, prices)
    if chosen is not None:
        bought, row = chosen
        ratios = total_hours(full.actions or {}, seconds) / total_hours(
            bought.actions or {}, seconds
        )
        headline, swings = (row, ratios), sensitivity(bought, full, times, seconds)
    return PriceList(
        times=times,
        num_images=num_images,
        num_coarse_images=num_coarse_images,
        purchases=purchases,
        prices=prices,
        headline=headline,
        swings=swings or (),
        break_evens=break_even((full, *(p for p in purchases if p.kind != "full")), times),
    )


def explain(listed: PriceList) -> Iterator[str]:
    """Yield what a reader of the prices must know, one paragraph at a time."""
    times = listed.times
    row = None if listed.headline is None else listed.headline[0]
    if row is not None and row.full_is_times_interval is not None:
        middle = row.full_is_times_interval
        yield (
            f"{row.name}: full labels cost {row.full_is_times:.4g} times as much at the times "
            f"as they are. Over the ranges of the times the median is {middle.median:.3g}, and "
            f"90 % lie between {middle.low:.3g} and {middle.high:.3g}."
        )
    used = _used_actions(listed)
    mixed = unchecked_beside_checked(times, used)
    if mixed is not None:
        unchecked, checked = (", ".join(names) for names in mixed)
        yield (
            f"These times mix {unchecked} without quality control with {checked} that includes it: "
            "that flatters what is made of the former. --times like-for-like does not mix."
        )
    if any(row is None for row in listed.prices):
        yield (
            "– : no price, because the times lack an action of this label kind, or the statistics "
            "a count."
        )
    yield f"Times {times.name}: {times.note}"
    for name in used:
        time = times.actions[name]
        spread = f" ({time.low:g} to {time.high:g})" if time.low < time.high else ""
        how = "measured" if time.measured else "derived"
        control = "with" if time.quality_control else "without"
        yield (
            f"  {name}: {time.seconds:g} s{spread} for one {time.unit}, {how}, {control} quality "
            f"control; {time.source}"
        )


def as_json(listed: PriceList) -> dict[str, Any]:
    """Return what JSON can hold of a price list: numbers and sources, without the draws.

    A kind without a price has null for all its numbers.
    """
    used = _used_actions(listed)
    mixed = unchecked_beside_checked(listed.times, used)
    empty = dict.fromkeys(name for name in Price.__annotations__ if name != "name")
    return {
        "times": listed.times.name,
        "note": listed.times.note,
        "mixes_quality_control": mixed is not None,
        "images": listed.num_images,
        "coarse_images": listed.num_coarse_images,
        "kinds": [
            {
                "kind": purchase.kind,
                "all_questions": purchase.all_questions,
                "actions": None if purchase.actions is None else dict(purchase.actions),
                **{**empty, **(as_table(row) if row is not None else {"name": purchase.name})},
            }
            for purchase, row in zip(listed.purchases, listed.prices, strict=True)
        ],
        "explained": listed.headline_name,
        "sensitivity": as_table(listed.swings),
        "break_even": as_table(listed.break_evens),
        "actions": {name: as_table(listed.times.actions[name]) for name in used},
    }


def _choose_headline(
    purchases: tuple[Purchase, ...], prices: tuple[Price | None, ...]
) -> tuple[Purchase, Price] | None:
    saving = {
        purchase.name: (purchase, row)
        for purchase, row in zip(purchases, prices, strict=True)
        if row is not None and row.full_is_times is not None and purchase.kind != "full"
    }
    for kind in HEADLINE_KINDS:
        if kind in saving:
            return saving[kind]
    return next(iter(saving.values()), None)


def _used_actions(listed: PriceList) -> list[str]:
    used = {action for purchase in listed.purchases for action in purchase.actions or {}}
    return [action for action in listed.times.actions if action in used]
