"""`Wanted` says what to convert to: which label kinds, in which form, for which images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from annotools.allocation.plan_file import Allocation
from annotools.errors import RecipeError
from annotools.records import LABEL_KINDS, Image
from annotools.weak_labels.annotators import Annotator

BOX_FORMATS = ("coco", "voc", "yolo")
"""COCO detection, one file; Pascal VOC XML or YOLO text, a file an image."""

PARTS_OF = {kind: (kind,) for kind in LABEL_KINDS} | {"boxes+tags": ("boxes", "tags")}
"""The parts of a conversion, each with files of its own, that a label kind consists of."""

BOX_SUFFIXES = {"voc": ".xml", "yolo": ".txt"}


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
                raise RecipeError(f"unknown label kind {kind!r}: use {', '.join(LABEL_KINDS)}")
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

    def choose_images(self, images: Sequence[Image]) -> tuple[Image, ...]:
        """Return the images that get a label."""
        if self.allocation is None:
            return tuple(images)
        kind_of = self.allocation.kind_of
        return tuple(image for image in images if kind_of.get(image.image_id) in self.kinds)

    def for_image(self, image: Image) -> "Wanted":
        """Return the same with the kinds that this image gets."""
        if self.allocation is None:
            return self
        return replace(self, kinds=(self.allocation.kind_of[image.image_id],), allocation=None)
