"""Images are bought with a budget: their labels are measured, priced, ordered and paid for."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annotools.allocation.allocate import allocate, check_plan
from annotools.allocation.image_orders import queue_images
from annotools.allocation.plan_file import Allocation, PlanSettings
from annotools.errors import DatasetError
from annotools.prices.actions import actions_for, price_seconds
from annotools.prices.image_content import ImageContent, empty_content, measure_images
from annotools.prices.times import AnnotationTimes, read_times
from annotools.records import NO_LABEL, TAGGED_KINDS, Dataset, Image

Contents = Mapping[int | str, ImageContent]
"""The content of images, by their ids."""


def buy_images(
    dataset: Dataset, images: Sequence[Image], plans: Sequence[PlanSettings]
) -> tuple[tuple[Allocation, ...], Contents]:
    """Buy labels of the same images by each plan; return the allocations and the contents.

    Each label is read once for all plans. Of two plans that differ in budget alone, the larger
    keeps what the smaller bought, as `allocate` has it.

    Args:
        dataset: where the labels are read from.
        images: those that can be bought.
        plans: one or more, with the same times and crops.

    Raises:
        RecipeError: for what `allocate` and `queue_images` refuse.
        DatasetError: when there is no image, a label cannot be read, or does not tell a price.
        TimesError: when the times cannot be read, or lack an action.
    """
    if not images:
        raise DatasetError(f"{dataset.name}: split {dataset.split} has no image to buy")
    kinds = sorted({kind for plan in plans for kind in plan.mix} - {NO_LABEL})
    # What is wrong with a plan is said before the labels are read, which may take long.
    for plan in plans:
        check_plan(plan)
    times = read_times(plans[0].times)
    for kind in kinds:
        price_seconds(actions_for(empty_content(dataset.categories), kind), times)
    # Tags take longest to count, and only the prices of kinds that have them need their number.
    with_tags = not set(TAGGED_KINDS).isdisjoint(kinds)
    contents = measure_images(dataset, images, plans[0].crop_size_wh, with_tags=with_tags)
    prices = price_images(contents, kinds, times)
    richness = {image_id: _num_categories(content) for image_id, content in contents.items()}
    allocations = []
    for plan in plans:
        queues = queue_images(plan.order, plan.mix, prices, richness, plan.seed)
        allocations.append(allocate(plan, prices, queues))
    return tuple(allocations), contents


def price_images(
    contents: Contents, kinds: Sequence[str], times: AnnotationTimes
) -> dict[int | str, dict[str, float]]:
    """Return the price in seconds by label kind, by image id; tags of absent classes are free.

    Args:
        contents: of the images.
        kinds: some of `LABEL_KINDS`.
        times: seconds of each action.

    Raises:
        DatasetError: where a count that a price needs is not known.
        TimesError: for an action that the table of times lacks.
    """
    prices = {}
    for image_id, content in contents.items():
        price_of = {kind: price_seconds(actions_for(content, kind), times) for kind in kinds}
        for kind, seconds in price_of.items():
            if math.isnan(seconds):
                raise DatasetError(
                    f"image {image_id}: its label does not tell what {kind!r} would cost: "
                    "leave this kind out"
                )
        prices[image_id] = price_of
    return prices


def bought_actions(kind_of: Mapping[int | str, str], contents: Contents) -> dict[str, float]:
    """Return how often annotators do each action for all images together, free questions included.

    Counts that nobody knows are left out.

    Args:
        kind_of: the label kind of each image.
        contents: of these images.
    """
    totals: Counter[str] = Counter()
    for image_id, kind in kind_of.items():
        if kind != NO_LABEL:
            totals.update(actions_for(contents[image_id], kind))
    return {name: float(count) for name, count in totals.items() if not math.isnan(count)}


@dataclass(frozen=True, kw_only=True)
class BoughtKind:
    """The part of a budget's purchases that has one label kind.

    `instances` are the things in its images, groups left out; None where nobody counted them.
    """

    kind: str
    images: int
    instances: int | None
    hours: float


@dataclass(frozen=True, kw_only=True)
class BudgetRow:
    """The purchases of a budget: kinds in the order of the mix, hours spent, hours left over.

    `ran_out` is true where there was no further image to spend the rest on. Else `next_kind` and
    `next_hours` are the first purchase that was too dear.
    """

    budget_hours: float
    kinds: tuple[BoughtKind, ...]
    spent_hours: float
    left_hours: float
    ran_out: bool
    next_kind: str | None = None
    next_hours: float | None = None


def summarise_allocation(allocation: Allocation, contents: Contents) -> BudgetRow:
    """Count the images, instances and hours of each label kind that an allocation has."""
    next_kind, next_seconds = allocation.next_purchase or (None, None)
    num_images = Counter(allocation.kind_of.values())
    # The counts are floats, because an unknown one is not a number and makes its sum unknown.
    num_instances = dict.fromkeys(allocation.settings.mix, 0.0)
    for image_id, kind in allocation.kind_of.items():
        num_instances[kind] += contents[image_id].instances
    return BudgetRow(
        budget_hours=allocation.settings.budget_hours,
        kinds=tuple(
            BoughtKind(
                kind=kind,
                images=num_images[kind],
                instances=None if math.isnan(num_instances[kind]) else int(num_instances[kind]),
                hours=seconds / 3600,
            )
            for kind, seconds in allocation.spent_by_kind.items()
        ),
        spent_hours=allocation.spent_hours,
        left_hours=allocation.left_seconds / 3600,
        # With nothing left over, no further image would have been bought anyway.
        ran_out=allocation.ran_out and allocation.left_seconds > 0,
        next_kind=next_kind,
        next_hours=None if next_seconds is None else next_seconds / 3600,
    )


def _num_categories(content: ImageContent) -> int:
    """Return how many categories are known to be in an image, background left out."""
    present = (content.thing_classes_present, content.stuff_classes_present)
    return int(sum(count for count in present if not math.isnan(count)))
