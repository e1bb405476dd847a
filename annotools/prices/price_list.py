"""A price list: everything the price command says, as data and in words."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from annotools.prices.actions import PRICE_KINDS
from annotools.prices.dataset_prices import Purchase, list_purchases
from annotools.prices.image_content import ImageContent
from annotools.prices.intervals import (
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
from annotools.prices.times import AnnotationTimes, mixed_quality_control
from annotools.settings import as_table

HEADLINE_KINDS = ("boxes+tags", "boxes")
"""Whose saving is explained, the first that has a price; else the first kind but `full`."""

_STATISTICS_KEYS = {"thing_tags": "thing_tags_per_crop", "stuff_tags": "stuff_tags_per_crop"}
"""What `Statistics` calls fields of `ImageContent` that it calls otherwise."""


@dataclass(frozen=True, kw_only=True)
class PriceList:
    """What label kinds cost on a dataset, in the order asked.

    `prices` go with `purchases`, None where there is no price. `headline` is the price whose
    saving over full labels is explained, with the drawn ratios (D,) of full labels to it; None
    where there is no price or no saving. `swings` are its sensitivities. `vertices_per_image` is
    the mean over `images_with_vertices`, None where no image's polygons are known.
    """

    times: AnnotationTimes
    num_images: int
    num_coarse_images: int
    purchases: tuple[Purchase, ...]
    prices: tuple[Price | None, ...]
    headline: tuple[Price, Draws] | None
    swings: tuple[Swing, ...]
    break_evens: tuple[BreakEven, ...]
    vertices_per_image: float | None
    images_with_vertices: int

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
        kinds: some of `PRICE_KINDS`; None for all that the dataset can have, by vertex where
            that has a time.
        times: the table.
        num_coarse_images: further images, for which full labels are coarse ones.
        seed: of the draws.

    Raises:
        RecipeError: for an unknown kind.
    """
    if kinds is None:
        left_out = set() if content.has_stuff else {"tags of stuff"}
        left_out |= set() if "vertex" in times.actions else {"full by vertex"}
        kinds = [kind for kind in PRICE_KINDS if kind not in left_out]
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
        vertices_per_image=None if math.isnan(content.vertices) else content.vertices,
        images_with_vertices=round(num_images * content.vertices_known),
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
    mixed = mixed_quality_control(times, used)
    if mixed is not None:
        unchecked, checked = (", ".join(names) for names in mixed)
        yield (
            f"These times mix {unchecked} without quality control with {checked} that includes it: "
            "that flatters what is made of the former. --times like-for-like does not mix."
        )
    yield from _explain_gaps(listed)
    yield from _explain_vertices(listed)
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
    mixed = mixed_quality_control(listed.times, used)
    empty = dict.fromkeys(name for name in Price.__annotations__ if name != "name")
    return {
        "times": listed.times.name,
        "note": listed.times.note,
        "mixes_quality_control": mixed is not None,
        "images": listed.num_images,
        "coarse_images": listed.num_coarse_images,
        "vertices_per_image": listed.vertices_per_image,
        "images_with_vertices": listed.images_with_vertices,
        "kinds": [
            {
                "kind": purchase.kind,
                "all_questions": purchase.all_questions,
                "actions": None if purchase.actions is None else dict(purchase.actions),
                "missing_times": list(purchase.missing_times),
                "missing_counts": list(purchase.missing_counts),
                **{**empty, **(as_table(row) if row is not None else {"name": purchase.name})},
            }
            for purchase, row in zip(listed.purchases, listed.prices, strict=True)
        ],
        "explained": listed.headline_name,
        "sensitivity": as_table(listed.swings),
        "break_even": as_table(listed.break_evens),
        "actions": {name: as_table(listed.times.actions[name]) for name in used},
    }


def _explain_gaps(listed: PriceList) -> Iterator[str]:
    for purchase in listed.purchases:
        reasons = []
        if purchase.missing_times:
            actions = ", ".join(purchase.missing_times)
            reasons.append(f"times {listed.times.name} have no {actions}")
        counts = [_STATISTICS_KEYS.get(n, n) for n in purchase.missing_counts if n != "vertices"]
        if counts:
            reasons.append(f"the statistics have no {', '.join(counts)}")
        if reasons:
            yield f"– {purchase.name}: no price, because {'; '.join(reasons)}."


def _explain_vertices(listed: PriceList) -> Iterator[str]:
    vertices, counted = listed.vertices_per_image, listed.images_with_vertices
    if vertices is None:
        if any(purchase.kind == "full by vertex" for purchase in listed.purchases):
            yield (
                "full by vertex: the vertices are not known. They are counted where all objects of "
                "an image have polygons, and statistics give vertices_per_image."
            )
        return
    text = f"Polygons have {vertices:,.1f} vertices an image"
    if counted < listed.num_images:
        text += (
            f", the mean of the {counted:,} of {listed.num_images:,} images where every object has "
            "one; the others, which hold more if they are those with crowds, are taken to have as "
            "many"
        )
    if "vertex" not in listed.times.actions:
        text += (
            ". No preset has a time of a vertex, because no published one is known: a table "
            "[actions.vertex] in times of your own prices full labels by it"
        )
    yield f"{text}."


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
