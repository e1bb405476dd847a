"""Write names on pictures: readable on any ground, inside the picture, never on each other."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from annotools.records import BoxXYXY, Photo
from annotools.terminal import one_line

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_PAD = 3
"""Pixels of ground around a text."""

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Name:
    """A text, the colour of its ground, and the pixel where its upper left corner should be."""

    text: str
    colour: Colour
    left: int
    top: int

    @property
    def shown(self) -> str:
        """The text as it is written: OpenCV ends the process at half of a pair of characters."""
        return one_line(self.text)


def write_names(picture: Photo, names: Sequence[Name]) -> None:
    """Write names into the picture, each near its place.

    A name for which there is no free room near its place is left out; those that come first
    choose first.
    """
    scale = readable_scale(picture)
    taken: list[BoxXYXY] = []
    for name in names:
        for place in _places_near(picture, name, scale):
            if not any(_overlap(place, other) for other in taken):
                _write(picture, name, place, scale)
                taken.append(place)
                break


def write_block(picture: Photo, names: Sequence[Name], area: BoxXYXY) -> None:
    """Write names side by side and line by line from an area's upper left corner.

    Text is made smaller, to a fifth of its size where need be, until all names fit the area.
    """
    for percent in range(100, 19, -8):
        scale = readable_scale(picture) * percent / 100
        places = _flow(names, area, scale)
        if all(x1 <= area[2] and y1 <= area[3] for _, _, x1, y1 in places):
            break
    # Where even the smallest text does not fit the area, it is written all the same.
    for name, place in zip(names, places, strict=True):
        _write(picture, name, place, scale)


def readable_scale(picture: Photo) -> float:
    """Return the size of text, in units of OpenCV's font, for a picture seen as a whole."""
    height, width, _ = picture.shape
    return max(0.42, int(max(height, width)) / 2400)


def _size_of(text: str, scale: float) -> tuple[int, int, int]:
    """Return width and height with the ground around, and pixels from the base line down."""
    (width, height), base = cv2.getTextSize(text, _FONT, scale, _thickness(scale))
    return width + 2 * _PAD, height + base // 2 + 2 * _PAD, base // 2


def _thickness(scale: float) -> int:
    return max(1, round(1.5 * scale))


def _places_near(picture: Photo, name: Name, scale: float) -> list[BoxXYXY]:
    """Return boxes inside the picture at, below, above, right and left of the wanted place."""
    width, height, _ = _size_of(name.shown, scale)
    places = []
    for right, down in ((0, 0), (0, 1), (0, -1), (0, 2), (1, 0), (-1, 0)):
        x = max(0, min(name.left + right * width, picture.shape[1] - width))
        y = max(0, min(name.top + down * height, picture.shape[0] - height))
        places.append((x, y, x + width, y + height))
    return places


def _overlap(first: BoxXYXY, second: BoxXYXY) -> bool:
    return (
        first[0] < second[2]
        and second[0] < first[2]
        and first[1] < second[3]
        and second[1] < first[3]
    )


def _flow(names: Sequence[Name], area: BoxXYXY, scale: float) -> list[BoxXYXY]:
    x, y = area[:2]
    places = []
    for name in names:
        width, height, _ = _size_of(name.shown, scale)
        # The first name of a line stays there however wide it is, or its line would be left empty.
        if x > area[0] and x + width > area[2]:
            x, y = area[0], y + height + _PAD
        places.append((x, y, x + width, y + height))
        x += width + _PAD
    return places


def _write(picture: Photo, name: Name, place: BoxXYXY, scale: float) -> None:
    x0, y0, x1, y1 = place
    red, green, blue = name.colour
    # Black or white, whichever is farther from the ground; weights of ITU-R BT.601.
    ink = (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 127 else (255, 255, 255)
    cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), name.colour, cv2.FILLED)
    cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), ink, 1)
    base = (x0 + _PAD, y1 - _PAD - _size_of(name.shown, scale)[2])
    cv2.putText(picture, name.shown, base, _FONT, scale, ink, _thickness(scale), cv2.LINE_AA)
