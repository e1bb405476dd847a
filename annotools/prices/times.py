"""A table of annotation times says how many seconds each action takes. It is read from TOML."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotools.errors import RecipeError, TimesError, name_place
from annotools.settings import as_table, find_toml, read_lineage, read_settings, read_toml

UNITS = {
    "box": "instance",
    "tag": "class present in an image or crop",
    "tag_question": "class asked about and absent",
    "point_first": "first click on a class in an image",
    "point_further": "click on a further instance",
    "scribble": "class present in an image",
    "mask": "instance",
    "full_image": "image with things and stuff",
    "coarse_image": "image with things and stuff",
    "coarse_instance": "instance",
    "vertex": "corner of a polygon",
}
"""What each action is done on, where a time does not say it otherwise."""

ACTIONS = tuple(UNITS)
"""An annotator can be paid for these: a box of an instance; a tag of a class present, and the
question about a class that turns out absent, both of an image or crop; the first point on a class
in an image, and a point on each further object of it; the scribbles of a class in an image; a mask
of an instance; the full label of an image; its coarse label; the coarse outline of an instance; a
corner of a polygon drawn around a segment. No preset has a time of a coarse outline or a vertex,
because no published one is known: a file of your own can give it."""

PRESETS_FOLDER = Path(__file__).absolute().with_name("times_presets")

MAX_SECONDS = 1e12
"""No action, purchase or budget takes thirty thousand years; sums of longer ones would overflow."""

MAX_HOURS = 1e8
"""As many, for budgets."""


@dataclass(frozen=True, kw_only=True)
class ActionTime:
    """The seconds that one action takes, with their spread and source.

    `seconds` is the value to calculate with, `low` and `high` a plausible range around it: 5 % of
    times are below `low` and 5 % above `high`, or all three are the same. `unit` is what one
    action is done on, `source` where the value was published. `measured` is false where it was
    derived from others; `quality_control` is true where it includes checking and correcting.
    `images` are those that a time of a whole image holds for; None where the source does not
    restrict it.

    Raises:
        TimesError: for a time that is negative or not finite, or outside its own range, or a
            range that starts at zero and ends above.
    """

    seconds: float
    low: float
    high: float
    unit: str
    source: str
    measured: bool
    quality_control: bool
    images: str | None = None

    def __post_init__(self) -> None:
        for key in ("seconds", "low", "high"):
            value = getattr(self, key)
            if not 0 <= value <= MAX_SECONDS:
                raise TimesError(f"{key} = {value}: give a time of zero or more seconds")
        if self.low == 0 < self.high:
            raise TimesError("low = 0: give the shortest plausible time, or 0 for all three")
        if self.low > self.seconds:
            raise TimesError(f"low = {self.low} is above seconds = {self.seconds}: lower it")
        if self.high < self.seconds:
            raise TimesError(f"high = {self.high} is below seconds = {self.seconds}: raise it")


@dataclass(frozen=True, kw_only=True)
class AnnotationTimes:
    """A table of times: `actions` by name, some of `ACTIONS`; `note` is what a reader must know.

    `asks_absent_classes` says that every label kind begins with a question about each class of
    the dataset. Answers of "absent" are then paid as `tag_question`.

    Raises:
        TimesError: for an unknown action, and when absent classes are asked about but the question
            has no time.
    """

    name: str
    note: str
    actions: Mapping[str, ActionTime]
    asks_absent_classes: bool = False

    def __post_init__(self) -> None:
        for action in self.actions:
            if action not in ACTIONS:
                known = ", ".join(ACTIONS)
                raise TimesError(f"unknown action {action!r} in actions: use {known}")
        if self.asks_absent_classes and "tag_question" not in self.actions:
            raise TimesError("asks_absent_classes = True: add a table [actions.tag_question]")


def read_times(name_or_path: str | Path) -> AnnotationTimes:
    """Read a preset by its name, or the user's own file.

    A file with `inherit`, the name of a preset or the path of a file, starts from those times.
    What it says about an action replaces the inherited keys one by one. Without a name of its own
    it takes that of the file; without a note it gets one that lists what it changes. Where it
    replaces the seconds and not the source, the source says so. An end of the range that it does
    not give is then scaled by the same factor as the seconds: who takes twice as long is as
    uncertain in proportion.

    An action that is not inherited needs its seconds alone: it then has no spread, the unit of
    `UNITS`, the file's name as its source, and is neither measured nor quality-controlled.

    Args:
        name_or_path: a `Path` or text that ends in `.toml` is a file; other text is a preset.

    Raises:
        TimesError: for an unknown preset, or a file that is missing, not TOML, inherits from
            itself, or has an unknown or missing key or an impossible value.
    """
    path = _find_file(name_or_path)
    lineage = read_lineage(_read_own(path), path, _find_file, _read_own, TimesError)
    (oldest, table), *heirs = lineage
    # Each file is read as a whole, so that a mistake is reported in the file that has it.
    times = _read_table(table, oldest)
    for path, own in heirs:
        times = _read_table(_inherit(times, own, path), path)
    return times


def fix_time(times: AnnotationTimes, action: str, seconds: float) -> AnnotationTimes:
    """Return the times with one action replaced by a time that is known and has no spread.

    Unit and quality control stay as they were; the time holds for your own images. An action that
    the table lacks is added, with the unit of `UNITS` and without quality control.

    Raises:
        TimesError: for an unknown action, or an impossible time.
    """
    if action not in ACTIONS:
        raise TimesError(f"there is no action {action!r}: use {', '.join(ACTIONS)}")
    old = times.actions.get(action)
    with name_place(action):
        new = ActionTime(
            seconds=seconds,
            low=seconds,
            high=seconds,
            unit=UNITS[action] if old is None else old.unit,
            source="your own",
            measured=False,
            quality_control=old is not None and old.quality_control,
        )
    return replace(times, actions={**times.actions, action: new})


def missing_actions(times: AnnotationTimes, actions: Iterable[str]) -> tuple[str, ...]:
    """Return the actions that have no time to calculate with, in the order given.

    The table lacks them; or it has a coarse image of certain images, and a full image that is not
    of these. Such a pair would compare the labels of different images.
    """
    return tuple(
        action
        for action in actions
        if action not in times.actions or (action == "coarse_image" and _is_of_others(times))
    )


def why_missing(times: AnnotationTimes, missing: Collection[str]) -> str:
    """Return why some actions, of those that `missing_actions` names, have no time."""
    reasons = []
    absent = [action for action in missing if action not in times.actions]
    if absent:
        reasons.append(f"times {times.name} have no {', '.join(absent)}")
        why = _why_not_by_image(times, absent)
        if why:
            reasons[0] += f": {why}; add a table [actions.coarse_instance] of your own"
    if "coarse_image" in missing and "coarse_image" not in absent:
        reasons.append(f"{_why_of_others(times)}: give your own")
    return "; ".join(reasons)


def missing_time(times: AnnotationTimes, action: str) -> TimesError:
    """Return the error that says how to add an action which `missing_actions` names."""
    remedy = f"add a table [actions.{action}]"
    if action in times.actions:
        return TimesError(f"annotation times {times.name!r}: {_why_of_others(times)}: {remedy}")
    reason = _why_not_by_image(times, [action])
    return TimesError(
        f"annotation times {times.name!r} lack the action {action!r}"
        + (f"; {reason}" if reason else "")
        + f": {remedy}"
    )


def explain_images(times: AnnotationTimes, used: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each kind of images that times of `used` actions are restricted to."""
    actions_of: dict[str, list[str]] = {}
    for action, time in times.actions.items():
        if action in used and time.images is not None:
            actions_of.setdefault(time.images, []).append(action)
    for images, actions in actions_of.items():
        yield (
            f"The seconds of {' and '.join(actions)} are those of {images}: other images may take "
            "far fewer or more, so give times of your own for them."
        )


