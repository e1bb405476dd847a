"""What a label costs: the actions it takes and the price of these in seconds."""

from collections.abc import Mapping

from annotools.categories import CategorySet
from annotools.prices.image_content import ImageContent, measure_content
from annotools.prices.times import AnnotationTimes, missing_time
from annotools.records import LABEL_KINDS, TAGGED_KINDS, FullLabel

PRICE_KINDS = (
    "full",
    "full by vertex",
    "boxes",
    "tags",
    "tags of stuff",
    "boxes+tags",
    "points",
    "one point a class",
    "scribbles",
    "coarse",
)
"""What can be priced: the label kinds, full ones also by the corners of their polygons, the part of
`boxes+tags` that is tags, and the points that Bearman et al. compare with one on each object."""

ABSENT_TAGS = "absent tags"
"""Classes absent from a crop whose tags are asked for: paid where all questions are."""

ABSENT_CLASSES = "absent classes"
"""Classes absent from the image: paid where the times say that every kind asks about them."""


def count_actions(
    label: FullLabel,
    categories: CategorySet,
    kind: str,
    crop_size_wh: tuple[int, int] | None,
) -> dict[str, int]:
    """Return how often the annotator of an image does each action to give a label of this kind.

    See `actions_for`.

    Args:
        label: the full label, from which the weak ones follow.
        categories: the dataset's.
        kind: one of `LABEL_KINDS`.
        crop_size_wh: width and height of the tagged crops in pixels; None for the whole image.

    Raises:
        ValueError: for another kind.
    """
    if kind not in LABEL_KINDS:
        raise ValueError(f"no label kind {kind!r}: give one of {', '.join(LABEL_KINDS)}")
    with_tags = kind in TAGGED_KINDS
    content = measure_content(label, categories, crop_size_wh, with_tags=with_tags)
    return {action: round(count) for action, count in actions_for(content, kind).items()}


def actions_for(content: ImageContent, kind: str) -> dict[str, float]:
    """Return how often each action is done to give an image, or the mean image, this label.

    Boxes take one `box` for each thing segment, groups included; tags one `tag` for each crop and
    class present in it, things and stuff, or stuff alone in `boxes+tags`; points one
    `point_first` for each class in the image and a `point_further` for each further thing of it,
    the background free; scribbles one `scribble` for each class in the image; a coarse label one
    `coarse_image`; a full label one `full_image`, or, where all stuff is background, one `mask`
    for each thing segment, and by vertex one `vertex` for each corner of its polygons. Classes
    about which an annotator could be asked in vain are counted as `ABSENT_TAGS` and
    `ABSENT_CLASSES`. An action that the kind never takes in this category set has no entry; a
    count that is not known is not a number.

    Args:
        content: what there is to label.
        kind: one of `PRICE_KINDS`.

    Paper: Li, Arnab, Torr 2018, app. D; Bearman et al. 2016, sec. 4.
    """
    present = content.thing_classes_present + content.stuff_classes_present
    classes = content.num_thing_classes + content.num_stuff_classes
    absent = {ABSENT_CLASSES: classes - present}
    boxes = {
        "box": content.things,
        ABSENT_CLASSES: content.num_thing_classes - content.thing_classes_present,
    }
    if kind == "boxes":
        return boxes
    if kind in ("tags", "tags of stuff", "boxes+tags"):
        tags = _tags(content, with_things=kind == "tags")
        return {**boxes, **tags} if kind == "boxes+tags" else tags
    if kind == "one point a class":
        return {"point_first": present, **absent}
    if kind == "points":
        further = content.things - content.thing_classes_present
        return {"point_first": present, "point_further": further, **absent}
    if kind == "scribbles":
        return {"scribble": present, **absent}
    if kind == "coarse":
        return {"coarse_image": 1, **absent}
    if kind == "full by vertex":
        return {"vertex": content.vertices, **absent}
    return {**({"full_image": 1} if content.has_stuff else {"mask": content.things}), **absent}


def paid_actions(
    counts: Mapping[str, float], times: AnnotationTimes, *, all_questions: bool = False
) -> dict[str, float]:
    """Return the counts with the questions that are paid among them, and no others.

    Absent classes are paid where the times ask about them in every kind, absent tags there and
    where `all_questions` is true, all as `tag_question`.
    """
    paid = {name: n for name, n in counts.items() if name not in (ABSENT_TAGS, ABSENT_CLASSES)}
    asked = [name for name in counts if name == ABSENT_TAGS and all_questions]
    if times.asks_absent_classes:
        asked = [name for name in counts if name not in paid]
    if asked:
        paid["tag_question"] = sum(counts[name] for name in asked)
    return paid


def price_seconds(
    actions: Mapping[str, float], times: AnnotationTimes, *, all_questions: bool = False
) -> float:
    """Return the price in seconds of so many actions of each name; counts may be means.

    Args:
        actions: counts, as `actions_for` gives them.
        times: seconds of each action.
        all_questions: whether the tags of absent classes are paid, not those of present ones only.

    Raises:
        TimesError: for an action that the table of times lacks.
    """
    paid = paid_actions(actions, times, all_questions=all_questions)
    for action in paid:
        if action not in times.actions:
            raise missing_time(times, action)
    return float(sum(count * times.actions[action].seconds for action, count in paid.items()))


def _tags(content: ImageContent, *, with_things: bool) -> dict[str, float]:
    classes, tags = content.num_stuff_classes, content.stuff_tags
    if with_things:
        classes, tags = classes + content.num_thing_classes, tags + content.thing_tags
    return {"tag": tags, ABSENT_TAGS: content.crops * classes - tags} if classes else {}
