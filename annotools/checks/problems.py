"""A problem records what is wrong with a dataset, and where."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from annotools.errors import AnnotationError

_VARYING = re.compile(
    r"""(?<!\w)(?P<quote>['"]).*?(?P=quote)(?!\w)  # quoted text; an apostrophe opens none
    | \S*[/\\]\S*(?<![:;,.])                    # paths
    | [^\s'"]+\.[A-Za-z]\w{1,4}\b                # file names
    | -?\d+(?:\.\d+)?(?:e[-+]?\d+)?              # numbers
    """,
    re.VERBOSE,
)
"""What may differ between the messages of like problems."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong with a dataset: the file or the place in it, what it is, and a remedy.

    An `error` stops the readers or makes results wrong; a `warning` is something that they resolve
    by a rule of theirs, measure anew or do not use, or something that is only likely to be wrong.
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


def group_alike(problems: Sequence[Problem]) -> list[list[Problem]]:
    """Return the problems in groups of the same kind: errors first, then as they come.

    Problems are alike whose severity is the same, and whose messages are but for numbers, quoted
    text and paths.
    """
    of_kind: defaultdict[tuple[str, str], list[Problem]] = defaultdict(list)
    for problem in problems:
        of_kind[problem.severity, _VARYING.sub("#", problem.message)].append(problem)
    return sorted(of_kind.values(), key=lambda alike: alike[0].severity != "error")
