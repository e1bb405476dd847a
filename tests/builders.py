"""Records in one line, for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from annotools.allocation.plan_file import PlanSettings
from annotools.categories import Category, CategorySet, distinct_colour
from annotools.errors import DatasetError
from annotools.label_maps import build_label
from annotools.prices.image_content import ImageContent, measure_source
from annotools.records import Dataset, FullLabel, Image, WeakLabel
from annotools.weak_labels.weaken import weaken


def make_categories(
    things: Sequence[str] = ("car",),
    stuff: Sequence[str] = ("road", "sky"),
    background: bool = False,
) -> CategorySet:
    """Stuff first with ids 10, 20, ...; then things. With `background` the first stuff is it."""
    names = [*stuff, *things]
    return CategorySet(
        categories=tuple(
            Category(
                category_id=10 * (i + 1),
                name=name,
                is_thing=name in things,
                colour=distinct_colour(i),
            )
            for i, name in enumerate(names)
        ),
        background_id=10 if background else None,
    )


def make_label(
    rows: Sequence[Sequence[int]],
    category_of: Mapping[int, int],
    groups: Sequence[int] = (),
    image_id: int | str = 1,
) -> FullLabel:
    """A full label from nested lists of segment ids, 0 for void."""
    return build_label(image_id, np.array(rows, dtype=np.int32), category_of, groups)


def make_dataset(labels: Mapping[str, FullLabel], categories: CategorySet) -> Dataset:
    """A split `train` of grey images with these labels, by file name."""
    label_of = {label.image_id: label for label in labels.values()}
    images = []
    for name, label in labels.items():
        height, width = label.segment_map.shape
        images.append(Image(image_id=label.image_id, file_name=name, width=width, height=height))
    return Dataset(
        name="memory",
        split="train",
        categories=categories,
        images=tuple(images),
        read_label=lambda image: label_of[image.image_id],
        read_photo=lambda image: np.full((image.height, image.width, 3), 128, dtype=np.uint8),
    )


def make_weak_dataset(
    given: Mapping[str, WeakLabel], categories: CategorySet, size_wh: tuple[int, int]
) -> Dataset:
    """A split `train` of images that have boxes or tags and no masks, by file name."""
    label_of = {label.image_id: label for label in given.values()}
    width, height = size_wh

    def refuse(image: Image) -> FullLabel:
        raise DatasetError(f"{image.file_name}: has no mask")

    return Dataset(
        name="boxes",
        split="train",
        categories=categories,
        images=tuple(
            Image(image_id=label.image_id, file_name=name, width=width, height=height)
            for name, label in given.items()
        ),
        read_label=refuse,
        read_photo=lambda image: np.full((image.height, image.width, 3), 128, dtype=np.uint8),
        read_weak=lambda image: label_of[image.image_id],
    )


def make_plan(mix: Mapping[str, float], budget_hours: float, **settings: Any) -> PlanSettings:
    """What to buy of a dataset that is nowhere."""
    place = {"format": "memory", "root": Path("memory"), "split": "train"}
    return PlanSettings(**{**place, "mix": mix, "budget_hours": budget_hours, **settings})


def measure(
    label: FullLabel,
    categories: CategorySet,
    crop_size_wh: tuple[int, int] | None,
    with_tags: bool = True,
    vertices: int | None = None,
) -> ImageContent:
    """The content of an image with this label."""
    tags = weaken(label, categories, "tags", crop_size_wh) if with_tags else None
    return measure_source(label, categories, tags, vertices)
