"""A source names the images to read: a format, a root, a split; every command and link has one."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from annotools.formats import read_dataset
from annotools.recategorise import recategorise
from annotools.records import Dataset


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where to read from: the arguments of `read_dataset`.

    `categories` names the set that `recategorise` goes over to, None for the dataset's own;
    `max_images` leaves out all images after the first so many.
    """

    format_name: str
    root: Path
    split: str
    allow_missing: bool = False
    categories: str | None = None
    max_images: int | None = None

    @property
    def root_files(self) -> tuple[Path, ...]:
        """The root itself where it is a file, as of scenes."""
        return (self.root,) if self.root.is_file() else ()


@lru_cache(maxsize=1)
def open_source(source: Source) -> Dataset:
    """Return the dataset of a source, read once in every process.

    Raises:
        AnnotationError: for what the reader or `recategorise` finds wrong.
    """
    dataset = read_dataset(
        source.format_name, source.root, source.split, allow_missing=source.allow_missing
    )
    return dataset if source.categories is None else recategorise(dataset, source.categories)
