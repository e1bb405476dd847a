import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annotools.categories import CategorySet
from annotools.formats import read_dataset
from annotools.prices.summary import SizeCount, Summary, summarise
from annotools.records import Box, Drop, FullLabel, WeakLabel
from annotools.weak_labels.weaken import crop_grid
from tests.builders import make_categories, make_dataset, make_label, make_weak_dataset
from tests.real_data import real_data

CATEGORIES = make_categories()  # 10 road, 20 sky, 30 car
CATEGORY_OF = {1: 10, 2: 30, 3: 30, 4: 20}


def summary_of(
    labels: Sequence[FullLabel],
    categories: CategorySet,
    crop_size_wh: tuple[int, int] | None,
    vertices: Sequence[int | None] | None = None,
) -> Summary:
    numbered = [dataclasses.replace(label, image_id=i) for i, label in enumerate(labels)]
    dataset = make_dataset({str(label.image_id): label for label in numbered}, categories)
    if vertices is not None:
        dataset = dataclasses.replace(
            dataset, count_vertices=lambda image: vertices[int(image.image_id)]
        )
    return summarise(dataset, dataset.images, crop_size_wh)


def test_counts_of_two_small_images() -> None:
    first = make_label([[1, 1, 2, 2], [1, 1, 3, 0]], CATEGORY_OF, groups=[3])
    second = make_label([[4, 4, 4], [4, 2, 3]], CATEGORY_OF)
    summary = summary_of([first, second], CATEGORIES, None)
    assert summary.images == 2
    assert set(summary.sizes) == {
        SizeCount(width=4, height=2, images=1),
        SizeCount(width=3, height=2, images=1),
    }
    assert (summary.instances, summary.groups, summary.stuff_segments) == (3, 1, 2)
    assert (summary.mean_instances, summary.median_instances) == (1.5, 1.5)
    assert summary.max_instances == 2
    assert summary.void_share == 1 / 14
    # Whole images: road and car, then sky and car.
    assert (summary.crops, summary.stuff_tags_per_crop, summary.tags_per_crop) == (2, 1.0, 2.0)
    road, sky, car = summary.categories
    assert (road.images, road.segments, road.pixel_share, road.median_area) == (1, 1, 4 / 14, 4)
    assert (sky.images, sky.segments, sky.median_area) == (1, 1, 4)
    assert (car.images, car.segments, car.groups) == (2, 4, 1)
    assert (car.pixel_share, car.median_area) == (5 / 14, 1)


def test_tags_are_counted_on_the_crop_grid() -> None:
    label = make_label([[1, 1, 4, 2]], CATEGORY_OF)
    summary = summary_of([label], CATEGORIES, (2, 1))
    # The left crop has road; the right one sky and a car.
    assert (summary.crops, summary.stuff_tags_per_crop, summary.tags_per_crop) == (2, 1.0, 1.5)
    assert summary.crop_size_wh == (2, 1)


def test_most_frequent_size_comes_first() -> None:
    wide, high = make_label([[1, 1]], CATEGORY_OF), make_label([[1], [1]], CATEGORY_OF)
    sizes = summary_of([wide, high, high], CATEGORIES, None).sizes
    assert [(s.width, s.height, s.images) for s in sizes] == [(1, 2, 2), (2, 1, 1)]


def test_nothing_is_undefined_and_not_zero() -> None:
    summary = summary_of([], CATEGORIES, None)
    assert (summary.images, summary.sizes, summary.instances) == (0, (), 0)
    assert summary.mean_instances is summary.median_instances is summary.max_instances is None
    assert summary.void_share is summary.tags_per_crop is summary.stuff_tags_per_crop is None
    assert summary.categories[0].pixel_share is summary.categories[0].median_area is None


def test_a_background_is_a_segment_that_nobody_tags() -> None:
    categories = make_categories(stuff=("background",), background=True)
    label = make_label([[1, 1, 2]], {1: 10, 2: 20})
    summary = summary_of([label], categories, None)
    assert summary.stuff_segments == 1
    assert summary.stuff_tags_per_crop is None
    assert summary.tags_per_crop == 1.0


