"""A label takes actions of an annotator: how many of each, and what they cost in seconds."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from annotools.prices.image_content import ImageContent
from annotools.prices.times import (
    PRESETS_FOLDER,
    AnnotationTimes,
    missing_actions,
    missing_time,
    read_times,
)
from annotools.records import LABEL_KINDS

ABSENT_TAGS = "absent tags"
"""Classes absent from a crop whose tags are asked for: paid where all questions are."""

ABSENT_CLASSES = "absent classes"
"""Classes absent from the image: paid where the times say that every kind asks about them."""


@dataclass(frozen=True)
class _Count:
    """A formula for how often an action is done: `factor` times the sum of `of`, less `less`.

    All are names of fields of `ImageContent`; an empty `of` stands for one, the image itself. The
    names tell which counts a price needs.
    """

    of: tuple[str, ...]
    less: tuple[str, ...] = ()
    factor: str | None = None

    @property
    def names(self) -> set[str]:
        """The fields that it uses."""
        return {*self.of, *self.less} | ({self.factor} if self.factor else set())

    def in_image(self, content: ImageContent) -> float:
        """Return the count in an image, or in the mean image."""
        count: float = sum(getattr(content, name) for name in self.of) if self.of else 1
        if self.factor:
            count *= getattr(content, self.factor)
        less: float = sum(getattr(content, name) for name in self.less)
        # An integer stays one, so that counts of images are written without a decimal point.
        return count - less


_CLASSES = ("num_thing_classes", "num_stuff_classes")
_PRESENT = ("thing_classes_present", "stuff_classes_present")
_TAGS = ("stuff_tags", "thing_tags")

_ABSENT = {ABSENT_CLASSES: _Count(_CLASSES, less=_PRESENT)}
_BOXES = {
    # Whoever draws boxes is asked about things alone, so absent stuff costs nothing here.
    "box": _Count(("things",)),
    ABSENT_CLASSES: _Count(("num_thing_classes",), less=("thing_classes_present",)),
}
_BY_INSTANCE = {
    "full": {"mask": _Count(("things",)), **_ABSENT},
    "coarse": {"coarse_instance": _Count(("things",)), **_ABSENT},
}
"""The actions of the kinds that are paid by the image, where there is no stuff."""

_STUFF_TAGS = {
    "tag": _Count(("stuff_tags",)),
    ABSENT_TAGS: _Count(("num_stuff_classes",), less=("stuff_tags",), factor="crops"),
}
_POINTS = {"point_first": _Count(_PRESENT), **_ABSENT}

_COUNTS_OF = {
    "full": {"full_image": _Count(()), **_ABSENT},
    "full by vertex": {"vertex": _Count(("vertices",)), **_ABSENT},
    "boxes": _BOXES,
    "tags": {"tag": _Count(_TAGS), ABSENT_TAGS: _Count(_CLASSES, less=_TAGS, factor="crops")},
    "tags of stuff": _STUFF_TAGS,
    "boxes+tags": {**_BOXES, **_STUFF_TAGS},
    "points": {**_POINTS, "point_further": _Count(("things",), less=("thing_classes_present",))},
    "one point a class": _POINTS,
    "scribbles": {"scribble": _Count(_PRESENT), **_ABSENT},
    "coarse": {"coarse_image": _Count(()), **_ABSENT},
}
"""The actions of each kind, where there is stuff; `actions_for` says why."""

PRICE_KINDS = tuple(_COUNTS_OF)
"""Everything that can be priced: every label kind, a full label also by the corners of its
polygons, the part of `boxes+tags` that is tags, and the points that Bearman et al. compare with one
on each object. Each has a price wherever the times have its actions and the counts are known; there
is no other list of what has a price."""


def actions_for(content: ImageContent, kind: str) -> dict[str, float]:
    """Return how often each action is done to give an image, or the mean image, this label.

    Boxes take one `box` for each thing segment, groups included. Tags take one `tag` for each
    crop and class present in it, things and stuff, or stuff alone in `boxes+tags`. Points take
    one `point_first` for each class in the image and a `point_further` for each further thing of
    it; the background is free. Scribbles take one `scribble` for each class in the image. A full
    label takes one `full_image` and a coarse label one `coarse_image`, or, where no stuff is
    labelled, one `mask` or `coarse_instance` for each thing segment; by vertex a full label takes
    one `vertex` for each corner of its polygons. Classes about which an annotator could be asked in
    vain are counted as `ABSENT_TAGS` and `ABSENT_CLASSES`. An action that the kind never takes in
    this category set has no entry; a count that is not known is not a number.

    Args:
        content: what there is to label.
        kind: one of `PRICE_KINDS`.

    Paper: Li, Arnab, Torr 2018, app. D; Bearman et al. 2016, sec. 4.
    """
    return {name: count.in_image(content) for name, count in _counts(content, kind).items()}


def count_actions(content: ImageContent, kinds: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return how often the annotator of one image does each action, by label kind.

    A kind is left out if one of its counts is not known.

    Args:
        content: what there is to label in the image.
        kinds: some of `LABEL_KINDS`.

    Raises:
        ValueError: for another kind.
    """
    counts = {}
    for kind in kinds:
        if kind not in LABEL_KINDS:
            raise ValueError(f"no label kind {kind!r}: give one of {', '.join(LABEL_KINDS)}")
        actions = actions_for(content, kind)
        # One count that is not a number makes the whole sum not a number.
        if not math.isnan(sum(actions.values())):
            counts[kind] = {action: round(count) for action, count in actions.items()}
    return counts


