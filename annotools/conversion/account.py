"""The account of a conversion: what each label kind holds and lacks, and what it costs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotools.drops import DropGroup
from annotools.prices.actions import paid_actions, price_seconds
from annotools.prices.times import AnnotationTimes, missing_actions, why_missing
from annotools.settings import as_table, read_settings


@dataclass(frozen=True, kw_only=True)
class KindSummary:
    """The result of one label kind.

    `extent` says whether it is of whole objects or of what is visible of them. `images` have it,
    with `objects` of the source in them. `entries` are its boxes, crops, marks or segments; of the
    objects, `written` are in them and `dropped` are not. `hours` is the price without mistakes;
    where there is none, it is None and `hours_missing` says why.
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
    hours_missing: str | None = None


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


def read_account(manifest: Mapping[str, Any]) -> Conversion:
    """Return the conversion that a manifest tells of, all of it done before.

    Raises:
        RecipeError, KeyError, TypeError or AttributeError: when it tells of none.
    """
    table = {
        "num_images": manifest["images"]["converted"],
        "num_resumed": manifest["images"]["converted"],
        "num_objects": manifest["objects"],
        "kinds": [{"kind": kind, **row} for kind, row in manifest["kinds"].items()],
        "drops": manifest["drops"],
    }
    return read_settings(Conversion, table, "manifest")


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


def price_hours(
    actions: Mapping[str, int], times: AnnotationTimes
) -> tuple[float | None, str | None]:
    """Return the price of so many actions in hours, or None and why there is no price."""
    missing = missing_actions(times, paid_actions(actions, times))
    if missing:
        return None, why_missing(times, missing)
    return price_seconds(actions, times) / 3600, None
