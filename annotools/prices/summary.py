"""What a dataset holds, counted in one pass over its labels."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean, median

from annotools.categories import Category, CategorySet
from annotools.records import FullLabel, Segment
from annotools.weak_labels.weaken import weaken


@dataclass(frozen=True, kw_only=True)
class SizeCount:
    """How many images have a width and height in pixels."""

    width: int
    height: int
    images: int


@dataclass(frozen=True, kw_only=True)
class CategorySummary:
    """What a dataset holds of one category.

    `images` have at least one pixel of it; `segments` include its `groups`. `pixel_share` is its
    part of all pixels, void included, in [0, 1], None without images. `median_area` is in pixels,
    over segments, None without segments.
    """

    category_id: int
    name: str
    is_thing: bool
    images: int
    segments: int
    groups: int
    pixel_share: float | None
    median_area: float | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a dataset holds; None where there is nothing to take a mean, median or share of.

    `sizes` are the distinct image sizes, most frequent first. `instances` are thing segments that
    are not groups. `dropped_objects` are objects of the source without a segment. Tags are
    positives: categories present in a crop, background left out; `crops` counts the crops of all
    images, of `crop_size_wh` pixels or, where that is None, of the whole image. `void_share` is in
    [0, 1]. `mean_vertices` are the corners of polygons per image, over the `images_with_vertices`.
    """

    images: int
    sizes: tuple[SizeCount, ...]
    instances: int
    mean_instances: float | None
    median_instances: float | None
    max_instances: int | None
    groups: int
    stuff_segments: int
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
    """What is counted label by label; only numbers of each label are kept."""

    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: int = 0
    instances_of_image: list[int] = field(default_factory=list)
    dropped_objects: int = 0
    crops: int = 0
    tags: Counter[int] = field(default_factory=Counter)
    images_with: Counter[int] = field(default_factory=Counter)
    areas: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    groups: Counter[int] = field(default_factory=Counter)


def summarise(
    labels: Iterable[FullLabel],
    categories: CategorySet,
    crop_size_wh: tuple[int, int] | None,
    vertices: Iterable[int | None] = (),
) -> Summary:
    """Count what the labels of a dataset hold.

    Args:
        labels: one of each image; each is let go after it is counted.
        categories: the dataset's.
        crop_size_wh: width and height in pixels of the crops whose tags are counted, laid out by
            `annotools.weak_labels.weaken.crop_grid`; None for one crop, the whole image.
        vertices: corners of the polygons of each image, None where they are not known; taken after
            the labels.
    """
    counts = _Counts()
    for label in labels:
        _count(counts, label, categories, crop_size_wh)
    known = [count for count in vertices if count is not None]
    return _report(counts, categories, crop_size_wh, known)


def _count(
    counts: _Counts,
    label: FullLabel,
    categories: CategorySet,
    crop_size_wh: tuple[int, int] | None,
) -> None:
    height, width = label.segment_map.shape
    counts.sizes[width, height] += 1
    counts.pixels += width * height
    counts.instances_of_image.append(sum(_is_instance(s, categories) for s in label.segments))
    counts.dropped_objects += len(label.drops)
    counts.images_with.update({s.category_id for s in label.segments})
    for segment in label.segments:
        counts.areas[segment.category_id].append(segment.area)
        counts.groups[segment.category_id] += segment.is_group
    crops = weaken(label, categories, "tags", crop_size_wh).crops
    counts.crops += len(crops)
    counts.tags.update(category_id for crop in crops for category_id in crop.category_ids)


def _is_instance(segment: Segment, categories: CategorySet) -> bool:
    return categories.by_id(segment.category_id).is_thing and not segment.is_group


def _report(
    counts: _Counts,
    categories: CategorySet,
    crop_size_wh: tuple[int, int] | None,
    vertices: list[int],
) -> Summary:
    stuff_ids = [c.category_id for c in categories.categories if not c.is_thing]
    # Nobody asks for tags of a background, so without other stuff there is nothing to count.
    stuff_tags = sum(counts.tags[i] for i in stuff_ids) if _has_asked_stuff(categories) else None
    per_image = counts.instances_of_image
    labelled = sum(map(sum, counts.areas.values()))
    return Summary(
        images=len(per_image),
        sizes=tuple(
            SizeCount(width=width, height=height, images=images)
            for (width, height), images in counts.sizes.most_common()
        ),
        instances=sum(per_image),
        mean_instances=fmean(per_image) if per_image else None,
        median_instances=float(median(per_image)) if per_image else None,
        max_instances=max(per_image, default=None),
        groups=counts.groups.total(),
        stuff_segments=sum(len(counts.areas[i]) for i in stuff_ids),
        dropped_objects=counts.dropped_objects,
        crop_size_wh=crop_size_wh,
        crops=counts.crops,
        stuff_tags_per_crop=_ratio(stuff_tags, counts.crops),
        tags_per_crop=_ratio(counts.tags.total(), counts.crops),
        void_share=_ratio(counts.pixels - labelled, counts.pixels),
        images_with_vertices=len(vertices),
        mean_vertices=_ratio(sum(vertices), len(vertices)),
        categories=tuple(_report_category(counts, c) for c in categories.categories),
    )


def _report_category(counts: _Counts, category: Category) -> CategorySummary:
    areas = counts.areas[category.category_id]
    return CategorySummary(
        category_id=category.category_id,
        name=category.name,
        is_thing=category.is_thing,
        images=counts.images_with[category.category_id],
        segments=len(areas),
        groups=counts.groups[category.category_id],
        pixel_share=_ratio(sum(areas), counts.pixels),
        median_area=float(median(areas)) if areas else None,
    )


def _has_asked_stuff(categories: CategorySet) -> bool:
    return any(
        not c.is_thing and c.category_id != categories.background_id for c in categories.categories
    )


def _ratio(part: int | None, whole: int) -> float | None:
    return None if part is None or whole == 0 else part / whole
