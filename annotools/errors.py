"""Each error here says what is wrong with a user's input.

AnnotationError                 catch this one to catch all
├── DatasetError                a file of a dataset is missing, unreadable or contradicts another
├── TimesError                  a table of annotation times is incomplete or impossible
└── RecipeError                 a recipe or study has an unknown, missing or wrong setting

Messages name the file, the place in it and the remedy; the command prints them as one line.
"""


class AnnotationError(ValueError):
    """Root of all errors that the user's input can cause."""


class DatasetError(AnnotationError):
    """A file of a dataset is missing, unreadable or contradicts another."""


class TimesError(AnnotationError):
    """A table of annotation times is incomplete or impossible."""


class RecipeError(AnnotationError):
    """A recipe or study has an unknown, missing or wrong setting."""
