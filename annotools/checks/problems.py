"""A problem records what is wrong with a dataset, and where."""

from dataclasses import dataclass
from typing import Literal

from annotools.errors import AnnotationError


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong with a dataset: the file or the place in it, what it is, and a remedy.

    An `error` makes an image or a split unusable, or a score misleading; a `warning` is something
    that the readers resolve by a rule of theirs.
    """

    severity: Literal["error", "warning"]
    place: str
    message: str


def error_at(place: object, message: str) -> Problem:
    """Return an error at a place."""
    return Problem(severity="error", place=str(place), message=message)


def warning_at(place: object, message: str) -> Problem:
    """Return a warning at a place."""
    return Problem(severity="warning", place=str(place), message=message)


def problem_of(error: AnnotationError | OSError, place: object) -> Problem:
    """Return a reader's exception as an error at a place, which its text need not repeat."""
    return error_at(place, str(error).removeprefix(f"{place}: "))
