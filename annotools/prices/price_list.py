"""A price list holds everything that the price command says, as data, numbers and words."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from annotools.prices.actions import PRICE_KINDS
from annotools.prices.image_content import ImageContent
from annotools.prices.intervals import (
    BreakEven,
    Draws,
    Interval,
    Price,
    Swing,
    draw_seconds,
    list_break_evens,
    price_workload,
    sensitivity,
    total_hours,
)
from annotools.prices.times import (
    AnnotationTimes,
    explain_images,
    mixed_quality_control,
    why_missing,
)
from annotools.prices.workloads import Workload, list_workloads
from annotools.settings import as_table

HEADLINE_KINDS = ("boxes+tags", "boxes")
"""The first of these that has a price is explained; else the first kind other than `full`."""

_STATISTICS_KEYS = {"thing_tags": "thing_tags_per_crop", "stuff_tags": "stuff_tags_per_crop"}
"""Names in `Statistics` of fields of `ImageContent`, where the two differ."""


@dataclass(frozen=True, kw_only=True)
class PriceList:
    """The prices of label kinds on a dataset, in the order asked.

    `prices` go with `workloads`, None where there is no price. `headline` is the price whose
    saving over full labels is explained, with the drawn ratios (D,) of full labels to it; None
    where there is no price or no saving. `swings` are its sensitivities. `vertices_per_image` is
    the mean over `images_with_vertices`, None where no image's polygons are known.
    """

    times: AnnotationTimes
    num_images: int
    num_coarse_images: int
    workloads: tuple[Workload, ...]
    prices: tuple[Price | None, ...]
    headline: tuple[Price, Draws] | None
    swings: tuple[Swing, ...]
    break_evens: tuple[BreakEven, ...]
    vertices_per_image: float | None
    images_with_vertices: int

    @property
    def headline_name(self) -> str | None:
        """Name of the workload whose saving is explained."""
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
    """Price the labels of a dataset.

    Args:
        content: the mean image.
        num_images: how many there are.
        kinds: some of `PRICE_KINDS`; None for all that the dataset can have, `full by vertex` only
            where a vertex has a time.
        times: the table.
        num_coarse_images: further images, which get a coarse label where others get a full one.
        seed: of the draws.

    Raises:
        RecipeError: for an unknown kind.
    """
    if kinds is None:
        left_out = set() if content.has_stuff else {"tags of stuff"}
        left_out |= set() if "vertex" in times.actions else {"full by vertex"}
        kinds = [kind for kind in PRICE_KINDS if kind not in left_out]
    asked = tuple(dict.fromkeys(kinds))
    workloads = list_workloads(content, num_images, asked, times, num_coarse_images)
    # Savings are over full labels, which are priced for that whether they were asked for or not.
    (full,) = list_workloads(content, num_images, ("full",), times, num_coarse_images)
    # One set of draws for all: a saving compares two labels of the same annotators.
    seconds = draw_seconds(times, seed)
    prices = tuple(price_workload(workload, full, times, seconds) for workload in workloads)
    headline = swings = None
    chosen = _choose_headline(workloads, prices)
    if chosen is not None:
        weak, row = chosen
        ratios = total_hours(full.actions or {}, seconds) / total_hours(weak.actions or {}, seconds)
        headline, swings = (row, ratios), sensitivity(weak, full, times, seconds)
    return PriceList(
        times=times,
        num_images=num_images,
        num_coarse_images=num_coarse_images,
        workloads=workloads,
        prices=prices,
        headline=headline,
        swings=swings or (),
        break_evens=list_break_evens((full, *(w for w in workloads if w.kind != "full")), times),
        vertices_per_image=None if math.isnan(content.vertices) else content.vertices,
        images_with_vertices=round(num_images * content.vertices_known),
    )


def explain(listed: PriceList) -> Iterator[str]:
    """Yield the text that a reader of the prices must know, one paragraph at a time."""
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
    yield from _explain_dear_coarse(listed)
    yield from explain_images(times, used)
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
    """Return a price list as JSON can hold it: numbers and sources, without the draws.

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
                "kind": workload.kind,
                "all_questions": workload.all_questions,
                "actions": None if workload.actions is None else dict(workload.actions),
                "missing_times": list(workload.missing_times),
                "missing_counts": list(workload.missing_counts),
                **{**empty, **(as_table(row) if row is not None else {"name": workload.name})},
            }
            for workload, row in zip(listed.workloads, listed.prices, strict=True)
        ],
        "explained": listed.headline_name,
        "sensitivity": as_table(listed.swings),
        "break_even": as_table(listed.break_evens),
        "actions": {name: as_table(listed.times.actions[name]) for name in used},
    }


def write_number(value: float | None, unit: str = "") -> str:
    """Return four digits, or tenths of what is larger; a dash for None."""
    if value is None:
        return "–"
    value = round(value, 9) + 0.0  # Rounding leaves a negative zero, which the sum turns positive.
    return f"{value:,.1f}{unit}" if abs(value) >= 1000 else f"{value:#.4g}".rstrip(".") + unit


def write_interval(interval: Interval | None, factor: float = 1) -> str:
    """Return both ends, times the factor, in brackets after a space; nothing where they agree."""
    if interval is None:
        return ""
    # Ends are compared as they are written: two equal texts would tell nothing.
    low, high = (_three_digits(factor * end) for end in (interval.low, interval.high))
    return f" ({low}–{high})" if low != high else ""


def _three_digits(value: float) -> str:
    # More digits than these are more than the ranges of the times can support.
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _explain_gaps(listed: PriceList) -> Iterator[str]:
    for workload in listed.workloads:
        reasons = []
        if workload.missing_times:
            reasons.append(why_missing(listed.times, workload.missing_times))
        counts = [_STATISTICS_KEYS.get(n, n) for n in workload.missing_counts if n != "vertices"]
        if counts:
            reasons.append(f"the statistics have no {', '.join(counts)}")
        if reasons:
            yield f"– {workload.name}: no price, because {'; '.join(reasons)}."


def _explain_dear_coarse(listed: PriceList) -> Iterator[str]:
    for row in listed.prices:
        if row is not None and row.name == "coarse" and (row.ratio_to_full or 0) > 1:
            yield (
                f"coarse: dearer than full labels, {100 * (row.ratio_to_full or 0):.4g} % of them, "
                "so nobody would buy it: check the times of both."
            )


def _explain_vertices(listed: PriceList) -> Iterator[str]:
    vertices, counted = listed.vertices_per_image, listed.images_with_vertices
    if vertices is None:
        if any(workload.kind == "full by vertex" for workload in listed.workloads):
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
    workloads: tuple[Workload, ...], prices: tuple[Price | None, ...]
) -> tuple[Workload, Price] | None:
    saving = {
        workload.name: (workload, row)
        for workload, row in zip(workloads, prices, strict=True)
        if row is not None and row.full_is_times is not None and workload.kind != "full"
    }
    for kind in HEADLINE_KINDS:
        if kind in saving:
            return saving[kind]
    return next(iter(saving.values()), None)


def _used_actions(listed: PriceList) -> list[str]:
    used = {action for workload in listed.workloads for action in workload.actions or {}}
    return [action for action in listed.times.actions if action in used]