def mixed_quality_control(
    times: AnnotationTimes, actions: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the actions that lack quality control and those that include it.

    None where all are alike: such times can be compared as they are.
    """
    # They are listed in the order of `ACTIONS`, because that of a set changes from run to run.
    known = [action for action in ACTIONS if action in set(actions) & times.actions.keys()]
    unchecked = tuple(a for a in known if not times.actions[a].quality_control)
    checked = tuple(a for a in known if times.actions[a].quality_control)
    return (unchecked, checked) if unchecked and checked else None


def _is_of_others(times: AnnotationTimes) -> bool:
    """Return whether the time of a coarse image is of other images than that of a full one."""
    coarse, full = times.actions["coarse_image"], times.actions.get("full_image")
    return coarse.images is not None and full is not None and full.images != coarse.images


def _why_of_others(times: AnnotationTimes) -> str:
    return f"coarse_image is of {times.actions['coarse_image'].images}, and full_image is not"


def _why_not_by_image(times: AnnotationTimes, absent: Collection[str]) -> str | None:
    """Return why the time of a coarse image does not stand in for an absent one of an instance.

    None where no `coarse_instance` is absent, or the times have no `coarse_image` either.
    """
    whole = times.actions.get("coarse_image")
    if "coarse_instance" not in absent or whole is None:
        return None
    images = f" ({whole.images})" if whole.images else ""
    return (
        f"the {whole.seconds:g} s of coarse_image are for one {whole.unit}{images}, and this "
        "dataset has no labelled stuff"
    )


def _find_file(name_or_path: str | Path) -> Path:
    return find_toml(name_or_path, PRESETS_FOLDER, "preset of annotation times", TimesError)


def _read_own(path: Path) -> dict[str, Any]:
    return read_toml(path, TimesError)


def _read_table(table: dict[str, Any], path: Path) -> AnnotationTimes:
    try:
        return read_settings(AnnotationTimes, _complete_actions(table, path.name), where=str(path))
    except RecipeError as error:
        raise TimesError(str(error)) from error


def _inherit(inherited: AnnotationTimes, own: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the table of a file, completed with what it inherits."""
    old = as_table(inherited)
    own_actions = own.get("actions", {})
    # `read_settings` then says what is wrong with the file's own value.
    if not isinstance(own_actions, Mapping):
        return {**old, **own}
    actions = {
        name: _replace_keys(old["actions"].get(name), changed, path.name)
        for name, changed in own_actions.items()
    }
    return {
        **old,
        "name": path.stem,
        "note": f"As {inherited.name}, but for {', '.join(own_actions) or 'its name'}.",
        **own,
        "actions": {**old["actions"], **actions},
    }


def _replace_keys(old: dict[str, Any] | None, own: Any, file_name: str) -> Any:
    """Return the table of an action: the inherited one with some keys replaced."""
    if old is None or not isinstance(own, Mapping):
        return own
    seconds = own.get("seconds", old["seconds"])
    # `read_settings` says what is wrong with a time that is no number.
    if not isinstance(seconds, int | float) or seconds == old["seconds"]:
        return {**old, **own}
    ends = {end: _scale(old[end], old["seconds"], seconds) for end in ("low", "high")}
    is_scaled = old["low"] < old["high"] and not ends.keys() <= own.keys()
    scaled = ", its range scaled alike" if is_scaled else ""
    # Another time is not what the inherited source published, and nobody says it was measured.
    source = f"{file_name}, in place of {old['seconds']:g} s{scaled}: {old['source']}"
    return {**old, **ends, "source": source, "measured": False, "images": None, **own}


def _scale(end: float, old_seconds: float, seconds: float) -> float:
    # The ratio comes first: where it is 1, the end is the time itself to the last bit.
    return seconds * (end / old_seconds) if old_seconds else seconds


def _complete_actions(table: dict[str, Any], file_name: str) -> dict[str, Any]:
    """Return the table of a file with what an action that is given by its seconds leaves out."""
    actions = table.get("actions")
    # `read_settings` says what is wrong with anything else.
    if not isinstance(actions, Mapping):
        return table
    complete = {}
    for name, own in actions.items():
        complete[name] = own
        if isinstance(own, Mapping) and "seconds" in own:
            seconds = own["seconds"]
            defaults = {
                "low": seconds,
                "high": seconds,
                "unit": UNITS.get(name, name),
                "source": file_name,
                "measured": False,
                "quality_control": False,
            }
            # What the file says comes first, so that its own mistakes are told first.
            complete[name] = {**own, **{k: v for k, v in defaults.items() if k not in own}}
    return {**table, "actions": complete}
