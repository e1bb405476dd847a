"""Records in one line, for tests."""

from collections.abc import Mapping, Sequence

import numpy as np

from annotools.categories import Category, CategorySet, distinct_colour
from annotools.label_maps import build_label
from annotools.records import Dataset, FullLabel, Image


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
