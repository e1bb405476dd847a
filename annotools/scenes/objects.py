"""The things of a street scene are made of coloured parts, given in unit coordinates.

x runs from 0 (left) to 1 (right), y from 0 (top) to 1 (the ground the object stands on). Colours
of bodies vary freely between instances, so that shape and not colour tells the class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]

_RUBBER = (25, 25, 28)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A filled polygon of an object: outline (P, 2) in unit coordinates, RGB colour in 0..255."""

    outline: NDArray[np.float64]
    colour: Colour


def draw_object_parts(rng: np.random.Generator, category_id: int) -> list[Part]:
    """Return the parts of a person (11), car (12), bus (13) or sign (14), back to front."""
    parts = {11: _person, 12: _car, 13: _bus, 14: _sign}[category_id](rng)
    # Half of the objects face the other way.
    if rng.random() < 0.5:
        return parts
    return [
        Part(outline=np.array([1.0, 0.0]) + p.outline * (-1, 1), colour=p.colour) for p in parts
    ]


def _person(rng: np.random.Generator) -> list[Part]:
    skin = _shade((205, 160, 130), rng.uniform(0.45, 1.1))
    stride = rng.uniform(0.0, 0.22)
    legs = _vivid(rng)
    return [
        _polygon(legs, (0.3, 0.5), (0.5, 0.5), (0.48 - stride, 1), (0.22 - stride, 1)),
        _polygon(legs, (0.5, 0.5), (0.7, 0.5), (0.78 + stride, 1), (0.52 + stride, 1)),
        _polygon(_vivid(rng), (0.15, 0.2), (0.85, 0.2), (0.8, 0.56), (0.2, 0.56)),
        _disc(skin, 0.5, 0.1, 0.24, 0.1),
    ]


def _car(rng: np.random.Generator) -> list[Part]:
    body = _vivid(rng)
    glass = _shade((150, 175, 190), rng.uniform(0.4, 1.0))
    roof = rng.uniform(0.18, 0.3)
    return [
        _polygon(body, (0.14, 0.5), (roof + 0.06, 0.02), (0.72, 0.02), (0.86, 0.5)),
        _polygon(glass, (0.24, 0.44), (roof + 0.12, 0.1), (0.67, 0.1), (0.76, 0.44)),
        _polygon(body, (0, 0.5), (1, 0.45), (1, 0.86), (0, 0.86)),
        _polygon((245, 235, 190), (0.0, 0.55), (0.08, 0.55), (0.08, 0.66), (0.0, 0.66)),
        _disc(_RUBBER, 0.22, 0.83, 0.1, 0.17),
        _disc(_RUBBER, 0.79, 0.83, 0.1, 0.17),
    ]


def _bus(rng: np.random.Generator) -> list[Part]:
    body = _vivid(rng)
    glass = _shade((120, 145, 165), rng.uniform(0.35, 0.9))
    windows = [
        _polygon(glass, (x, 0.15), (x + 0.12, 0.15), (x + 0.12, 0.45), (x, 0.45))
        for x in (0.05, 0.2, 0.35, 0.5, 0.65, 0.8)
    ]
    return [
        _polygon(body, (0, 0.02), (1, 0.02), (1, 0.93), (0, 0.93)),
        *windows,
        _polygon(_vivid(rng), (0, 0.6), (1, 0.6), (1, 0.67), (0, 0.67)),
        *(_disc(_RUBBER, x, 0.92, 0.065, 0.09) for x in (0.18, 0.8)),
    ]


def _sign(rng: np.random.Generator) -> list[Part]:
    rim, face = ((200, 30, 35), (235, 230, 225))
    if rng.random() < 0.4:
        rim, face = ((235, 235, 235), (25, 75, 175))
    if rng.random() < 0.4:
        outer = _polygon(rim, (0, 0.34), (0.5, 0), (1, 0.34))
        inner = _polygon(face, (0.24, 0.28), (0.5, 0.1), (0.76, 0.28))
    else:
        outer = _disc(rim, 0.5, 0.17, 0.5, 0.17)
        inner = _disc(face, 0.5, 0.17, 0.32, 0.11)
    pole = _polygon((110, 112, 115), (0.42, 0.3), (0.58, 0.3), (0.58, 1), (0.42, 1))
    return [pole, outer, inner]


def _polygon(colour: Colour, *corners: tuple[float, float]) -> Part:
    return Part(outline=np.array(corners, dtype=np.float64), colour=colour)


def _disc(colour: Colour, x: float, y: float, radius_x: float, radius_y: float) -> Part:
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    rim = [x + radius_x * np.cos(angles), y + radius_y * np.sin(angles)]
    return Part(outline=np.stack(rim, axis=1), colour=colour)


def _vivid(rng: np.random.Generator) -> Colour:
    red, green, blue = rng.uniform(20, 235, 3)
    return float(red), float(green), float(blue)


def _shade(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor
