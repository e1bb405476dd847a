"""What every label kind would cost on every image of a dataset."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from annotools.errors import RecipeError
from annotools.prices.actions import (
    ABSENT_TAGS,
    PRICE_KINDS,
    actions_for,
    count_actions,
    paid_actions,
    price_seconds,
)
from annotools.prices.image_content import (
    UNKNOWN,
    ImageContent,
    count_vertices,
    mean_content,
    measure_content,
)
from annotools.prices.times import AnnotationTimes
from annotools.progress import track
from annotools.records import LABEL_KINDS, Dataset, Image


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """One kind of label bought for every image of a dataset.

    `all_questions` is true where the tags of absent classes are paid too. `actions` counts what
    all annotators together do, by action, in the order of the price list; None where the times
    lack an action or the dataset's statistics a count, so that there is no price: `missing_times`
    are these actions, `missing_counts` the fields of `ImageContent` that are not known.
    """

    kind: str
    all_questions: bool
    num_images: int
    actions: Mapping[str, float] | None
    missing_times: tuple[str, ...] = ()
    missing_counts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The kind and how its questions are paid."""
        return f"{self.kind}, all questions" if self.all_questions else self.kind


def price_images(
    dataset: Dataset,
    images: Sequence[Image],
    kinds: Iterable[str],
    times: AnnotationTimes,
    crop_size_wh: tuple[int, int] | None,
) -> dict[int | str, dict[str, float]]:
    """Return the price in seconds by label kind, by image id; tags of absent classes are free.

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


def measure_images(
    dataset: Dataset,
    images: Sequence[Image],
    crop_size_wh: tuple[int, int] | None,
    *,
    with_vertices: bool = False,
) -> ImageContent:
    """Return what there is to label in an image of a dataset on average.

    Args:
        dataset: where the labels are read from.
        images: those to look at.
        crop_size_wh: pixels of the tagged crops; None for the whole image.
        with_vertices: whether to count the corners of polygons, for which files beside the labels
            may have to be read; else they are `UNKNOWN`.

    Raises:
        DatasetError: when a label cannot be read, or there is no image.
    """
    return mean_content(
        measure_content(
            dataset.read_label(image),
            dataset.categories,
            crop_size_wh,
            vertices=count_vertices(dataset, image) if with_vertices else None,
        )
        for image in track(images, "counting what to label", total=len(images))
    )


def list_purchases(
    content: ImageContent,
    num_images: int,
    kinds: Iterable[str],
    times: AnnotationTimes,
    num_coarse_images: int = 0,
) -> tuple[Purchase, ...]:
    """Return what each kind takes on all images; tags once with and once without absent classes.

    Kinds with tags come twice, the second time asking about every class of every crop, unless
    they have no price or the times ask about absent classes in any case.

    Args:
        content: the mean image.
        num_images: how many of them are labelled.
        kinds: some of `PRICE_KINDS`.
        times: what asks about absent classes, and which actions have a time.
        num_coarse_images: further images like these, for which every kind is bought too, but a
            coarse label where the kind is full, by vertex or not.

    Raises:
        RecipeError: for an unknown kind.
    """
    purchases = []
    for kind in kinds:
        if kind not in PRICE_KINDS:
            raise RecipeError(f"unknown label kind {kind!r}: use {', '.join(PRICE_KINDS)}")
        bought = {kind: num_images}
        if num_coarse_images:
            further = "coarse" if kind in ("full", "full by vertex") else kind
            bought[further] = bought.get(further, 0) + num_coarse_images
        as_asked = _purchase(content, bought, times, all_questions=False)
        purchases.append(as_asked)
        has_questions = ABSENT_TAGS in actions_for(content, kind)
        if has_questions and as_asked.actions is not None and not times.asks_absent_classes:
            purchases.append(_purchase(content, bought, times, all_questions=True))
    return tuple(purchases)


def _purchase(
    content: ImageContent,
    num_images_of: Mapping[str, int],
    times: AnnotationTimes,
    *,
    all_questions: bool,
) -> Purchase:
    """Return what so many images of each kind take, under the name of the first kind."""
    total = _count_paid(content, num_images_of, times, all_questions=all_questions)
    missing_times = tuple(action for action in total if action not in times.actions)
    missing_counts = tuple(
        name
        for name, alone in _unknown_one_by_one(content).items()
        if _is_unknown(_count_paid(alone, num_images_of, times, all_questions=all_questions))
    )
    return Purchase(
        kind=next(iter(num_images_of)),
        all_questions=all_questions,
        num_images=sum(num_images_of.values()),
        actions=None if missing_times or missing_counts else total,
        missing_times=missing_times,
        missing_counts=missing_counts,
    )


def _count_paid(
    content: ImageContent,
    num_images_of: Mapping[str, int],
    times: AnnotationTimes,
    *,
    all_questions: bool,
) -> dict[str, float]:
    total: dict[str, float] = {}
    for kind, count in num_images_of.items():
        mean = paid_actions(actions_for(content, kind), times, all_questions=all_questions)
        for action, done in mean.items():
            total[action] = total.get(action, 0) + count * done
    return total


def _is_unknown(counts: Mapping[str, float]) -> bool:
    return math.isnan(sum(counts.values()))


def _unknown_one_by_one(content: ImageContent) -> dict[str, ImageContent]:
    """Return by the name of each field that is not known the content with that one not known."""
    unknown = [field.name for field in fields(content) if math.isnan(getattr(content, field.name))]
    alone: dict[str, ImageContent] = {}
    for name in unknown:
        values: dict[str, Any] = {**dict.fromkeys(unknown, 0.0), name: UNKNOWN}
        alone[name] = replace(content, **values)
    return alone
