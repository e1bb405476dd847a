"""A summary says what a dataset holds. It is counted in one pass over the labels."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from annotools.categories import Category, CategorySet
from annotools.prices.image_content import ImageContent, measure_image
from annotools.progress import track
from annotools.records import Dataset, FullLabel, Image
from annotools.weak_labels.buy import read_source


@dataclass(frozen=True, kw_only=True)
class SizeCount:
    """The number of images that have one width and height, in pixels."""

    width: int
    height: int
    images: int


@dataclass(frozen=True, kw_only=True)
class CategorySummary:
    """The images, segments and pixels that a dataset has of one category.

    `images` have at least one pixel of it; `segments` include its `groups`. `pixel_share` is its
    part of all pixels, void included, in [0, 1], None without images. `median_area` is in pixels,
    over segments, None without segments. Where there are boxes and no masks, `segments` are boxes
    and nothing is known of areas; of stuff nothing at all is known, and all five are None.
    """

    category_id: int
    name: str
    is_thing: bool
    images: int | None
    segments: int | None
    groups: int | None
    pixel_share: float | None
    median_area: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The content of a dataset; None where it is not known, or there is nothing to average.

    `sizes` are the distinct image sizes, most frequent first. `instances` are thing segments that
    are not groups. `dropped_objects` are objects of the source without a segment. Tags are
    positives: categories present in a crop, background left out; `crops` counts the crops of all
    images, of `crop_size_wh` pixels or, where that is None, of the whole image. `void_share` is in
    [0, 1]. `mean_vertices` are the corners of polygons per image, over the `images_with_vertices`.
    """

    images: int
    sizes: tuple[SizeCount, ...]
    instances: int | None
    mean_instances: float | None
    median_instances: float | None
    max_instances: int | None
    groups: int | None
    stuff_segments: int | None
    dropped_objects: int
    crop_size_wh: tuple[int, int] | None
    crops: int
    stuff_tags_per_crop: float | None
    tags_per_crop: float | None
    void_share: float | None
    images_with_vertices: int
    mean_vertices: float | None
    categories: tuple[CategorySummary, ...]


@dataclass(kw_only=True)
class _Counts:
    """Sums over images. Labels are let go as soon as they are counted."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    contents: list[ImageContent] = field(default_factory=list)
    dropped_objects: int = 0
    images_with: Counter[int] = field(default_factory=Counter)
    segments: Counter[int] = field(default_factory=Counter)
    groups: Counter[int] = field(default_factory=Counter)
    areas: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))


def summarise(
    dataset: Dataset, images: Sequence[Image], crop_size_wh: tuple[int, int] | None
) -> Summary:
    """Count the content of some images of a dataset.

    Args:
        dataset: with full labels, or with boxes and tags alone.
        images: those to count.
        crop_size_wh: width and height in pixels of the crops whose tags are counted, laid out by
            `annotools.weak_labels.weaken.crop_grid`; None for one crop, the whole image.

    Raises:
        DatasetError: when a label cannot be read.
    """
    counts = _Counts()
    for image in track(images, "counting", len(images)):
        source = read_source(dataset, image)
        counts.sizes[image.size_wh] += 1
        counts.dropped_objects += len(source.drops)
        if isinstance(source, FullLabel):
            counts.dropped_objects += len(source.unseen)
        objects = source.objects.values()
        counts.images_with.update({o.category_id for o in objects})
        counts.segments.update(o.category_id for o in objects)
        counts.groups.update(o.category_id for o in objects if o.is_group)
        for segment in source.segments if isinstance(source, FullLabel) else ():
            counts.areas[segment.category_id].append(segment.area)
        counts.contents.append(measure_image(dataset, image, source, crop_size_wh))
    return _report(counts, dataset.categories, crop_size_wh, has_masks=dataset.read_weak is None)


def _report(
    counts: _Counts,
    categories: CategorySet,
    crop_size_wh: tuple[int, int] | None,
    *,
    has_masks: bool,
) -> Summary:
    contents = counts.contents
    stuff_ids = [c.category_id for c in categories.categories if not c.is_thing]
    pixels = sum(width * height * images for (width, height), images in counts.sizes.items())
    labelled = sum(map(sum, counts.areas.values()))
    instances = [content.instances for content in contents]
    # One image without a count makes the sum not a number, and no total is known.
    has_objects = bool(instances) and not math.isnan(sum(instances))
    counted = [c for c in categories.categories if has_masks or (has_objects and c.is_thing)]
    crops = round(sum(content.crops for content in contents))
    stuff_tags = sum(content.stuff_tags for content in contents)
    thing_tags = sum(content.thing_tags for content in contents)
    vertices = [content.vertices for content in contents if content.vertices_known]
    # Nobody asks for tags of a background, so without other stuff there is nothing to count.
    has_stuff_tags = any(content.num_stuff_classes for content in contents)
    return Summary(
        images=len(contents),
        sizes=tuple(
            SizeCount(width=width, height=height, images=images)
            for (width, height), images in counts.sizes.most_common()
        ),
        instances=_known(sum(instances)),
        mean_instances=fmean(instances) if has_objects else None,
        median_instances=float(median(instances)) if has_objects else None,
        max_instances=_known(max(instances)) if has_objects else None,
        groups=counts.groups.total() if counted else None,
        stuff_segments=sum(counts.segments[i] for i in stuff_ids) if has_masks else None,
        dropped_objects=counts.dropped_objects,
        crop_size_wh=crop_size_wh,
        crops=crops,
        stuff_tags_per_crop=_ratio(stuff_tags, crops) if has_stuff_tags else None,
        tags_per_crop=_ratio(stuff_tags + thing_tags, crops),
        void_share=_ratio(pixels - labelled, pixels) if has_masks else None,
        images_with_vertices=len(vertices),
        mean_vertices=_ratio(sum(vertices), len(vertices)),
        categories=tuple(
            _report_category(counts, category, pixels, category in counted, has_masks=has_masks)
            for category in categories.categories
        ),
    )


def _report_category(
    counts: _Counts, category: Category, pixels: int, is_counted: bool, *, has_masks: bool
) -> CategorySummary:
    category_id = category.category_id
    areas = counts.areas[category_id]
    return CategorySummary(
        category_id=category_id,
        name=category.name,
        is_thing=category.is_thing,
        images=counts.images_with[category_id] if is_counted else None,
        segments=counts.segments[category_id] if is_counted else None,
        groups=counts.groups[category_id] if is_counted else None,
        pixel_share=_ratio(sum(areas), pixels) if has_masks else None,
        median_area=float(median(areas)) if areas else None,
    )


def _known(count: float) -> int | None:
    return None if math.isnan(count) else round(count)


def _ratio(part: float, whole: int) -> float | None:
    return None if math.isnan(part) or whole == 0 else part / whole