def paid_actions(
    counts: Mapping[str, float], times: AnnotationTimes, *, all_questions: bool = False
) -> dict[str, float]:
    """Return the actions that are paid: `counts` with the paid questions as `tag_question`.

    Absent classes are paid where the times ask about them in every kind. Absent tags are paid
    there too, and wherever `all_questions` is true.
    """
    asked = _asked_in_vain(counts, times, all_questions=all_questions)
    paid = {name: n for name, n in counts.items() if name not in (ABSENT_TAGS, ABSENT_CLASSES)}
    if asked:
        paid["tag_question"] = sum(counts[name] for name in asked)
    return paid


def unknown_counts(
    content: ImageContent, kind: str, times: AnnotationTimes, *, all_questions: bool = False
) -> tuple[str, ...]:
    """Return the fields of `ImageContent` that a price of this kind needs and nobody knows."""
    counts = _counts(content, kind)
    # Nobody pays for some questions, and then their counts may stay unknown.
    unpaid = {ABSENT_TAGS, ABSENT_CLASSES}.difference(
        _asked_in_vain(counts, times, all_questions=all_questions)
    )
    used = {name for action in counts.keys() - unpaid for name in counts[action].names}
    names = (field.name for field in fields(content) if field.name in used)
    return tuple(name for name in names if math.isnan(getattr(content, name)))


def unpriced_actions(content: ImageContent, kind: str, times: AnnotationTimes) -> tuple[str, ...]:
    """Return the paid actions of a label kind that have no time, in the order of the kind."""
    return missing_actions(times, paid_actions(actions_for(content, kind), times))


def presets_for(content: ImageContent, kinds: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the presets of times that price all these label kinds."""
    tables = [read_times(path) for path in sorted(PRESETS_FOLDER.glob("*.toml"))]
    asked = list(kinds)
    return tuple(
        times.name
        for times in tables
        if not any(unpriced_actions(content, kind, times) for kind in asked)
    )


def price_seconds(
    actions: Mapping[str, float], times: AnnotationTimes, *, all_questions: bool = False
) -> float:
    """Return the price in seconds of so many actions of each name; counts may be means.

    Args:
        actions: counts, as `actions_for` gives them.
        times: seconds of each action.
        all_questions: whether tags of absent classes are paid as well as those of present ones.

    Raises:
        TimesError: for an action that has no time in the table.
    """
    paid = paid_actions(actions, times, all_questions=all_questions)
    for action in missing_actions(times, paid):
        raise missing_time(times, action)
    return float(sum(count * times.actions[action].seconds for action, count in paid.items()))


def _counts(content: ImageContent, kind: str) -> Mapping[str, _Count]:
    # A time of an image with things and stuff says nothing about outlines of a few things.
    if not content.has_stuff and kind in _BY_INSTANCE:
        return _BY_INSTANCE[kind]
    # Nobody asks for tags of a background, so without other stuff there are none.
    if content.num_stuff_classes == 0 and kind == "boxes+tags":
        return _BOXES
    if content.num_stuff_classes == 0 and kind == "tags of stuff":
        return {}
    return _COUNTS_OF[kind]


def _asked_in_vain(
    counts: Mapping[str, object], times: AnnotationTimes, *, all_questions: bool
) -> list[str]:
    """Return which questions about what is absent are paid."""
    if times.asks_absent_classes:
        return [name for name in counts if name in (ABSENT_TAGS, ABSENT_CLASSES)]
    return [name for name in counts if name == ABSENT_TAGS and all_questions]
