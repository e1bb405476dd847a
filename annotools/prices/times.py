"""What one action of an annotator takes, with source and spread, read from TOML."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotools.errors import TimesError
from annotools.settings import read_toml

ACTIONS = (
    "box",
    "tag",
    "tag_question",
    "point_first",
    "point_further",
    "scribble",
    "mask",
    "full_image",
    "coarse_image",
    "vertex",
)
"""What an annotator can be paid for: a box of an instance; a tag of a class present, and the
question about a class that turns out absent, both of an image or crop; the first point on a class
in an image, and a point on each further object of it; the scribbles of a class in an image; a mask
of an instance; the full label of an image; its coarse label; a corner of a polygon drawn around a
segment. No preset has a time of a vertex, because no published one is known: a file of your own can
give it."""

PRESETS_FOLDER = Path(__file__).with_name("times_presets")


@dataclass(frozen=True, kw_only=True)
class ActionTime:
    """How long one action takes.

    `seconds` is the value to calculate with, `low` and `high` a plausible range around it: 5 % of
    times are below `low` and 5 % above `high`, or all three are the same. `unit` is what one
    action is done on, `source` where the value was published. `measured` is false where it was
    derived from others; `quality_control` is true where it includes checking and correcting.

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

    def __post_init__(self) -> None:
        for key in ("seconds", "low", "high"):
            value = getattr(self, key)
            if not 0 <= value < math.inf:
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
    the dataset, of which the answers "absent" are paid as `tag_question`.

    Raises:
        TimesError: when absent classes are asked about but the question has no time.
    """

    name: str
    note: str
    actions: Mapping[str, ActionTime]
    asks_absent_classes: bool = False

    def __post_init__(self) -> None:
        if self.asks_absent_classes and "tag_question" not in self.actions:
            raise TimesError("asks_absent_classes = True: add a table [actions.tag_question]")


def read_times(name_or_path: str | Path) -> AnnotationTimes:
    """Read a preset by its name, or the user's own file.

    A file with `inherit`, the name of a preset or the path of a file, starts from those times:
    what it says of an action replaces the inherited keys one by one. It may leave out its name,
    which is then the file's, and its note, which then says what it changes. Where it replaces
    the seconds but not the source, the source says so.

    Args:
        name_or_path: a `Path` or text that ends in `.toml` is a file; other text is a preset.

    Raises:
        TimesError: for an unknown preset, or a file that is missing, not TOML, inherits from
            itself, or has an unknown or missing key or an impossible value.
    """
    return _read_file(_find_file(name_or_path, Path()), heirs=())


def fix_time(times: AnnotationTimes, action: str, seconds: float) -> AnnotationTimes:
    """Return the times with one action replaced by a time that is known and has no spread.

    Unit and quality control stay as they were.

    Raises:
        TimesError: for an action that the table lacks, or an impossible time.
    """
    if action not in times.actions:
        own = f"; or add a table [actions.{action}] in a file of your own" * (action in ACTIONS)
        raise TimesError(
            f"annotation times {times.name!r} have no action {action!r}: "
            f"use {', '.join(times.actions)}{own}"
        )
    old = times.actions[action]
    try:
        new = replace(
            old, seconds=seconds, low=seconds, high=seconds, source="your own", measured=False
        )
    except TimesError as error:
        raise TimesError(f"{action}: {error}") from error
    return replace(times, actions={**times.actions, action: new})


def missing_time(times: AnnotationTimes, action: str) -> TimesError:
    """Return the error that says how to add an action which a table of times lacks."""
    return TimesError(
        f"annotation times {times.name!r} lack the action {action!r}: "
        f"add a table [actions.{action}]"
    )


def unchecked_beside_checked(
    times: AnnotationTimes, actions: Iterable[str]
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return which of the actions lack quality control and which include it.

    None where all are alike, so that they can be compared as they are.
    """
    known = [action for action in ACTIONS if action in set(actions) & times.actions.keys()]
    unchecked = tuple(a for a in known if not times.actions[a].quality_control)
    checked = tuple(a for a in known if times.actions[a].quality_control)
    return (unchecked, checked) if unchecked and checked else None


