"""What budgets buy, counted: images, instances and hours of each label kind."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from annotools.allocation.allocate import Allocation
from annotools.progress import track
from annotools.records import Dataset, Image


@dataclass(frozen=True, kw_only=True)
class BoughtKind:
    """What a budget buys of one label kind; `instances` are the things in its images."""

    kind: str
    images: int
    instances: int
    hours: float


@dataclass(frozen=True, kw_only=True)
class BudgetRow:
    """What a budget buys: kinds in the order of the mix, hours spent, and hours left over.

    `ran_out` is true where there was no further image to spend the rest on.
    """

    budget_hours: float
    kinds: tuple[BoughtKind, ...]
    spent_hours: float
    left_hours: float
    ran_out: bool


def count_instances(dataset: Dataset, images: Sequence[Image]) -> dict[int | str, int]:
    """Return how many things each image has, groups left out, by image id.

    Raises:
        DatasetError: when a label cannot be read.
    """
    counts = {}
    for image in track(images, "counting instances", total=len(images)):
        counts[image.image_id] = sum(
            dataset.categories.by_id(segment.category_id).is_thing and not segment.is_group
            for segment in dataset.read_label(image).segments
        )
    return counts


def summarise_allocation(
    budget_hours: float, bought: Allocation, instances: Mapping[int | str, int]
) -> BudgetRow:
    """Return what an allocation comes to.

    Args:
        budget_hours: that the allocation had.
        bought: the allocation.
        instances: things by image id.
    """
    num_images = Counter(bought.kind_of.values())
    num_instances: Counter[str] = Counter()
    for image_id, kind in bought.kind_of.items():
        num_instances[kind] += instances[image_id]
    return BudgetRow(
        budget_hours=budget_hours,
        kinds=tuple(
            BoughtKind(
                kind=kind,
                images=num_images[kind],
                instances=num_instances[kind],
                hours=seconds / 3600,
            )
            for kind, seconds in bought.spent_by_kind.items()
        ),
        spent_hours=bought.spent_seconds / 3600,
        left_hours=bought.left_seconds / 3600,
        ran_out=bought.ran_out and bought.left_seconds > 0,
    )
