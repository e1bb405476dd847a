"""Collect what a result lacks, and say it in a few lines: nothing is left out in silence."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from annotools.records import Dataset, Drop, FullLabel, Image, WeakLabel

Label = TypeVar("Label", FullLabel, WeakLabel)

LISTED_PLACES = 20
"""Places of a drop that are named; a conversion with more has them all in `drops.jsonl`."""

SHOWN_REASONS = 10
"""Reasons that are shown on a terminal."""

SHOWN_PLACES = 3
"""Places of each reason that are shown there."""

GAPS = "gap"
"""Stands for the kind of a drop that is a missing file; its image has a lesser label."""

DOUBTS = "doubt"
"""Stands for the kind of what is not left out, but may be wrong."""

_HEADS = {
    GAPS: "missing files",
    DOUBTS: "doubtful",
    "all": "left out",
    "images": "images left out",
}


@dataclass(frozen=True, kw_only=True)
class DropGroup:
    """All drops for one reason: `places` are the first `LISTED_PLACES` of `count`.

    `kind` is the label kind that lacks them, `all` for objects that no kind has, `images` for whole
    images, `GAPS` or `DOUBTS`.
    """

    kind: str
    reason: str
    count: int
    places: tuple[str, ...]


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


def drop_entry(kind: str, drop: Drop) -> dict[str, str]:
    """Return what a file says of a drop, as `DropList.add` takes it."""
    return {"kind": kind, "reason": drop.reason, "place": drop.place}


def follow_labels(dataset: Dataset) -> tuple[Dataset, DropList]:
    """Return the dataset, and a list that grows with what its labels lack as they are read.

    The list begins with the images and files that the dataset lacks.
    """
    found = DropList()
    for kind, drops in (("images", dataset.drops), (GAPS, dataset.gaps)):
        for drop in drops:
            found.add(kind, drop.reason, drop.place)
    seen: set[int | str] = set()

    def note(image: Image, label: FullLabel | WeakLabel) -> None:
        # A label may be read more than once.
        if image.image_id in seen:
            return
        seen.add(image.image_id)
        for drop in label.drops:
            found.add("all", drop.reason, drop.place)
        for doubt in label.doubts:
            found.add(DOUBTS, doubt.reason, doubt.place)

    def noting(read: Callable[[Image], Label]) -> Callable[[Image], Label]:
        def read_and_note(image: Image) -> Label:
            label = read(image)
            note(image, label)
            return label

        return read_and_note

    read_weak = None if dataset.read_weak is None else noting(dataset.read_weak)
    return replace(dataset, read_label=noting(dataset.read_label), read_weak=read_weak), found


def drop_lines(groups: Iterable[DropGroup]) -> Iterator[str]:
    """Yield a line for each reason: what is missing, how often, why, and the first places."""
    # Missing files come first: their images have a lesser label than the dataset could give.
    ordered = sorted(groups, key=lambda group: (group.kind not in (GAPS, DOUBTS), -group.count))
    for group in ordered[:SHOWN_REASONS]:
        head = _HEADS.get(group.kind, f"dropped from {group.kind}")
        places = ", ".join(group.places[:SHOWN_PLACES])
        more = ", ..." if group.count > SHOWN_PLACES else ""
        yield f"{head}: {group.count:,}, {group.reason}; {places}{more}"
    if len(ordered) > SHOWN_REASONS:
        yield f"left out for {len(ordered) - SHOWN_REASONS} other reasons"
