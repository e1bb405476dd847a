"""Read the tables of a TOML file into nested frozen dataclasses, strictly.

A setting that is unknown, missing or of the wrong type is an error that names its dotted path.
Defaults live in the dataclasses and nowhere else.
"""

import dataclasses
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

from annotools.errors import AnnotationError, DatasetError, RecipeError, name_place
from annotools.read_files import (
    BEYOND,
    MAX_LEVELS,
    MAX_OWN_BYTES,
    TOO_DEEP,
    WHOLE_BITS,
    read_short,
    refuse_senseless,
    shown,
)

T = TypeVar("T")


def read_settings(settings_type: type[T], table: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from a table.

    Fields may be bool, int, float, str, Path, tuples and string-keyed mappings of these, nested
    dataclasses, and any of these or None. An integer is accepted where a float is asked. What the
    table of a nested dataclass leaves out is that of the field's default, if it has one.

    Args:
        settings_type: the dataclass.
        table: as `tomllib` gives it.
        where: names the table in messages, for example the file's path.

    Raises:
        RecipeError: for an unknown, missing or mistyped setting.
        AnnotationError: for values that the dataclass itself refuses.
    """
    with name_place(where):
        return _read_table(settings_type, table, path="")


def read_toml(path: Path, error_type: type[AnnotationError] = RecipeError) -> dict[str, Any]:
    """Return the table of a TOML file.

    Args:
        path: of the file.
        error_type: what to raise.

    Raises:
        AnnotationError: of `error_type`, when the file cannot be read or is not TOML.
    """
    try:
        data = read_short(path, MAX_OWN_BYTES)
    except DatasetError as error:
        raise error_type(str(error)) from error
    try:
        return _parse_toml(data.decode("utf-8"))
    except ValueError as error:
        raise error_type(f"{path}: not valid TOML ({error}): correct it") from error


def is_own_file(name_or_path: str | Path) -> bool:
    """Tell whether this is a user's own TOML file, and not the name of a shipped one."""
    return isinstance(name_or_path, Path) or name_or_path.endswith(".toml")


def find_toml(
    name_or_path: str | Path,
    shipped_in: Path,
    what: str,
    error_type: type[AnnotationError] = RecipeError,
) -> Path:
    """Return the path of a TOML file that is shipped, by its name, or of the user's own.

    Args:
        name_or_path: a `Path` or text that ends in `.toml` is a file; other text is a name.
        shipped_in: the folder of the files that have a name.
        what: they hold, for messages.
        error_type: what to raise.

    Raises:
        AnnotationError: of `error_type`, for an unknown name.
    """
    if is_own_file(name_or_path):
        return Path(name_or_path)
    shipped = {path.stem: path for path in sorted(shipped_in.glob("*.toml"))}
    if name_or_path not in shipped:
        raise error_type(
            f"no {what} {name_or_path!r}: there is {', '.join(shipped)}; a file of your own ends "
            "in .toml"
        )
    return shipped[name_or_path]


def read_lineage(
    table: Mapping[str, Any],
    path: Path,
    find: Callable[[str], Path],
    read: Callable[[Path], Mapping[str, Any]],
    error_type: type[AnnotationError] = RecipeError,
) -> list[tuple[Path, dict[str, Any]]]:
    """Return a table and those that it inherits from, each after its file, the oldest first.

    A table inherits with the key `inherit`, which those returned lack.

    Args:
        table: of a file.
        path: of the file.
        find: returns the path of what `inherit` names; a relative one starts at the file's folder.
        read: returns the table of a file.
        error_type: what to raise.

    Raises:
        AnnotationError: of `error_type`, for a table that inherits from itself, or from what is no
            text; and what `find` and `read` raise.
    """
    lineage = [(path, without(table, "inherit"))]
    seen = {path.resolve()}
    while "inherit" in table:
        parent = table["inherit"]
        if not isinstance(parent, str):
            raise error_type(f"{path}: inherit = {parent!r}: give text")
        # The path of a shipped file is absolute, whatever it is joined to.
        path = path.parent / find(parent)
        if path.resolve() in seen:
            raise error_type(f"{path}: inherit leads back to this file: break the circle")
        seen.add(path.resolve())
        table = read(path)
        lineage.append((path, without(table, "inherit")))
    return lineage[::-1]


def without(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a table without a key."""
    return {name: value for name, value in table.items() if name != key}


def set_by_path(table: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    """Return the table with one setting replaced, from text such as `training.steps=100`.

    The right-hand side is a TOML value; what does not parse as one is taken as a string.

    Raises:
        RecipeError: when the text has no `=`, or the path leads through something not a table.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise RecipeError(f"--set {assignment!r}: write it as name=value")
    *parents, last = path.strip().split(".")
    if len(parents) > MAX_LEVELS:
        raise RecipeError(f"--set {path[:40]}...: {TOO_DEEP}")
    result = dict(table)
    inner = result
    for parent in parents:
        child = inner.get(parent, {})
        if not isinstance(child, Mapping):
            raise RecipeError(f"--set {assignment!r}: {parent} is not a table")
        # Python assigns from left to right: the copy goes into its parent and then becomes `inner`.
        inner[parent] = inner = dict(child)
    try:
        inner[last] = _parse_value(text.strip())
    except ValueError as error:
        raise RecipeError(f"--set {path}: {error}") from error
    return result


def as_table(settings: Any) -> Any:
    """Return plain dictionaries, lists and scalars: what JSON can hold of a dataclass."""
    if dataclasses.is_dataclass(settings):
        return {f.name: as_table(getattr(settings, f.name)) for f in dataclasses.fields(settings)}
    if isinstance(settings, Mapping):
        return {str(key): as_table(value) for key, value in settings.items()}
    if isinstance(settings, tuple | list):
        return [as_table(value) for value in settings]
    return str(settings) if isinstance(settings, Path) else settings


def without_nulls(value: Any) -> Any:
    """Return a table without its null entries: TOML has none, an absent setting means the same."""
    if isinstance(value, Mapping):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return value


def _read_table(settings_type: type[T], table: Mapping[str, Any], path: str) -> T:
    """Build a dataclass from the table that lies at a dotted path, which is empty at the root."""
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, settings_type)) if f.init}
    hints = typing.get_type_hints(settings_type)
    for key in table:
        if key not in fields:
            known = ", ".join(fields)
            raise RecipeError(f"unknown setting {_join(path, key)}; known are {known}")
    for name, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise RecipeError(f"setting {_join(path, name)} is missing")
    whole = {k: _complete(v, fields[k].default) for k, v in table.items()}
    values = {k: _convert(hints[k], v, _join(path, k)) for k, v in whole.items()}
    with name_place(path) if path else nullcontext():
        return settings_type(**values)