def test_dropped_objects_are_counted() -> None:
    label = make_label([[1]], CATEGORY_OF)
    drops = (Drop(place="a.json: annotations[0]", reason="its mask is empty"),) * 2
    labels = [dataclasses.replace(label, drops=drops), label]
    assert summary_of(labels, CATEGORIES, None).dropped_objects == 2


def test_mean_vertices_of_the_images_where_they_are_known() -> None:
    labels = [make_label([[1]], CATEGORY_OF)] * 3
    summary = summary_of(labels, CATEGORIES, None, [4, None, 7])
    assert (summary.images_with_vertices, summary.mean_vertices) == (2, 5.5)
    unknown = summary_of(labels, CATEGORIES, None)
    assert (unknown.images_with_vertices, unknown.mean_vertices) == (0, None)


@given(hnp.arrays(np.int32, (5, 7), elements=st.integers(0, 4)), st.integers(1, 7))
def test_shares_add_up_and_no_crop_has_more_tags_than_the_image(
    segment_map: np.ndarray, crop_width: int
) -> None:
    label = make_label(segment_map.tolist(), CATEGORY_OF)
    whole = summary_of([label], CATEGORIES, None)
    cropped = summary_of([label], CATEGORIES, (crop_width, 5))
    shares = [c.pixel_share for c in whole.categories]
    assert None not in shares
    assert whole.void_share is not None
    assert sum(s for s in shares if s is not None) + whole.void_share == pytest.approx(1)
    assert cropped.tags_per_crop is not None
    assert whole.tags_per_crop is not None
    assert cropped.tags_per_crop <= whole.tags_per_crop


def test_stuff_tags_a_crop_of_a_cityscapes_image() -> None:
    dataset = read_dataset("cityscapes", real_data("cityscapes"), "train")
    image = next(i for i in dataset.images if "aachen_000000_000019" in i.file_name)
    summary = summary_of([dataset.read_label(image)], dataset.categories, (500, 400))
    corners = [(x0, y0) for x0, y0, _, _ in crop_grid(image.width, image.height, 500, 400)]
    assert corners == [(x, y) for x in (0, 387, 774, 1161, 1548) for y in (0, 312, 624)]
    assert (summary.crops, summary.stuff_tags_per_crop) == (15, 4.0)


def test_of_boxes_without_masks_no_area_is_known() -> None:
    boxes = (
        Box(category_id=20, box_xyxy=(0, 0, 3, 2)),
        Box(category_id=20, box_xyxy=(0, 0, 1, 1)),
        Box(category_id=20, box_xyxy=(3, 1, 4, 2), is_group=True),
    )
    given = {
        "a.png": WeakLabel(image_id=1, boxes=boxes, has_boxes=True),
        "b.png": WeakLabel(image_id=2, has_boxes=True),
    }
    categories = make_categories(things=("car",), stuff=("background",), background=True)
    dataset = make_weak_dataset(given, categories, (4, 2))
    summary = summarise(dataset, dataset.images, (2, 2))
    assert summary.sizes == (SizeCount(width=4, height=2, images=2),)
    assert (summary.instances, summary.mean_instances, summary.max_instances) == (2, 1, 2)
    assert (summary.groups, summary.crops, summary.tags_per_crop) == (1, 4, 0.5)
    assert summary.stuff_segments is summary.void_share is summary.stuff_tags_per_crop is None
    assert (summary.images_with_vertices, summary.mean_vertices) == (0, None)
    background, car = summary.categories
    assert (car.images, car.segments, car.groups) == (1, 3, 1)
    assert (car.pixel_share, car.median_area) == (None, None)
    assert background.images is background.segments is background.groups is None


def test_tags_alone_count_no_object() -> None:
    given = {"a.png": WeakLabel(image_id=1, tagged_category_ids=(10, 20, 30))}
    dataset = make_weak_dataset(given, CATEGORIES, (4, 2))
    summary = summarise(dataset, dataset.images, None)
    assert summary.instances is summary.max_instances is summary.groups is None
    assert all(row.segments is None for row in summary.categories)
