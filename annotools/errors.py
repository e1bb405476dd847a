"""Each error here says what is wrong with a user's input.

AnnotationError                 catch this one to catch all
├── DatasetError                a file of a dataset is missing, unreadable or contradicts another
├── TimesError                  a table of annotation times is incomplete or impossible
├── RecipeError                 a recipe or study has an unknown, missing or wrong setting
└── StoppedError                the user stopped the work; it goes on when it is repeated

Messages name the file, the place in it and the remedy; the command prints them as one line.
"""

from collections.abc import Iterator
from contextlib import contextmanager


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


@contextmanager
def name_place(place: str) -> Iterator[None]:
    """Put a place in front of the message of an error that the block raises without one."""
    try:
        yield
    except AnnotationError as error:
        raise type(error)(f"{place}: {error}") from error
