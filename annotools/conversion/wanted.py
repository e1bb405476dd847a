"""`Wanted` says what to convert to: which label kinds, in which form, for which images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from annotools.allocation.plan_file import Allocation
from annotools.errors import RecipeError
from annotools.formats.panoptic_folder import name_images
from annotools.records import LABEL_KINDS, Image
from annotools.weak_labels.annotators import Annotator

BOX_FORMATS = ("coco", "voc", "yolo")
"""COCO detection, one file; Pascal VOC XML or YOLO text, a file an image."""

PARTS_OF = {kind: (kind,) for kind in LABEL_KINDS} | {"boxes+tags": ("boxes", "tags")}
"""The parts of a conversion, each with files of its own, that a label kind consists of."""

CLASSES_FILE = "classes.txt"

_FILES_OF_BOXES = {
    "coco": ("boxes.json",),
    "voc": ("boxes/*.xml",),
    "yolo": (CLASSES_FILE, "boxes/*.txt"),
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The label kinds that a conversion writes, and their form.

    `kinds` are some of `LABEL_KINDS`, `box_format` one of `BOX_FORMATS`, `crop_size_wh` the pixels
    of the tagged crops (None for the whole image), `seed` that of points, scribbles and mistakes.
    `annotator` makes the mistakes, None for none. Where there is an `allocation`, an image gets
    the one of `kinds` that it has there, and other images are left out.

    Raises:
        RecipeError: for no kind, one given twice, an unknown kind or format of boxes, or crops
            that are not those of the allocation's prices.
    """

    kinds: tuple[str, ...]
    box_format: str = "coco"
    crop_size_wh: tuple[int, int] | None = None
    seed: int = 0
    annotator: Annotator | None = None
    allocation: Allocation | None = None

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in LABEL_KINDS:
                known = ", ".join(LABEL_KINDS)
                raise RecipeError(
                    f"unknown label kind {kind!r}: use {known}; of several repeat --to"
                )
        if len(set(self.kinds)) != len(self.kinds) or not self.kinds:
            raise RecipeError(f"label kinds {self.kinds}: give one or more, each once")
        if self.box_format not in BOX_FORMATS:
            raise RecipeError(
                f"unknown format of boxes {self.box_format!r}: use {', '.join(BOX_FORMATS)}"
            )
        if self.allocation is not None:
            self.allocation.check_crops(self.crop_size_wh)

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts to write, each once."""
        return tuple(dict.fromkeys(part for kind in self.kinds for part in PARTS_OF[kind]))

    def files_of(self, part: str) -> tuple[str, ...]:
        """Return the files of a part, relative to the folder; one with `*` is an image's own."""
        if part == "boxes":
            return _FILES_OF_BOXES[self.box_format]
        return ("panoptic.json", "panoptic/*.png") if part == "full" else (f"{part}.json",)

    @property
    def shared_files(self) -> tuple[str, ...]:
        """The files that are there once, whatever images there are."""
        files = (name for part in self.parts for name in self.files_of(part))
        return tuple(name for name in files if "*" not in name)

    def image_files(self, name: str) -> dict[str, str]:
        """Return the files of an image's own, by part; `name` is in place of the `*`."""
        return {
            part: pattern.replace("*", name)
            for part in self.parts
            for pattern in self.files_of(part)
            if "*" in pattern
        }

    def choose_images(self, images: Sequence[Image]) -> tuple[Image, ...]:
        """Return the images that get a label."""
        if self.allocation is None:
            return tuple(images)
        kind_of = self.allocation.kind_of
        return tuple(image for image in images if kind_of.get(image.image_id) in self.kinds)

    def for_images(self, images: Sequence[Image]) -> list["Wanted"]:
        """Return what is wanted of each image: the same, with the kinds that this image gets."""
        if self.allocation is None:
            return [self] * len(images)
        # A worker is sent what is wanted of its images, not the allocation of all images.
        alone = {kind: replace(self, kinds=(kind,), allocation=None) for kind in self.kinds}
        return [alone[self.allocation.kind_of[image.image_id]] for image in images]


@dataclass(frozen=True, kw_only=True)
class ImageTask:
    """An image to convert: what is wanted of it, and the files of its own by the part they hold."""

    image: Image
    wanted: Wanted
    files: Mapping[str, str]


def make_tasks(images: Sequence[Image], wanted: Wanted, out: Path) -> tuple[ImageTask, ...]:
    """Return what is to do for each image; its files have the name that `name_images` gives it.

    Args:
        images: those to convert.
        wanted: of all of them.
        out: the folder to write to.

    Raises:
        DatasetError: when two images would have the same file, or a name leaves the folder.
    """
    pairs = list(zip(images, wanted.for_images(images), strict=True))
    # A name that no file gets may be there twice.
    named = [image for image, own in pairs if own.image_files(image.file_name)]
    names = name_images(named, out)
    name_of = {image.image_id: name for image, name in zip(named, names, strict=True)}
    return tuple(
        ImageTask(image=image, wanted=own, files=own.image_files(name_of.get(image.image_id, "")))
        for image, own in pairs
    )
