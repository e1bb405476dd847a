"""What one action of an annotator takes, with source and spread, read from TOML."""

import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotools.errors import TimesError

ACTIONS = ("box", "tag", "mask", "full_image")
"""What an annotator can be paid for: a box of an instance, a tag of a class present in a crop,
a mask of an instance, the full label of an image."""

PRESETS_FOLDER = Path(__file__).with_name("times_presets")


@dataclass(frozen=True, kw_only=True)
class ActionTime:
    """How long one action takes.

    `seconds` is the value to calculate with, `low` and `high` a plausible range around it, `unit`
    what one action is done on, `source` where the value was published. `measured` is false where
    the source derives it; `quality_control` is true where it includes checking and correcting.

    Raises:
        TimesError: for a time that is negative or not finite, or outside its own range.
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
        if self.low > self.seconds:
            raise TimesError(f"low = {self.low} is above seconds = {self.seconds}: lower it")
        if self.high < self.seconds:
            raise TimesError(f"high = {self.high} is below seconds = {self.seconds}: raise it")


@dataclass(frozen=True, kw_only=True)
class AnnotationTimes:
    """A table of times: `actions` by name, some of `ACTIONS`; `note` is what a reader must know."""

    name: str
    note: str
    actions: Mapping[str, ActionTime]


def read_times(name_or_path: str | Path) -> AnnotationTimes:
    """Read a preset by its name, or the user's own file.

    Args:
        name_or_path: a `Path` or text that ends in `.toml` is a file; other text is a preset.

    Raises:
        TimesError: for an unknown preset, or a file that is missing, not TOML, or has an unknown
            or missing key or an impossible value.
    """
    path = _find_file(name_or_path)
    table = _load(path)
    _check_keys(str(path), table, required=("name", "note", "actions"))
    actions = _take(str(path), table, "actions", dict)
    unknown = [name for name in actions if name not in ACTIONS]
    if unknown:
        raise TimesError(
            f"{path}: unknown action {unknown[0]!r} in actions: use {', '.join(ACTIONS)}"
        )
    return AnnotationTimes(
        name=_take(str(path), table, "name", str),
        note=_take(str(path), table, "note", str),
        actions={
            name: _read_action(
                f"{path}: actions.{name}", _take(f"{path}: actions", actions, name, dict)
            )
            for name in actions
        },
    )


def _find_file(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, Path) or name_or_path.endswith(".toml"):
        return Path(name_or_path)
    presets = {path.stem: path for path in sorted(PRESETS_FOLDER.glob("*.toml"))}
    if name_or_path not in presets:
        raise TimesError(
            f"no preset of annotation times {name_or_path!r}: there is {', '.join(presets)}; "
            "a file of your own ends in .toml"
        )
    return presets[name_or_path]


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise TimesError(f"{path}: cannot be read ({error.strerror}): check the path") from error
    except ValueError as error:
        raise TimesError(f"{path}: not TOML: {error}") from error


def _read_action(place: str, table: Mapping[str, Any]) -> ActionTime:
    kinds = ActionTime.__annotations__
    _check_keys(place, table, required=kinds)
    values = {key: _take(place, table, key, kind) for key, kind in kinds.items()}
    try:
        return ActionTime(**values)
    except TimesError as error:
        raise TimesError(f"{place}: {error}") from error


def _check_keys(place: str, table: Mapping[str, Any], required: Iterable[str]) -> None:
    missing = [key for key in required if key not in table]
    if missing:
        raise TimesError(f"{place}: {missing[0]!r} is missing: add it")
    unknown = [key for key in table if key not in required]
    if unknown:
        raise TimesError(f"{place}: unknown key {unknown[0]!r}: use {', '.join(required)}")


def _take(place: str, table: Mapping[str, Any], key: str, kind: type) -> Any:
    """Return the value of a key; whole numbers pass as float, truth values never as numbers."""
    value = table[key]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        names = {float: "a number", str: "text", bool: "true or false", dict: "a table"}
        raise TimesError(f"{place}: {key} = {value!r}: give {names[kind]}")
    return value
