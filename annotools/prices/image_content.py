"""How much there is to label in an image: counted in a label, or the means of a whole dataset."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from annotools.categories import CategorySet
from annotools.errors import DatasetError, RecipeError
from annotools.records import Dataset, FullLabel, Image
from annotools.settings import read_settings, read_toml
from annotools.weak_labels.weaken import weaken

STATISTICS_FOLDER = Path(__file__).with_name("statistics")

UNKNOWN = math.nan
"""A count that nobody has published: what follows from it is not a number either."""


@dataclass(frozen=True, kw_only=True)
class ImageContent:
    """What there is to label in an image, or the mean over images; `UNKNOWN` where not counted.

    `things` are thing segments, groups included. `thing_tags` and `stuff_tags` count, over the
    `crops` of an image, the classes present in each. The background of a background-only set is
    no class here; `has_stuff` is false for such a set. `vertices` are the corners of the polygons
    that an image was labelled with; their mean is over the images where they are counted, and
    `vertices_known` is the share of these, in [0, 1].
    """

    has_stuff: bool
    num_thing_classes: float
    num_stuff_classes: float
    things: float
    thing_classes_present: float
    stuff_classes_present: float
    crops: float
    thing_tags: float
    stuff_tags: float
    vertices: float = UNKNOWN
    vertices_known: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """A dataset described by its published means per image; None where these are not known."""

    name: str
    source: str
    num_images: int
    num_thing_classes: int
    num_stuff_classes: int
    """0 where all that is no thing is background."""
    crops: int
    """Crops of an image whose tags are asked for; 1 where it is the whole image."""
    things_per_image: float
    thing_classes_present: float | None = None
    """Per image."""
    stuff_classes_present: float | None = None
    """Per image."""
    thing_tags_per_crop: float | None = None
    stuff_tags_per_crop: float | None = None
    vertices_per_image: float | None = None
    """Corners of the polygons that an image is labelled with."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise RecipeError(f"{field.name} = {value}: give zero or more")
        for key in ("num_images", "crops"):
            if getattr(self, key) < 1:
                raise RecipeError(f"{key} = {getattr(self, key)}: give one or more")
        if self.num_thing_classes + self.num_stuff_classes < 1:
            raise RecipeError("num_thing_classes and num_stuff_classes are 0: give one or more")
        for key, classes in (
            ("thing_classes_present", self.num_thing_classes),
            ("thing_tags_per_crop", self.num_thing_classes),
            ("stuff_classes_present", self.num_stuff_classes),
            ("stuff_tags_per_crop", self.num_stuff_classes),
        ):
            value = getattr(self, key)
            if value is not None and value > classes:
                raise RecipeError(f"{key} = {value}: there are only {classes} such classes")

    @property
    def content(self) -> ImageContent:
        """The means per image."""
        none = 0.0 if self.num_stuff_classes == 0 else UNKNOWN
        stuff_tags = none if self.stuff_tags_per_crop is None else self.stuff_tags_per_crop
        stuff = none if self.stuff_classes_present is None else self.stuff_classes_present
        things = UNKNOWN if self.thing_classes_present is None else self.thing_classes_present
        thing_tags = UNKNOWN if self.thing_tags_per_crop is None else self.thing_tags_per_crop
        return ImageContent(
            has_stuff=self.num_stuff_classes > 0,
            num_thing_classes=self.num_thing_classes,
            num_stuff_classes=self.num_stuff_classes,
            things=self.things_per_image,
            thing_classes_present=things,
            stuff_classes_present=stuff,
            crops=self.crops,
            thing_tags=self.crops * thing_tags,
            stuff_tags=self.crops * stuff_tags,
            **_vertices(self.vertices_per_image),
        )


def read_statistics(name_or_path: str | Path) -> Statistics:
    """Read the statistics of a dataset: a shipped one by its name, or the user's own file.

    Args:
        name_or_path: a `Path` or text that ends in `.toml` is a file; other text is a name.

    Raises:
        RecipeError: for an unknown name, or a file that is missing, not TOML, or has an unknown
            or missing key or an impossible value.
    """
    path = Path(name_or_path)
    if not isinstance(name_or_path, Path) and not name_or_path.endswith(".toml"):
        shipped = {path.stem: path for path in sorted(STATISTICS_FOLDER.glob("*.toml"))}
        if name_or_path not in shipped:
            raise RecipeError(
                f"no statistics {name_or_path!r}: there is {', '.join(shipped)}; "
                "a file of your own ends in .toml"
            )
        path = shipped[name_or_path]
    return read_settings(Statistics, read_toml(path), where=str(path))


def measure_content(
    label: FullLabel,
    categories: CategorySet,
    crop_size_wh: tuple[int, int] | None,
    *,
    with_tags: bool = True,
    vertices: int | None = None,
) -> ImageContent:
    """Return what there is to label in an image.

    Args:
        label: its full label.
        categories: the dataset's.
        crop_size_wh: width and height in pixels of the tagged crops; None for the whole image.
        with_tags: whether to count crops and tags, which takes longest; else they are `UNKNOWN`.
        vertices: corners of the image's polygons, as `count_vertices` gives them.
    """
    classes = [c for c in categories.categories if c.category_id != categories.background_id]
    thing_ids = {c.category_id for c in classes if c.is_thing}
    stuff_ids = {c.category_id for c in classes if not c.is_thing}
    present = {segment.category_id for segment in label.segments}
    crops = weaken(label, categories, "tags", crop_size_wh).crops if with_tags else ()
    tags = [category_id for crop in crops for category_id in crop.category_ids]
    return ImageContent(
        has_stuff=categories.background_id is None,
        num_thing_classes=len(thing_ids),
        num_stuff_classes=len(stuff_ids),
        things=sum(segment.category_id in thing_ids for segment in label.segments),
        thing_classes_present=len(present & thing_ids),
        stuff_classes_present=len(present & stuff_ids),
        crops=len(crops) if with_tags else UNKNOWN,
        thing_tags=sum(tag in thing_ids for tag in tags) if with_tags else UNKNOWN,
        stuff_tags=sum(tag in stuff_ids for tag in tags) if with_tags else UNKNOWN,
        **_vertices(vertices),
    )


def count_vertices(dataset: Dataset, image: Image) -> int | None:
    """Return the corners of an image's polygons; None where they are not known.

    Raises:
        DatasetError: when the polygons cannot be read.
    """
    return None if dataset.count_vertices is None else dataset.count_vertices(image)


def mean_content(contents: Iterable[ImageContent]) -> ImageContent:
    """Return the mean over images of one dataset.

    Raises:
        DatasetError: when there is no image.
    """
    rows = list(contents)
    if not rows:
        raise DatasetError("no image to price: check the split")
    names = {field.name for field in fields(ImageContent)} - {"has_stuff", "vertices"}
    means: dict[str, Any] = {
        name: math.fsum(getattr(row, name) for row in rows) / len(rows) for name in names
    }
    known = [row.vertices for row in rows if row.vertices_known]
    vertices = math.fsum(known) / len(known) if known else UNKNOWN
    return ImageContent(has_stuff=rows[0].has_stuff, vertices=vertices, **means)


def _vertices(count: float | None) -> dict[str, float]:
    return {} if count is None else {"vertices": count, "vertices_known": 1.0}
