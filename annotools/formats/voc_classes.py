"""Find the classes of a folder in Pascal VOC's layout: VOC's own, or those that a file names.

`labelmap.txt` (CVAT, datumaro) has a line `NAME:R,G,B:PARTS:ACTIONS` a class, `class_names.txt`
(labelme) a name a line. Both count from 0, which is the background.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotools.categories import (
    Category,
    CategorySet,
    background_category,
    distinct_colour,
    is_background_name,
)
from annotools.category_tables.voc import VOC_CATEGORIES
from annotools.errors import DatasetError, name_place
from annotools.formats.pictures import decode_map
from annotools.read_files import read_lines

VOID_VALUE = 255

_FILES = ("labelmap.txt", "class_names.txt")
_MAX_BYTES = 2**20
_VOID_COLOUR = (224, 224, 192)
_VOID_NAMES = frozenset({"ignored", "ignore", "void"})
"""Names of what a label map lists as a class and is none: datumaro writes the first."""

_UNCOUNTED = "__ignore__"
"""labelme's name of what is void, which has no number."""


@dataclass(frozen=True, kw_only=True)
class VocClasses:
    """The classes of a dataset; `path` is of the file that names them, None for VOC's own.

    `void_colours` are by the values that stand for void beside 255.
    """

    categories: CategorySet
    path: Path | None = None
    void_colours: Mapping[int, tuple[int, int, int] | None] = field(default_factory=dict)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a user should know of where the classes come from."""
        return () if self.path is None else (f"classes are those of {self.path}",)

    @cached_property
    def id_of_colour(self) -> Mapping[int, int]:
        """Class id by colour, as `_code` has it.

        Raises:
            DatasetError: when two classes have the same colour.
        """
        found = {_code(*colour): VOID_VALUE for colour in self.void_colours.values() if colour}
        found.setdefault(_code(*_VOID_COLOUR), VOID_VALUE)
        for category in self.categories.categories:
            code = _code(*category.colour)
            if code in found:
                raise DatasetError(
                    f"{self.path}: {category.name!r} has the colour {category.colour} of another "
                    "class, so that a map in colours says neither: give it its own"
                )
            found[code] = category.category_id
        return found


def find_classes(folder: Path) -> VocClasses:
    """Return the classes of a folder.

    Raises:
        DatasetError: for a file that cannot be read or is no list of classes.
    """
    path = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    if path is None:
        return VocClasses(categories=VOC_CATEGORIES)
    lines = read_lines(path, _MAX_BYTES)
    stripped = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    rows = [_split(path, line) for line in stripped if line != _UNCOUNTED]
    names = [name for name, _ in rows]
    if not names or len(set(names)) < len(names):
        raise DatasetError(f"{path}: lists no class, or one twice: correct it")
    background_id = next((i for i, name in enumerate(names) if is_background_name(name)), 0)
    # A list without a background begins with the first class; one that begins with void calls so
    # what is 0.
    if not is_background_name(names[background_id]) and names[0].lower() not in _VOID_NAMES:
        rows.insert(0, ("background", (0, 0, 0)))
    void = {
        i: colour
        for i, (name, colour) in enumerate(rows)
        if i != background_id and (name.lower() in _VOID_NAMES or colour == _VOID_COLOUR)
    }
    categories = tuple(
        Category(
            category_id=i,
            name=name,
            is_thing=i != background_id,
            colour=colour or ((0, 0, 0) if i == 0 else distinct_colour(i - 1)),
        )
        for i, (name, colour) in enumerate(rows)
        if i not in void
    )
    with name_place(str(path)):
        found = CategorySet(categories=categories, background_id=background_id)
    return VocClasses(categories=found, path=path, void_colours=void)


def name_classes(names: set[str]) -> CategorySet:
    """Return the classes that boxes name: VOC's own if all are among these, else they alone.

    Raises:
        DatasetError: for more names than a set can have.
    """
    if names <= {category.name for category in VOC_CATEGORIES.categories}:
        return VOC_CATEGORIES
    things = sorted(name for name in names if not is_background_name(name))
    rows = (
        Category(category_id=i, name=name, is_thing=True, colour=distinct_colour(i - 1))
        for i, name in enumerate(things, start=1)
    )
    return CategorySet(categories=(background_category(), *rows), background_id=0)


def decode_classes(path: Path, classes: VocClasses) -> NDArray[np.integer]:
    """Return the class ids of a class map: (H, W), 255 void; colours become the class of theirs.

    Raises:
        DatasetError: for a PNG that is missing or damaged, or a colour that no class has.
    """
    pixels = decode_map(path)
    if pixels.ndim == 2 or pixels.dtype != np.uint8:
        for value in classes.void_colours:
            pixels[pixels == value] = VOID_VALUE
        return pixels
    codes, place = np.unique(_codes(pixels), return_inverse=True)
    unknown = [code for code in codes.tolist() if code not in classes.id_of_colour]
    if unknown:
        colour = ", ".join(map(str, _colour(unknown[0])))
        raise DatasetError(
            f"{path}: the colour {colour} is that of no class: name it in labelmap.txt, or restore "
            "the original"
        )
    ids = np.array([classes.id_of_colour[code] for code in codes.tolist()], dtype=np.uint8)
    return np.asarray(ids[place].reshape(pixels.shape[:2]))


def decode_objects(path: Path) -> NDArray[np.integer]:
    """Return the object numbers of an object map: (H, W), 0 for none, 255 void.

    Colours are numbered in the order of VOC's colour map, others behind these.

    Raises:
        DatasetError: for a PNG that is missing or damaged.
    """
    pixels = decode_map(path)
    if pixels.ndim == 2 or pixels.dtype != np.uint8:
        return pixels
    codes, place = np.unique(_codes(pixels), return_inverse=True)
    known = {_code(*distinct_colour(n - 1)): n for n in range(1, VOID_VALUE)}
    known |= {0: 0, _code(*_VOID_COLOUR): VOID_VALUE}
    others = [code for code in codes.tolist() if code not in known]
    known |= {code: n for n, code in enumerate(others, start=VOID_VALUE + 1)}
    numbers = np.array([known[code] for code in codes.tolist()], dtype=np.int32)
    return np.asarray(numbers[place].reshape(pixels.shape[:2]))


def _split(path: Path, row: str) -> tuple[str, tuple[int, int, int] | None]:
    """Return the name and the colour of a line, None where it has no colour.

    A line of a label map is `NAME:R,G,B:PARTS:ACTIONS`, in which the name may have colons, and all
    behind it may be empty; `NAME` and `NAME:R,G,B` are taken too.
    """
    if path.name != _FILES[0] or ":" not in row:
        return row, None
    name, colour, *_ = row.rsplit(":", 3 if row.count(":") > 2 else 1)
    if not colour.strip():
        return name, None
    numbers = [int(n) for n in colour.split(",") if n.strip().isdecimal()]
    if len(numbers) != 3 or max(numbers) > 255:
        raise DatasetError(f"{path}: {row!r} is not NAME:R,G,B:PARTS:ACTIONS: correct it")
    red, green, blue = numbers
    return name, (red, green, blue)


def _codes(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return one number for each colour: (H, W)."""
    return np.asarray(pixels.astype(np.int32) @ np.array([1, 256, 256**2], dtype=np.int32))


def _code(red: int, green: int, blue: int) -> int:
    return red + 256 * green + 256**2 * blue


def _colour(code: int) -> tuple[int, int, int]:
    return code % 256, code // 256 % 256, code // 256**2
