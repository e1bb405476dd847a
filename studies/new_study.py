"""Choose a study that fits a dataset: what to compare, with which hours, on which images.

Everything follows from what the images hold, what labels of them cost, and how large they are.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from annotools.allocation.buy_images import price_images
from annotools.allocation.image_orders import random_order
from annotools.commands.tables import count_of
from annotools.errors import DatasetError
from annotools.formats.source import open_source
from annotools.prices.actions import presets_for, unpriced_actions
from annotools.prices.image_content import (
    ImageContent,
    empty_content,
    mean_content,
    measure_images,
)
from annotools.prices.times import AnnotationTimes, missing_time, read_times
from annotools.random_streams import stream
from annotools.records import Dataset, Image
from studies.advice.curves import LEAST_BUDGETS
from studies.new_splits import LOOKED_AT, choose_splits, limit_images
from studies.splits import used_images
from studies.study import DatasetSettings

SEEDS = (0, 1, 2)

FACTOR = 3.0
"""From one budget to the next, at most: with less, seeds differ more than budgets do."""

MOST_BUDGETS = 4

LEAST_SPAN = 4.0
"""With less between the smallest budget and the largest there is no room for three."""

FULL_IMAGES = 5
"""So many images of the dearest kind are in the smallest budget: what fewer give is chance."""

MEASURED_IMAGES = 300
"""So many images, drawn at random, tell the mean price closely enough."""

LARGE_SIDE = 1024
"""Of larger photos tags are given on crops: nearly every class is somewhere in the whole."""


@dataclass(frozen=True, kw_only=True)
class KindPrice:
    """What a label kind costs, in hours for a mean image, and all images that can be bought."""

    kind: str
    hours: float
    all_hours: float


@dataclass(frozen=True, kw_only=True)
class NewStudy:
    """A study that fits a dataset, and what it was chosen by.

    `num_images` can be bought, `num_val` and `num_test` are scored. `size_wh` is the most frequent
    size in pixels, `content` the mean image of the `num_measured`. `prices` are of the kinds that
    are compared, each a mix of its own; `left_out` says of others why they are not. `crop_size_wh`
    is that of tags, None for the whole image, `most_things` are in one of the images measured.
    `notes` say what is particular to the splits.
    """

    dataset: DatasetSettings
    num_images: int
    num_val: int
    num_test: int
    size_wh: tuple[int, int]
    thing_names: tuple[str, ...]
    num_classes: int
    content: ImageContent
    most_things: int
    num_measured: int
    times: str
    prices: tuple[KindPrice, ...]
    left_out: Mapping[str, str]
    budgets_hours: tuple[float, ...]
    crop_size_wh: tuple[int, int] | None
    notes: tuple[str, ...]


def choose_study(settings: DatasetSettings, times: str, *, is_val_given: bool) -> NewStudy:
    """Return a study that fits a dataset.

    Full labels are compared with the cheap labels that suit the categories: boxes, where there is
    stuff with tags of it, and tags where there are no things. Points are compared too, where they
    have a price. A sample of the images tells what they hold.

    Args:
        settings: the dataset; splits as `choose_splits` takes them.
        times: a preset's name or the path of a file.
        is_val_given: whether the val split was named.

    Raises:
        DatasetError: when a split does not serve, or has no masks.
        RecipeError: when the dataset does not have the categories asked for.
        TimesError: when the times cannot be read, or do not price full labels and cheap ones.
    """
    table = read_times(times)
    train = open_source(settings.train_source)
    if train.read_weak is not None:
        raise DatasetError(
            f"{settings.root}: has no masks, and a study compares with full labels: give a dataset "
            "that has them"
        )
    kinds, left_out = choose_kinds(train, table)
    settings, notes = choose_splits(settings, is_val_given=is_val_given)
    train = open_source(settings.train_source)
    size_wh = Counter(image.size_wh for image in train.images).most_common(1)[0][0]
    crop_size_wh = choose_crops(size_wh)
    sample = draw_sample(train.images)
    contents = measure_images(train, sample, crop_size_wh)
    listed = price_images(contents, kinds, table)
    hours = {
        k: math.fsum(price[k] for price in listed.values()) / len(listed) / 3600 for k in kinds
    }
    free = [kind for kind in kinds if hours[kind] == 0]
    if free:
        raise DatasetError(
            f"{settings.root}: split {settings.train_split!r}: {free[0]} cost nothing: none of "
            f"{count_of(len(sample), 'image')} looked at has anything to label, or {times} has "
            "0 seconds for it: check the split, or give seconds above 0"
        )
    top = choose_budgets(hours, len(train.images), least=0)[-1]
    settings = limit_images(settings, hours, top)
    images = used_images(settings.train_source)

    def price(image: Image) -> Mapping[str, float]:
        (found,) = price_images(measure_images(train, [image], crop_size_wh), kinds, table).values()
        return found

    categories = train.categories.categories
    budgets = choose_budgets(hours, len(images), least=first_seconds(images, price) / 3600)
    cheap = min(hours, key=lambda kind: hours[kind])
    if hours[cheap] * len(images) < budgets[0]:
        notes = (
            *notes,
            f"{count_of(len(images), 'image')} with {cheap} take {hours[cheap] * len(images):.2g} "
            "h, less than the smallest budget: all budgets buy the same ones; add smaller budgets "
            "to see where they compete",
        )
    if len(budgets) < LEAST_BUDGETS:
        notes = (
            *notes,
            f"{len(images)} images leave room for {count_of(len(budgets), 'budget')}: the study "
            f"will give measured points, and no curve, which takes {LEAST_BUDGETS}",
        )
    return NewStudy(
        dataset=settings,
        num_images=len(images),
        num_val=len(used_images(settings.val_source)),
        num_test=0 if settings.test_source is None else len(used_images(settings.test_source)),
        size_wh=size_wh,
        thing_names=tuple(category.name for category in categories if category.is_thing),
        num_classes=len(categories),
        content=mean_content(contents.values()),
        most_things=max(int(content.things) for content in contents.values()),
        num_measured=len(sample),
        times=times,
        prices=tuple(
            KindPrice(kind=kind, hours=hours[kind], all_hours=hours[kind] * len(images))
            for kind in kinds
        ),
        left_out=left_out,
        budgets_hours=budgets,
        crop_size_wh=crop_size_wh,
        notes=notes,
    )


def choose_budgets(hours: Mapping[str, float], num_images: int, least: float) -> tuple[float, ...]:
    """Return three or four budgets in hours, about `FACTOR` apart.

    The smallest buys `FULL_IMAGES` images of the dearest kind. The largest is what all images take
    in the cheapest kind, which says nothing more of hours once it has run out of images; but no
    more than `MOST_BUDGETS` need. Where that leaves no room for three budgets, the dearest kind
    goes on to nine times the smallest, or to all of its images; and where that is not enough
    either, the smallest is lowered, though not below `least`. Budgets are rounded up to two digits.

    Args:
        hours: of a mean image by label kind.
        num_images: that can be bought.
        least: hours that the smallest budget must have, to buy an image.
    """
    dear, cheap = max(hours.values()), min(hours.values())
    first, top = max(FULL_IMAGES * dear, least), num_images * cheap
    if top < LEAST_SPAN * first:
        top = min(num_images * dear, FACTOR**2 * first)
    if top < LEAST_SPAN * first:
        first = max(top / FACTOR**2, least)
    span = max(1.0, top / first)
    steps = min(MOST_BUDGETS - 1, round(math.log(span, FACTOR)))
    if span >= LEAST_SPAN:
        steps = max(steps, 2)
    factor = min(FACTOR, span ** (1 / max(steps, 1)))
    return tuple(_round_up(first * factor**number) for number in range(steps + 1))


def choose_kinds(dataset: Dataset, times: AnnotationTimes) -> tuple[list[str], dict[str, str]]:
    """Return the label kinds to compare, and why others are not.

    Raises:
        TimesError: when full labels or the cheap ones have no price.
    """
    content = empty_content(dataset.categories)
    left_out = {}
    if content.num_thing_classes == 0:
        cheap = "tags"
    elif content.has_stuff:
        cheap = "boxes+tags"
        left_out["boxes"] = "boxes alone teach nothing of stuff"
    else:
        cheap = "boxes"
    kinds = ["full", cheap]
    for kind in kinds:
        for action in unpriced_actions(content, kind, times):
            raise missing_time(times, action)
    if unpriced_actions(content, "points", times):
        able = " or ".join(map(repr, presets_for(content, [*kinds, "points"])))
        remedy = f"times = {able} has one" if able else "times of your own may have one"
        left_out["points"] = f"a click has no price in {times.name}; {remedy}"
    else:
        kinds.append("points")
    return kinds, left_out


def choose_crops(size_wh: tuple[int, int]) -> tuple[int, int] | None:
    """Return the size in pixels of tagged crops: a twelfth of a large photo, None for the whole."""
    if max(size_wh) <= LARGE_SIDE:
        return None
    return math.ceil(size_wh[0] / 4), math.ceil(size_wh[1] / 3)


def draw_sample(images: Sequence[Image]) -> list[Image]:
    """Return images that tell what all hold, in their order."""
    if len(images) <= MEASURED_IMAGES:
        return list(images)
    places = stream(0, "new study").choice(len(images), MEASURED_IMAGES, replace=False)
    return [images[place] for place in sorted(places.tolist())]


def first_seconds(images: Sequence[Image], price: Callable[[Image], Mapping[str, float]]) -> float:
    """Return what the dearest image takes that a seed buys first, which every budget has to buy.

    Images that hold nothing to label cost nothing and teach nothing: they are passed over.

    Args:
        images: that can be bought.
        price: gives the seconds of an image by label kind.
    """
    image_of = {image.image_id: image for image in images}
    dearest = 0.0
    for seed in SEEDS:
        for image_id in random_order(image_of, seed)[:LOOKED_AT]:
            seconds = price(image_of[image_id]).values()
            if min(seconds) > 0:
                dearest = max(dearest, *seconds)
                break
    return dearest


def _round_up(hours: float) -> float:
    """Return hours rounded up to two digits."""
    unit = 10.0 ** (math.floor(math.log10(hours)) - 1)
    # Twelve digits are exact enough to keep what has two digits already.
    return round(math.ceil(round(hours / unit, 9)) * unit, 12)