def _read_file(path: Path, heirs: tuple[Path, ...]) -> AnnotationTimes:
    """Read a file of times that the files `heirs` inherit from, the last of them directly."""
    place = str(path)
    if path.resolve() in heirs:
        raise TimesError(f"{path}: inherit leads back to this file: break the circle")
    table = read_toml(path, TimesError)
    inherited = None
    if "inherit" in table:
        parent = _find_file(_take(place, table, "inherit", str), path.parent)
        inherited = _read_file(parent, (*heirs, path.resolve()))
    needed = ("name", "note", "actions") if inherited is None else ()
    _check_keys(place, table, needed, ("inherit", "name", "note", "asks_absent_classes", "actions"))
    actions = _take(place, table, "actions", dict) if "actions" in table else {}
    unknown = [name for name in actions if name not in ACTIONS]
    if unknown:
        raise TimesError(
            f"{path}: unknown action {unknown[0]!r} in actions: use {', '.join(ACTIONS)}"
        )
    old = {} if inherited is None else inherited.actions
    own = {
        name: _read_action(
            f"{path}: actions.{name}",
            _take(f"{path}: actions", actions, name, dict),
            old.get(name),
            path.name,
        )
        for name in actions
    }
    values: dict[str, Any] = {
        "name": path.stem,
        "note": f"As {inherited.name}, but for {', '.join(own) or 'its name'}."
        if inherited
        else "",
        "asks_absent_classes": inherited is not None and inherited.asks_absent_classes,
    }
    values |= {key: _take(place, table, key, type(values[key])) for key in values if key in table}
    try:
        return AnnotationTimes(actions={**old, **own}, **values)
    except TimesError as error:
        raise TimesError(f"{path}: {error}") from error


def _find_file(name_or_path: str | Path, base: Path) -> Path:
    if isinstance(name_or_path, Path) or name_or_path.endswith(".toml"):
        return base / name_or_path
    presets = {path.stem: path for path in sorted(PRESETS_FOLDER.glob("*.toml"))}
    if name_or_path not in presets:
        raise TimesError(
            f"no preset of annotation times {name_or_path!r}: there is {', '.join(presets)}; "
            "a file of your own ends in .toml"
        )
    return presets[name_or_path]


def _read_action(
    place: str, table: Mapping[str, Any], inherited: ActionTime | None, file_name: str
) -> ActionTime:
    kinds = ActionTime.__annotations__
    _check_keys(place, table, () if inherited else kinds, kinds)
    values = {key: _take(place, table, key, kinds[key]) for key in table}
    if inherited is not None:
        if values.get("seconds", inherited.seconds) != inherited.seconds:
            was = f"{file_name}, in place of {inherited.seconds:g} s: {inherited.source}"
            values = {"source": was, "measured": False, **values}
        values = {**vars(inherited), **values}
    try:
        return ActionTime(**values)
    except TimesError as error:
        raise TimesError(f"{place}: {error}") from error


def _check_keys(
    place: str, table: Mapping[str, Any], required: Iterable[str], known: Iterable[str]
) -> None:
    missing = [key for key in required if key not in table]
    if missing:
        raise TimesError(f"{place}: {missing[0]!r} is missing: add it")
    unknown = [key for key in table if key not in known]
    if unknown:
        raise TimesError(f"{place}: unknown key {unknown[0]!r}: use {', '.join(known)}")


def _take(place: str, table: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return the value of a key; whole numbers pass as float, truth values never as numbers."""
    value = table[key]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        names = {float: "a number", str: "text", bool: "true or false", dict: "a table"}
        raise TimesError(f"{place}: {key} = {value!r}: give {names[kind]}")
    return value
