"""Each error here says what is wrong with a user's input.

AnnotationError                 catch this one to catch all
├── DatasetError                a file of a dataset is missing, unreadable or contradicts another
├── TimesError                  a table of annotation times is incomplete or impossible
├── RecipeError                 a recipe or study has an unknown, missing or wrong setting
├── StoppedError                the user stopped the work; it goes on when it is repeated
├── WorkerError                 a worker process was killed
└── UnfinishedError             the work came to its end without some of its parts

Messages name the file, the place in it and the remedy; the command prints them as one line.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

ALLOW_MISSING = "(--allow-missing, in a study dataset.allow_missing)"
"""The remedy of whoever goes on without what is missing or impossible."""


class AnnotationError(ValueError):
    """Root of all errors that the user's input can cause."""


class DatasetError(AnnotationError):
    """A file of a dataset is missing, unreadable or contradicts another."""


class TimesError(AnnotationError):
    """A table of annotation times is incomplete or impossible."""


class RecipeError(AnnotationError):
    """A recipe or study has an unknown, missing or wrong setting."""


class StoppedError(AnnotationError):
    """The user stopped the work; it goes on when it is repeated."""


class WorkerError(AnnotationError):
    """A worker process was killed, most often for lack of memory."""


class UnfinishedError(AnnotationError):
    """The work came to its end without some of its parts, which it names."""


def as_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    message = str(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        message = f"{place}{error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message += ": free some of it and repeat the command"
    return " ".join(message.split())


@contextmanager
def name_place(place: str) -> Iterator[None]:
    """Put a place in front of the message of an error that the block raises without one."""
    try:
        yield
    except AnnotationError as error:
        raise type(error)(f"{place}: {error}") from error
