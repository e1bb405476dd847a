"""The account of a conversion: what each label kind holds and lacks, and what it costs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotools.drops import DropGroup
from annotools.errors import TimesError
from annotools.prices.actions import price_seconds
from annotools.prices.times import AnnotationTimes
from annotools.settings import as_table


@dataclass(frozen=True, kw_only=True)
class KindSummary:
    """The result of one label kind.

    `extent` says whether it is of whole objects or of what is visible of them. `images` have it,
    with `objects` of the source in them. `entries` are its boxes, crops, marks or segments; of the
    objects, `written` are in them and `dropped` are not. `hours` is the price without mistakes,
    None where the times do not have it.
    """

    kind: str
    files: tuple[str, ...]
    extent: str
    images: int
    objects: int
    entries: int
    written: int
    dropped: int
    hours: float | None


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The result of a conversion; `num_resumed` images were done by an earlier run.

    Of the `num_objects` of the source, each kind has some, and `drops` say why it lacks others.
    """

    num_images: int
    num_resumed: int
    num_objects: int
    kinds: tuple[KindSummary, ...]
    drops: tuple[DropGroup, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what the manifest says of the objects."""
        return {
            "objects": self.num_objects,
            "kinds": {row.pop("kind"): row for row in map(as_table, self.kinds)},
            "drops": as_table(self.drops),
        }


def reconcile(kinds: Iterable[KindSummary]) -> None:
    """Make sure that every object of the source is written or dropped, in every kind.

    Raises:
        AssertionError: when one is not: a fault of ours, not of the user.
    """
    for row in kinds:
        if row.written + row.dropped != row.objects:
            raise AssertionError(
                f"{row.kind}: {row.objects} objects in, {row.written} written and "
                f"{row.dropped} dropped"
            )


def price_hours(actions: Mapping[str, int] | None, times: AnnotationTimes) -> float | None:
    """Return the price of so many actions in hours, None for None and where a time is missing."""
    if actions is None:
        return None
    try:
        return price_seconds(actions, times) / 3600
    except TimesError:
        return None
