"""What every label kind would cost on every image of a dataset."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotools.costs import count_actions, price_seconds
from annotools.errors import DatasetError, RecipeError
from annotools.progress import track
from annotools.records import LABEL_KINDS, Dataset, Image
from annotools.times import AnnotationTimes


@dataclass(frozen=True, kw_only=True)
class KindPrice:
    """What one label kind costs on all images of a dataset.

    `ratio_to_full` is its price over that of full labels, None where full labels cost nothing.
    """

    kind: str
    seconds_per_image: float
    hours: float
    ratio_to_full: float | None


def price_images(
    dataset: Dataset,
    images: Sequence[Image],
    kinds: Iterable[str],
    times: AnnotationTimes,
    crop_size_wh: tuple[int, int] | None,
) -> dict[int | str, dict[str, float]]:
    """Return the price in seconds by label kind, by image id.

    Args:
        dataset: where the labels are read from.
        images: those to price.
        kinds: some of `LABEL_KINDS`.
        times: seconds of each action.
        crop_size_wh: pixels of the tagged crops; None for the whole image.

    Raises:
        RecipeError: for an unknown kind.
        DatasetError: when a label cannot be read.
        TimesError: for an action that the table of times lacks.
    """
    kinds = tuple(kinds)
    for kind in kinds:
        if kind not in LABEL_KINDS:
            raise RecipeError(f"unknown label kind {kind!r}: use {', '.join(LABEL_KINDS)}")
    prices = {}
    for image in track(images, "pricing labels", total=len(images)):
        label = dataset.read_label(image)
        actions = {k: count_actions(label, dataset.categories, k, crop_size_wh) for k in kinds}
        prices[image.image_id] = {k: price_seconds(actions[k], times) for k in kinds}
    return prices


def summarise_prices(
    prices: Mapping[int | str, Mapping[str, float]], kinds: Iterable[str]
) -> tuple[KindPrice, ...]:
    """Return what each kind costs on all images together, from prices that include `full`.

    Raises:
        DatasetError: when there is no image.
    """
    if not prices:
        raise DatasetError("no image to price: check the split")
    total_of = {kind: sum(price[kind] for price in prices.values()) for kind in {*kinds, "full"}}
    full = total_of["full"]
    return tuple(
        KindPrice(
            kind=kind,
            seconds_per_image=total_of[kind] / len(prices),
            hours=total_of[kind] / 3600,
            ratio_to_full=total_of[kind] / full if full > 0 else None,
        )
        for kind in kinds
    )
