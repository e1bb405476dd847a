"""A category has two numbers: the dataset's own and the network's.

`category_id` is the dataset's own number; `class_index` is the network's, 0..K-1, in the order
of the set. Which categories are things, which is the background and their colours are said here
and nowhere else.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from annotools.errors import DatasetError

_BACKGROUND_NAMES = frozenset({"background", "back ground", "bg"})

IGNORE_INDEX = 255
"""Class index of a pixel whose class nobody knows: no loss, no score."""

MAX_CLASSES = IGNORE_INDEX
"""Class indices and `IGNORE_INDEX` together fit one byte."""


@dataclass(frozen=True, kw_only=True)
class Category:
    """One category: `category_id` is the dataset's own number, colour is RGB in 0..255."""

    category_id: int
    name: str
    is_thing: bool
    colour: tuple[int, int, int]


def background_category(category_id: int = 0, name: str = "background") -> Category:
    """Return the category of a background: black stuff."""
    return Category(category_id=category_id, name=name, is_thing=False, colour=(0, 0, 0))


@dataclass(frozen=True, kw_only=True)
class CategorySet:
    """The categories of a dataset in class-index order.

    `background_id` is the category of every pixel outside all things, in datasets such as
    Pascal VOC whose only stuff is the background, and of what is none of a few categories that
    were chosen; None where stuff is labelled in its own right.

    Raises:
        DatasetError: for an empty set, too many categories, or an id given twice.
    """

    categories: tuple[Category, ...]
    background_id: int | None = None

    def __post_init__(self) -> None:
        if not 0 < len(self.categories) <= MAX_CLASSES:
            raise DatasetError(f"{len(self.categories)} categories: give 1 to {MAX_CLASSES}")
        if len(self.class_index_of) != len(self.categories):
            raise DatasetError("two categories have the same id: give each its own")
        if self.background_id is not None and self.background_id not in self.class_index_of:
            raise DatasetError(f"background category {self.background_id} is not in the set")

    def __len__(self) -> int:
        return len(self.categories)

    @cached_property
    def class_index_of(self) -> Mapping[int, int]:
        """Class index by category id."""
        return {category.category_id: i for i, category in enumerate(self.categories)}

    def by_id(self, category_id: int) -> Category:
        """Return the category of this id.

        Raises:
            DatasetError: when the set has no such category.
        """
        index = self.class_index_of.get(category_id)
        if index is None:
            known = ", ".join(str(c.category_id) for c in self.categories)
            raise DatasetError(f"unknown category id {category_id}: this dataset has {known}")
        return self.categories[index]

    @property
    def thing_indices(self) -> tuple[int, ...]:
        """Class indices of the things."""
        return tuple(i for i, c in enumerate(self.categories) if c.is_thing)

    @property
    def stuff_indices(self) -> tuple[int, ...]:
        """Class indices of the stuff, background included."""
        return tuple(i for i, c in enumerate(self.categories) if not c.is_thing)

    @property
    def background_index(self) -> int | None:
        """Class index of the background, None where stuff is labelled in its own right."""
        return None if self.background_id is None else self.class_index_of[self.background_id]

    @property
    def outside_index(self) -> int | None:
        """Class index of what is outside all things: the background where it is the only stuff."""
        return self.background_index if len(self.stuff_indices) == 1 else None

    @property
    def palette(self) -> NDArray[np.uint8]:
        """Colours by class index: (K, 3), RGB."""
        return np.array([c.colour for c in self.categories], dtype=np.uint8)


def free_id(taken: Iterable[int]) -> int:
    """Return the smallest category id from 0 that is not taken."""
    ids = set(taken)
    return next(number for number in itertools.count() if number not in ids)


def is_background_name(name: str) -> bool:
    """Tell whether a category's name is one that tools give the background."""
    return " ".join(re.split(r"[\s_-]+", name.lower())).strip() in _BACKGROUND_NAMES


def distinct_colour(number: int) -> tuple[int, int, int]:
    """Return the RGB colour of the number-th of a series in which neighbours differ well.

    The series is the bit-reversal colour map that Pascal VOC's development kit defines, from its
    first colour after black.
    """
    red = green = blue = 0
    code = number + 1
    # The lowest bits of the number become the highest bits of the colours: neighbours differ most.
    for bit in range(7, -1, -1):
        red |= (code & 1) << bit
        green |= (code >> 1 & 1) << bit
        blue |= (code >> 2 & 1) << bit
        code >>= 3
    return red, green, blue
