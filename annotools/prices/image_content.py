"""An image's content says how much there is to label in it: how many things, classes and tags.

It is counted once in the image's label, and the actions and the price of every label kind follow
from it. A dataset that nobody has at hand is described by its published means.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from annotools.categories import CategorySet
from annotools.errors import DatasetError, RecipeError
from annotools.label_maps import build_label
from annotools.progress import track
from annotools.records import Dataset, FullLabel, Image, WeakLabel
from annotools.settings import find_toml, read_settings, read_toml
from annotools.weak_labels.buy import read_source, take_kind
from annotools.weak_labels.weaken import asked_categories

STATISTICS_FOLDER = Path(__file__).with_name("statistics")

UNKNOWN = math.nan
"""A count that nobody has published: what follows from it is not a number either."""


@dataclass(frozen=True, kw_only=True)
class ImageContent:
    """Counts of all that can be labelled in an image, or their means; `UNKNOWN` if not counted.

    `things` are the things that have a segment or, where others cover them, a box alone; `groups`
    are how many of them are groups. `thing_tags` and `stuff_tags` count, over the `crops` of an
    image, the classes present in each. The background of a background-only set is no class here;
    `has_stuff` is false for such a set and for one of things alone. `vertices` are the corners of
    the polygons that an image was labelled with; their mean is over the images where they are
    counted, and `vertices_known` is the share of these images, in [0, 1].
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
    groups: float = UNKNOWN
    vertices: float = UNKNOWN
    vertices_known: float = 0.0

    @property
    def instances(self) -> float:
        """Things that are not groups."""
        return self.things - self.groups


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Published means per image that describe a dataset; None where they are not known."""

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
        # Where there is no stuff, that none is present is known without anybody publishing it.
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
    path = find_toml(name_or_path, STATISTICS_FOLDER, "statistics")
    return read_settings(Statistics, read_toml(path), where=str(path))


def measure_images(
    dataset: Dataset,
    images: Sequence[Image],
    crop_size_wh: tuple[int, int] | None,
    *,
    with_tags: bool = True,
    with_vertices: bool = False,
) -> dict[int | str, ImageContent]:
    """Read the label of each image once; return the content by image id.

    Args:
        dataset: with full labels, or with boxes and tags alone.
        images: those to look at.
        crop_size_wh: width and height in pixels of the tagged crops; None for the whole image.
        with_tags: whether to count crops and tags, which takes longest; else they are `UNKNOWN`.
        with_vertices: whether to count the corners of polygons, for which files besides the labels
            may have to be read; else they are `UNKNOWN`.

    Raises:
        DatasetError: when a label cannot be read.
    """
    tracked = track(images, "counting what to label", total=len(images))
    return {
        image.image_id: measure_image(
            dataset,
            image,
            read_source(dataset, image),
            crop_size_wh,
            with_tags=with_tags,
            with_vertices=with_vertices,
        )
        for image in tracked
    }


def measure_image(
    dataset: Dataset,
    image: Image,
    source: FullLabel | WeakLabel,
    crop_size_wh: tuple[int, int] | None,
    *,
    with_tags: bool = True,
    with_vertices: bool = True,
) -> ImageContent:
    """Lay out the tagged crops of an image and count its content as `measure_source` does.

    Args:
        dataset: that of the image.
        image: the image.
        source: its label, as `read_source` gives it.
        crop_size_wh: width and height in pixels of the tagged crops; None for the whole image.
        with_tags: as `measure_images` has it.
        with_vertices: as `measure_images` has it.

    Raises:
        DatasetError: when the polygons cannot be read.
    """
    tags = vertices = None
    if with_tags:
        tags = take_kind(source, dataset.categories, "tags", crop_size_wh, image.size_wh)
    if with_vertices and dataset.count_vertices is not None:
        vertices = dataset.count_vertices(image)
    return measure_source(source, dataset.categories, tags, vertices)


def measure_source(
    source: FullLabel | WeakLabel,
    categories: CategorySet,
    tags: WeakLabel | None,
    vertices: int | None = None,
) -> ImageContent:
    """Count the content of an image in its full label, or in its boxes and tags.

    Boxes say which things there are, and which of them are in a crop. What nobody looked at is
    `UNKNOWN`: without masks stuff that has no tags, and corners of polygons.

    Args:
        source: what there is, as `read_source` gives it.
        categories: the dataset's.
        tags: the tags of the image's crops; None where nobody wants to know.
        vertices: corners of the image's polygons; None where they are not known.
    """
    stuff_ids = set(asked_categories(categories, stuff_only=True))
    thing_ids = set(asked_categories(categories, stuff_only=False)) - stuff_ids
    crops = () if tags is None else tags.crops
    tagged = () if tags is None else tags.tagged_category_ids
    has_masks = isinstance(source, FullLabel)
    has_things = isinstance(source, FullLabel) or source.has_boxes
    objects = source.objects.values()
    # Absence of a category is known only where somebody was asked or would have seen it.
    known = {*tagged, *(thing_ids if has_things else ()), *(stuff_ids if has_masks else ())}
    things = [o for o in objects if o.category_id in thing_ids] if has_things else None
    tag_ids = [category_id for crop in crops for category_id in crop.category_ids]
    present = {o.category_id for o in objects}.union(tag_ids)
    return ImageContent(
        has_stuff=bool(stuff_ids),
        num_thing_classes=len(thing_ids),
        num_stuff_classes=len(stuff_ids),
        things=UNKNOWN if things is None else len(things),
        groups=UNKNOWN if things is None else sum(thing.is_group for thing in things),
        thing_classes_present=_count_of(thing_ids, present, known),
        stuff_classes_present=_count_of(stuff_ids, present, known),
        crops=UNKNOWN if tags is None else len(crops),
        thing_tags=_count_of(thing_ids, tag_ids, tagged),
        stuff_tags=_count_of(stuff_ids, tag_ids, tagged),
        **_vertices(vertices),
    )


def empty_content(categories: CategorySet) -> ImageContent:
    """Return the content of an image without anything, which tells what actions a dataset needs."""
    empty = build_label(0, np.zeros((1, 1), dtype=np.int32), {})
    return measure_source(empty, categories, tags=None)


def mean_content(contents: Iterable[ImageContent]) -> ImageContent:
    """Return the mean over images of one dataset.

    Raises:
        DatasetError: when there is no image.
    """
    rows = list(contents)
    if not rows:
        raise DatasetError("no image to price: check the split")
    names = {field.name for field in fields(ImageContent)} - {"has_stuff", "vertices"}
    means: dict[str, Any] = {name: _mean([getattr(row, name) for row in rows]) for name in names}
    # Polygons may be missing in some images; every other count is known in all images or in none.
    known = [row.vertices for row in rows if row.vertices_known]
    vertices = _mean(known) if known else UNKNOWN
    return ImageContent(has_stuff=rows[0].has_stuff, vertices=vertices, **means)


def _mean(counts: Sequence[float]) -> float:
    mean = math.fsum(counts) / len(counts)
    return UNKNOWN if math.isnan(mean) else mean


def _vertices(count: float | None) -> dict[str, float]:
    return {} if count is None else {"vertices": count, "vertices_known": 1.0}


def _count_of(category_ids: set[int], found: Collection[int], known: Collection[int]) -> float:
    """Return how many of those found are of some categories, if all these are known."""
    return sum(i in category_ids for i in found) if category_ids.issubset(known) else UNKNOWN
