"""A user is told what was taken of the files that are scored, in one line for each kind of form."""

from pathlib import Path

from annotools.formats.forms import Forms, form_remarks


def file_remarks(path: Path, forms: Forms) -> tuple[str, ...]:
    """Return `form_remarks` with the whole path, as truth and prediction often share a name."""
    return tuple(f"{path}{text.removeprefix(path.name)}" for text in form_remarks(path, forms))
