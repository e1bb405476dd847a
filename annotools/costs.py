"""What a label costs: the actions it takes and the price of these in seconds."""

from collections.abc import Mapping

from annotools.categories import CategorySet
from annotools.errors import TimesError
from annotools.records import FullLabel
from annotools.times import AnnotationTimes
from annotools.weak_labels.weaken import weaken


def count_actions(
    label: FullLabel,
    categories: CategorySet,
    kind: str,
    crop_size_wh: tuple[int, int] | None,
) -> dict[str, int]:
    """Return how often the annotator of an image does each action to give a label of this kind.

    Boxes take one `box` for each thing segment, groups included; tags one `tag` for each crop and
    category present in it, of the categories that `weaken` asks about (absent ones are free);
    a full label one `full_image`, or, where all stuff is background, one `mask` for each thing
    segment. An action that the kind never takes in this category set has no entry.

    Args:
        label: the full label, from which the weak ones follow.
        categories: the dataset's.
        kind: `full` or one of `WEAK_KINDS`.
        crop_size_wh: width and height of the tagged crops in pixels; None for the whole image.

    Raises:
        ValueError: for another kind.

    Paper: Li, Arnab, Torr 2018, app. D.
    """
    if kind == "full" and categories.background_id is None:
        return {"full_image": 1}
    if kind == "full":
        return {"mask": len(weaken(label, categories, "boxes", None).boxes)}
    weak = weaken(label, categories, kind, crop_size_wh)
    actions = {}
    if weak.has_boxes:
        actions["box"] = len(weak.boxes)
    if weak.tagged_category_ids:
        actions["tag"] = sum(len(crop.category_ids) for crop in weak.crops)
    return actions


def price_seconds(actions: Mapping[str, float], times: AnnotationTimes) -> float:
    """Return the price in seconds of so many actions of each name; counts may be means.

    Raises:
        TimesError: for an action that the table of times lacks.
    """
    for action in actions:
        if action not in times.actions:
            raise TimesError(
                f"annotation times {times.name!r} lack the action {action!r}: "
                f"add a table [actions.{action}]"
            )
    return float(sum(count * times.actions[action].seconds for action, count in actions.items()))
