"""The account of a conversion: what each label kind holds and lacks, and what it costs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotools.errors import TimesError
from annotools.prices.actions import price_seconds
from annotools.prices.times import AnnotationTimes
from annotools.settings import as_table

LISTED_PLACES = 20
"""Places of a drop that the manifest names; where there are more, `drops.jsonl` has them all."""

GAPS = "gap"
"""Stands for the kind of a drop that is a missing file; its image has a lesser label."""


@dataclass(frozen=True, kw_only=True)
class DropGroup:
    """All drops for one reason: `places` are the first `LISTED_PLACES` of `count`.

    `kind` is the label kind that lacks them, `all` for objects that no kind has, `images` for whole
    images, or `GAPS`.
    """

    kind: str
    reason: str
    count: int
    places: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class KindSummary:
    """The result of one label kind.

    `images` have it, with `objects` of the source in them. `entries` are its boxes, crops, marks
    or segments; of the objects, `written` are in them and `dropped` are not. `hours` is the price
    without mistakes, None where the times do not have it.
    """

    kind: str
    files: tuple[str, ...]
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


class DropList:
    """Collects drops by kind and reason, in the order in which these first occur."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], list[str]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, kind: str, reason: str, place: str) -> None:
        """Add one drop."""
        key = (kind, reason)
        self._counts[key] += 1
        places = self._places.setdefault(key, [])
        if len(places) < LISTED_PLACES:
            places.append(place)

    def count(self, kind: str) -> int:
        """Return how many drops of a kind there are."""
        return sum(count for key, count in self._counts.items() if key[0] == kind)

    @property
    def groups(self) -> tuple[DropGroup, ...]:
        """The drops so far."""
        return tuple(
            DropGroup(
                kind=kind, reason=reason, count=count, places=tuple(self._places[kind, reason])
            )
            for (kind, reason), count in self._counts.items()
        )


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
