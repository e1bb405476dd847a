"""Read a dataset's JSON files, and say in one clear line what is wrong with them."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar

from annotools.errors import ALLOW_MISSING, DatasetError
from annotools.read_files import parse_json, read_long
from annotools.records import Drop

Value = TypeVar("Value", int, str)


def read_json(path: Path, others: str) -> Any:
    """Return the content of a JSON file.

    Args:
        path: of the file.
        others: pattern of files in its folder to name when it is missing.

    Raises:
        DatasetError: when it cannot be read or is not JSON.
    """
    try:
        return parse_json(read_long(path))
    except OSError as error:
        present = ", ".join(sorted(p.name for p in path.parent.glob(others))) or "none"
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror}): check the path; the folder has {present}"
        ) from error
    except DatasetError:
        raise
    except ValueError as error:
        raise DatasetError(
            f"{path}: not valid JSON ({error}): give another file, or download it again"
        ) from error


def entries(path: Path, content: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a list in a JSON file, each after its place for messages.

    Raises:
        DatasetError: when the list is missing or holds something else.
    """
    listed = content.get(key) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise DatasetError(f"{path}: {key} is missing or not a list: correct the file")
    start = f"{path}: {key}"
    for number, entry in enumerate(listed):
        place = f"{start}[{number}]"
        if not isinstance(entry, dict):
            raise DatasetError(f"{place}: is not an object: correct the file")
        yield place, entry


def take(place: str, entry: dict[str, Any], key: str, kind: type[Value]) -> Value:
    """Return a value of an object in a JSON file.

    Raises:
        DatasetError: when it is missing or of another type.
    """
    value = entry.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        name = "a whole number" if kind is int else "text"
        raise DatasetError(f"{place}: {key} is missing or not {name}: correct the file")
    return value


def refuse_gaps(gaps: Sequence[Drop], allow_missing: bool) -> None:
    """Raise for the first image that lacks a file, unless that is allowed.

    Raises:
        DatasetError: when there is a gap and `allow_missing` is false.
    """
    if gaps and not allow_missing:
        others = f" (and {len(gaps) - 1} more images lack a file)" if len(gaps) > 1 else ""
        raise DatasetError(
            f"{gaps[0].place}: {gaps[0].reason}{others}: download it again, or leave such images "
            f"out {ALLOW_MISSING}"
        )


def drop_impossible(place: str, error: DatasetError, *, allow_missing: bool) -> Drop:
    """Return an object with something impossible as a drop, or raise for it, unless allowed.

    Args:
        place: of the object.
        error: what is wrong, which may begin with the place.
        allow_missing: whether such objects are left out.

    Raises:
        DatasetError: unless allowed.
    """
    reason = str(error).removeprefix(f"{place}: ")
    if not allow_missing:
        raise DatasetError(
            f"{place}: {reason}, or leave such objects out {ALLOW_MISSING}"
        ) from error
    return Drop(place=place, reason=reason, is_refused=True)


def check_inside(place: str, file_name: str, folder: Path) -> None:
    """Make sure that a file name that a file gives stays in its folder.

    Raises:
        DatasetError: for an empty or absolute name, or one with `..`.
    """
    # As a Windows path it shows drives, backslashes and leading slashes alike.
    parts = PureWindowsPath(file_name)
    if parts.anchor or ".." in parts.parts or not parts.parts or "\0" in file_name:
        raise DatasetError(
            f"{place}: file_name {file_name!r} leaves the photo folder: "
            f"give it relative to {folder}"
        )