def _complete(value: Any, default: Any) -> Any:
    """Return a nested table with what it leaves out taken from the field's own default."""
    if dataclasses.is_dataclass(default) and isinstance(value, Mapping):
        return {**as_table(default), **value}
    return value


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _parse_value(text: str) -> Any:
    try:
        return _parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _parse_toml(text: str) -> dict[str, Any]:
    """Return the table that TOML has.

    Raises:
        ValueError: with a reason in few words, for what is no TOML, is nested too deep, or has a
            whole number that TOML does not allow.
    """
    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    except tomllib.TOMLDecodeError:
        raise
    # Python does not turn thousands of digits into a number.
    except ValueError as error:
        raise ValueError(BEYOND) from error
    refuse_senseless(table)
    return table


def _convert(hint: Any, value: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        # A union here is one type or None, so the first that is not None is the type.
        return _convert(next(a for a in arguments if a is not type(None)), value, path)
    if origin is tuple:
        return _convert_tuple(arguments, value, path)
    is_mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    if not is_mapping and not dataclasses.is_dataclass(hint):
        return _convert_scalar(hint, value, path)
    if not isinstance(value, Mapping):
        raise RecipeError(f"{path}: expected a table, found {shown(value)}")
    if is_mapping:
        return {k: _convert(arguments[1], v, _join(path, k)) for k, v in value.items()}
    return _read_table(typing.cast(type, hint), value, path)


def _convert_tuple(arguments: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise RecipeError(f"{path}: expected a list, found {shown(value)}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(value) != len(arguments):
        raise RecipeError(f"{path}: expected {len(arguments)} values, found {len(value)}")
    return tuple(
        _convert(a, v, f"{path}[{i}]")
        for i, (a, v) in enumerate(zip(arguments, value, strict=True))
    )


def _convert_scalar(hint: Any, value: Any, path: str) -> Any:
    if hint is Path and isinstance(value, str):
        return Path(value)
    # `isinstance` would take true for a whole number, because bool is a subclass of int.
    if type(value) is int and value.bit_length() > WHOLE_BITS:
        raise RecipeError(f"{path}: {BEYOND}")
    if hint is float and type(value) is int:
        return float(value)
    # Less than zero it is not, and yet NumPy refuses a deviation of -0.0.
    if hint is float and value == 0 and type(value) is float:
        return 0.0
    if type(value) is hint and not _is_unwritable(value):
        return value
    raise RecipeError(f"{path}: expected {hint.__name__}, found {shown(value)}")


def _is_unwritable(value: Any) -> bool:
    """Tell whether a value is a text with half a character, which no file or terminal takes."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
