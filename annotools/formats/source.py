"""A source names the images to read: a format, a root, a split; every command and link has one."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from annotools.errors import DatasetError
from annotools.files import stamp
from annotools.formats import read_dataset
from annotools.formats.given_labels import read_weak
from annotools.formats.photo_folder import PHOTOS_ALONE, read_photo_folder
from annotools.formats.split_parts import split_name, take_part
from annotools.recategorise import recategorise
from annotools.records import Dataset, Image


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where to read from: the arguments of `read_dataset`, files of weak labels, or photos alone.

    `split` may be a part of one, as `take_part` has it. `categories` is what `recategorise` goes
    over to, None for all of the dataset's own; `max_images` leaves out all images after the first
    so many. Where `boxes` or `tags` name a file, its images and their weak labels are read, and
    `root` is the folder of the photos. `photos` is the folder of the photos where it is not where
    the format has it. Of the format `PHOTOS_ALONE`, which has no splits and no labels, `root` is a
    folder of photos or a list of images.
    """

    format_name: str
    root: Path
    split: str
    allow_missing: bool = False
    categories: str | None = None
    max_images: int | None = None
    boxes: Path | None = None
    tags: Path | None = None
    photos: Path | None = None

    @property
    def root_files(self) -> tuple[Path, ...]:
        """The root itself where it is a file, as of scenes."""
        return (self.root,) if self.root.is_file() else ()


@lru_cache(maxsize=4)
def open_source(source: Source) -> Dataset:
    """Return the dataset of a source, read once in every process.

    Raises:
        AnnotationError: for what the reader or `recategorise` finds wrong.
    """
    if source.root.exists() and not (source.root.is_dir() or source.root.is_file()):
        raise DatasetError(f"{source.root}: is neither a folder nor a regular file: give one")
    if source.boxes is not None or source.tags is not None:
        return read_weak(source.root, source.boxes, source.tags, source.allow_missing)
    if source.format_name == PHOTOS_ALONE:
        return read_photo_folder(source.root, source.allow_missing, source.photos)
    name = split_name(source.split)
    dataset = read_dataset(
        source.format_name, source.root, name, source.allow_missing, source.photos
    )
    dataset = take_part(dataset, source.split)
    return dataset if source.categories is None else recategorise(dataset, source.categories)


def photo_stamp(root: Path, image: Image) -> str:
    """Return a text that changes when the file does from which a photo is read or drawn."""
    path = root if image.path is None else image.path
    # Reading reports what is missing.
    return f"{image.file_name}\t{stamp(path)}" if path.is_file() else image.file_name


def same_image(dataset: Dataset, image: Image) -> Image:
    """Return a dataset's own record of an image of another dataset.

    Raises:
        DatasetError: when it has no image of this id, or one of another name or size.
    """
    place = dataset.source_files[0] if dataset.source_files else dataset.name
    other = dataset.image_of.get(image.image_id)
    if other is None:
        raise DatasetError(f"{place}: has no label of image {image.image_id}: give one that has")
    names = [PurePosixPath(one.file_name).stem for one in (other, image)]
    sizes = [(one.width, one.height) for one in (other, image)]
    if names[0] != names[1] or sizes[0] != sizes[1]:
        raise DatasetError(
            f"{place}: its image {image.image_id} is {other.file_name}, not {image.file_name} of "
            f"{image.width} x {image.height} pixels: give the same split of the same dataset"
        )
    return other
