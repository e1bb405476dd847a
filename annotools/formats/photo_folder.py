"""Photos without labels: those of a folder, or those that a COCO-like list names."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from annotools.categories import Category, CategorySet
from annotools.errors import DatasetError
from annotools.formats.coco_entries import drop_without_photo, photo_remarks, read_images
from annotools.formats.forms import Forms, form_remarks, read_coco
from annotools.formats.photo_places import describe_folder, visible_files
from annotools.formats.photos import PHOTO_SUFFIXES, read_photo, read_photo_head
from annotools.formats.without_masks import no_label
from annotools.records import Dataset, Drop, Image

PHOTOS_ALONE = "photos"
"""The format that has no labels and no categories of its own: it is for those who predict them."""

_UNLABELLED = CategorySet(
    categories=(Category(category_id=0, name="unlabelled", is_thing=False, colour=(0, 0, 0)),),
    background_id=0,
)
"""Until somebody labels them, photos show a background alone."""


def read_photo_folder(
    root: Path, allow_missing: bool = False, photos: Path | None = None
) -> Dataset:
    """Return photos as a dataset without labels, in order.

    Args:
        root: a folder, of which all photos count, in subfolders too; an image's id is then its path
            below the folder without suffix. Or a JSON file with COCO's list `images`, which says
            which images there are and with which ids.
        allow_missing: leave out images of a list whose photo is missing, and list them as drops.
        photos: the folder that names in a list are relative to; None is the list's own.

    Raises:
        DatasetError: when there is no photo, two photos would have one id, a photo of the folder
            cannot be read, or the list contradicts itself or, unless allowed, lacks a photo.
    """
    if root.is_file():
        images, drops, remarks = _read_listed(root, allow_missing, photos)
    else:
        images, remarks = _read_folder(root)
        drops = ()
    return Dataset(
        name=PHOTOS_ALONE,
        split="given",
        categories=_UNLABELLED,
        images=images,
        read_label=no_label,
        read_photo=read_photo,
        drops=drops,
        source_files=(root,) if root.is_file() else (),
        remarks=remarks,
    )


def _read_folder(folder: Path) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """Return the photos below a folder, by name, and what a user should know of the other files."""
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder: give the folder of the photos")
    paths, others = [], Counter[str]()
    for path in visible_files(folder):
        if path.suffix.lower() in PHOTO_SUFFIXES:
            paths.append(path)
        else:
            others[path.suffix or path.name] += 1
    if not paths:
        raise DatasetError(
            f"{folder}: has no photo ({', '.join(PHOTO_SUFFIXES)}) but "
            f"{describe_folder(folder)}: give the folder of the photos"
        )
    images = tuple(_read_head(folder, path) for path in paths)
    _refuse_same_ids(folder, images)
    if not others:
        return images, ()
    kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in others.most_common(5))
    return images, (f"{folder}: files that are no photos are left out: {kinds}",)


def _read_head(folder: Path, path: Path) -> Image:
    name = path.relative_to(folder)
    width, height = read_photo_head(path).upright_wh
    return Image(
        image_id=name.with_suffix("").as_posix(),
        file_name=name.as_posix(),
        width=width,
        height=height,
        path=path,
        has_photo_size=True,
    )


def _refuse_same_ids(folder: Path, images: Sequence[Image]) -> None:
    first_of: dict[int | str, str] = {}
    for image in images:
        first = first_of.setdefault(image.image_id, image.file_name)
        if first != image.file_name:
            raise DatasetError(
                f"{folder}: {first} and {image.file_name} would both be image "
                f"{image.image_id!r}: move one away, or give a list of images with ids"
            )


def _read_listed(
    path: Path, allow_missing: bool, photos: Path | None
) -> tuple[tuple[Image, ...], tuple[Drop, ...], tuple[str, ...]]:
    forms: Forms = Counter()
    content = read_coco(path, forms)
    if not isinstance(content, dict) or not content.get("images"):
        raise DatasetError(f"{path}: has no list images: give a COCO file that has one")
    images, found = read_images(path, content, (path.parent,), forms, photos)
    if found.folder is None:
        raise DatasetError(f"{path}: {photo_remarks(found, path.parent)[0]}")
    kept, drops = drop_without_photo(images, found.folder, allow_missing=allow_missing)
    return kept, drops, form_remarks(path, forms)
