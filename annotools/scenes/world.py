"""The built-in world draws procedural street scenes, with exact labels and knobs.

A scene has sky, buildings, vegetation, sidewalk and road, and on them cars, buses, people and
signs that shrink with distance, hide each other and are cut by the border. Photo and label are
drawn together, far to near, so that the label is exact. A scene depends on the world's seed, the
split and its number alone.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from annotools.categories import Category, CategorySet
from annotools.errors import DatasetError
from annotools.random_streams import stream
from annotools.records import VOID, Photo, SegmentMap
from annotools.scenes.objects import Part, draw_object_parts

SCENE_CATEGORIES = CategorySet(
    categories=(
        Category(category_id=1, name="road", is_thing=False, colour=(128, 64, 128)),
        Category(category_id=2, name="sidewalk", is_thing=False, colour=(244, 35, 232)),
        Category(category_id=3, name="building", is_thing=False, colour=(70, 70, 70)),
        Category(category_id=4, name="vegetation", is_thing=False, colour=(107, 142, 35)),
        Category(category_id=5, name="sky", is_thing=False, colour=(70, 130, 180)),
        Category(category_id=11, name="person", is_thing=True, colour=(220, 20, 60)),
        Category(category_id=12, name="car", is_thing=True, colour=(0, 0, 142)),
        Category(category_id=13, name="bus", is_thing=True, colour=(0, 60, 100)),
        Category(category_id=14, name="sign", is_thing=True, colour=(220, 220, 0)),
    )
)
"""Stuff has ids 1 to 5, which are also its segment ids in a scene; things follow."""

ROAD, SIDEWALK, BUILDING, VEGETATION, SKY = 1, 2, 3, 4, 5
PERSON, CAR, BUS, SIGN = 11, 12, 13, 14
_FIRST_INSTANCE_ID = 100
_MIN_OBJECT_HEIGHT = 14.0
_MIN_AREA = 32
"""Objects with fewer visible pixels are void: no annotator would mark them."""


MAX_SIDE = 4096
"""Pixels: a scene of more does not fit the memory of a small machine while it is drawn."""

MAX_SCENES = 1_000_000
MAX_THINGS = 10_000
MAX_STRENGTH = 1000


@dataclass(frozen=True, kw_only=True)
class SceneWorld:
    """The knobs of the world.

    Raises:
        DatasetError: for a size or a number that no scene can have.
    """

    seed: int = 0
    width: int = 192
    """Pixels."""
    height: int = 96
    """Pixels."""
    num_train: int = 100
    num_val: int = 40
    min_things: int = 4
    """Objects placed in a scene before some hide others."""
    max_things: int = 10
    texture: float = 1.0
    """Strength of surface textures; 0 leaves flat colours."""
    noise: float = 6.0
    """Standard deviation of the sensor noise, in grey levels of 255."""
    contrast: float = 1.0
    """How far the colours of things stand out from what is behind them; 0 makes things invisible.
    Labels are the same with any."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise DatasetError(f"seed = {self.seed}: give 0 or more")
        if not (32 <= self.width <= MAX_SIDE and 32 <= self.height <= MAX_SIDE):
            raise DatasetError(
                f"scene of {self.width} x {self.height} pixels: at least 32 x 32, "
                f"at most {MAX_SIDE} x {MAX_SIDE}"
            )
        if not 0 <= self.min_things <= self.max_things <= MAX_THINGS:
            raise DatasetError(
                "min_things must lie between 0 and max_things, and max_things not be over "
                f"{MAX_THINGS}"
            )
        if not (0 <= self.num_train <= MAX_SCENES and 0 <= self.num_val <= MAX_SCENES):
            raise DatasetError(f"num_train and num_val must lie between 0 and {MAX_SCENES}")
        if not (0 <= self.texture < MAX_STRENGTH and 0 <= self.noise < MAX_STRENGTH):
            raise DatasetError(f"texture and noise must lie between 0 and {MAX_STRENGTH}")
        if not 0 <= self.contrast <= 1:
            raise DatasetError(f"contrast = {self.contrast}: give 0 to 1")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A drawn scene: photo, segment map, and the category id of each segment id."""

    photo: Photo
    segment_map: SegmentMap
    category_of: dict[int, int]


def draw_scene(world: SceneWorld, split: str, number: int) -> Scene:
    """Draw the number-th scene of a split."""
    # All draws of a scene are from one generator: in another order they would be another scene.
    rng = stream(world.seed, "scene", split, number)
    # Floats let shading and windows leave the range 0 to 255 until `_expose` clips once.
    canvas = np.zeros((world.height, world.width, 3), dtype=np.float32)
    segment_map = np.full((world.height, world.width), SKY, dtype=np.int32)
    horizon = world.height * rng.uniform(0.34, 0.5)
    vanishing_x = world.width * rng.uniform(0.35, 0.65)
    _draw_stuff(rng, world, canvas, segment_map, horizon, vanishing_x)
    category_of = {c: c for c in (ROAD, SIDEWALK, BUILDING, VEGETATION, SKY)}
    for offset, (category_id, ground_y, centre_x, size) in enumerate(
        _place_objects(rng, world, horizon, vanishing_x)
    ):
        segment_id = _FIRST_INSTANCE_ID + offset
        category_of[segment_id] = category_id
        parts = draw_object_parts(rng, category_id)
        behind = canvas.copy() if world.contrast < 1 else None
        _paint_object(canvas, segment_map, segment_id, parts, ground_y, centre_x, size)
        if behind is not None:
            canvas[:] = behind + np.float32(world.contrast) * (canvas - behind)
    photo = _expose(rng, canvas, world.noise)
    areas = dict(zip(*np.unique(segment_map, return_counts=True), strict=True))
    # Specks become void in the map and stay in the photo, as with real annotators.
    specks = [i for i, area in areas.items() if category_of[int(i)] > SKY and area < _MIN_AREA]
    segment_map[np.isin(segment_map, specks)] = VOID
    return Scene(
        photo=photo,
        segment_map=segment_map,
        category_of={int(i): category_of[int(i)] for i in areas if i not in specks},
    )


def _draw_stuff(
    rng: np.random.Generator,
    world: SceneWorld,
    canvas: NDArray[np.float32],
    segment_map: SegmentMap,
    horizon: float,
    vanishing_x: float,
) -> None:
    """Fill canvas and map with sky, buildings, sidewalk, road and vegetation, in this order."""
    sky_colour = np.array([135, 170, 215]) + rng.uniform(-35, 35, 3)
    _fill(rng, canvas, segment_map == SKY, sky_colour, 14 * world.texture, grain=24)
    for left, right, top in _skyline(rng, segment_map.shape[1], horizon):
        mask = np.zeros(segment_map.shape, dtype=bool)
        mask[top : int(horizon) + 1, left:right] = True
        colour = np.array([150, 125, 110]) + rng.uniform(-45, 45) + rng.uniform(-22, 22, 3)
        _fill(rng, canvas, mask, colour, 10 * world.texture, grain=6)
        _draw_windows(rng, canvas, (left, top, right, int(horizon)), world.texture)
        segment_map[mask] = BUILDING
    # The road comes second and is narrower, so that the sidewalk is left on both sides of it.
    for stuff_id, spread, base in ((SIDEWALK, 2.0, [165, 150, 150]), (ROAD, 1.1, [95, 95, 100])):
        mask = _ground_wedge(
            segment_map.shape, horizon, vanishing_x, spread * rng.uniform(0.8, 1.3)
        )
        colour = np.array(base) + rng.uniform(-22, 22) + rng.uniform(-8, 8, 3)
        _fill(rng, canvas, mask, colour, 12 * world.texture, grain=4)
        segment_map[mask] = stuff_id
    below = np.zeros(segment_map.shape, dtype=bool)
    below[int(horizon) :] = True
    lawn = below & ~np.isin(segment_map, (ROAD, SIDEWALK))
    green = np.array([85, 120, 60]) + rng.uniform(-25, 25) + rng.uniform(-12, 12, 3)
    for mask in (lawn, *_tree_crowns(rng, segment_map.shape, horizon)):
        _fill(rng, canvas, mask, green + rng.uniform(-15, 15), 30 * world.texture, grain=3)
        segment_map[mask] = VEGETATION


def _fill(
    rng: np.random.Generator,
    canvas: NDArray[np.float32],
    mask: NDArray[np.bool_],
    colour: NDArray[np.float64],
    strength: float,
    grain: int,
) -> None:
    """Paint a surface: its colour plus smooth random shading with blobs of `grain` pixels."""
    height, width = mask.shape
    coarse = rng.standard_normal((max(2, height // grain), max(2, width // grain)))
    shading = cv2.resize(coarse.astype(np.float32), (width, height))
    canvas[mask] = colour.astype(np.float32) + np.float32(strength) * shading[mask, None]


def _skyline(rng: np.random.Generator, width: int, horizon: float) -> list[tuple[int, int, int]]:
    """Return (left, right, top) of the buildings, with gaps of sky between some."""
    blocks = []
    # The first building may begin outside, so that the left border cuts it as the right one does.
    left = -int(rng.integers(0, width // 8))
    while left < width:
        right = left + int(width * rng.uniform(0.08, 0.25))
        if rng.random() < 0.75:
            blocks.append((max(left, 0), min(right, width), int(horizon * rng.uniform(0.1, 0.8))))
        left = right
    return [block for block in blocks if block[0] < block[1]]


def _draw_windows(
    rng: np.random.Generator,
    canvas: NDArray[np.float32],
    box_xyxy: tuple[int, int, int, int],
    texture: float,
) -> None:
    """Darken or lighten a grid of windows on a building."""
    left, top, right, bottom = box_xyxy
    pitch = int(rng.integers(5, 9))
    change = texture * rng.choice([-45.0, 40.0])
    for y in range(top + 2, bottom - 3, pitch):
        for x in range(left + 2, right - 2, pitch):
            canvas[y : y + pitch // 2, x : x + pitch // 2] += change


def _ground_wedge(
    shape: tuple[int, ...], horizon: float, vanishing_x: float, spread: float
) -> NDArray[np.bool_]:
    """Return the (H, W) mask of a strip of ground that narrows towards the vanishing point."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    depth = rows - horizon
    half_width = 2.0 + spread * depth
    return np.asarray((depth >= 0) & (np.abs(columns - vanishing_x) <= half_width))


def _tree_crowns(
    rng: np.random.Generator, shape: tuple[int, ...], horizon: float
) -> list[NDArray[np.bool_]]:
    """Return masks of trees and bushes that stand on the horizon: each a few overlapping discs."""
    height, width = shape[0], shape[1]
    crowns = []
    for _ in range(int(rng.integers(1, 5))):
        mask = np.zeros(shape, dtype=np.uint8)
        centre_x = rng.uniform(0, width)
        size = height * rng.uniform(0.05, 0.16)
        for _ in range(5):
            x = centre_x + rng.normal(0, size * 0.8)
            y = horizon - size * rng.uniform(0.2, 1.4)
            cv2.circle(mask, (int(x), int(y)), max(2, int(size * rng.uniform(0.5, 1.0))), 1, -1)
        mask[int(horizon) + 1 :] = 0
        crowns.append(mask.astype(bool))
    return crowns


def _place_objects(
    rng: np.random.Generator, world: SceneWorld, horizon: float, vanishing_x: float
) -> list[tuple[int, float, float, tuple[float, float]]]:
    """Return (category id, ground y, centre x, (width, height)) of the objects, far to near.

    Sizes are real: metres times the pixels per metre at the depth where the object stands.
    """
    metres = {PERSON: (0.7, 1.75), CAR: (3.4, 1.5), BUS: (6.0, 3.0), SIGN: (0.85, 2.6)}
    shares = {PERSON: 0.34, CAR: 0.36, BUS: 0.1, SIGN: 0.2}
    placed = []
    for _ in range(int(rng.integers(world.min_things, world.max_things + 1))):
        category_id = int(rng.choice(list(shares), p=list(shares.values())))
        depth = (world.height - horizon) * (0.25 + 0.8 * rng.beta(1.2, 1.7))
        # For a level camera 2.2 metres up, a metre at this depth is so many pixels.
        scale = depth / 2.2
        width, height = (side * scale * rng.uniform(0.85, 1.2) for side in metres[category_id])
        on_road = category_id in (CAR, BUS)
        reach = depth * (1.1 if on_road else 2.0)
        offset = rng.uniform(-reach, reach)
        # People and signs keep off the middle, where the road is.
        if not on_road:
            offset = np.sign(offset) * max(abs(offset), 0.7 * depth)
        if height >= _MIN_OBJECT_HEIGHT:
            placed.append((category_id, horizon + depth, vanishing_x + offset, (width, height)))
    return sorted(placed, key=lambda item: item[1])


def _paint_object(
    canvas: NDArray[np.float32],
    segment_map: SegmentMap,
    segment_id: int,
    parts: list[Part],
    ground_y: float,
    centre_x: float,
    size: tuple[float, float],
) -> None:
    """Paint an object's parts, given in unit coordinates, at its place and size."""
    width, height = size
    for part in parts:
        x = centre_x + (part.outline[:, 0] - 0.5) * width
        y = ground_y - (1.0 - part.outline[:, 1]) * height
        outline = np.round(np.stack([x, y], axis=1)).astype(np.int32)
        cv2.fillPoly(canvas, [outline], part.colour)
        cv2.fillPoly(segment_map, [outline], segment_id)


def _expose(rng: np.random.Generator, canvas: NDArray[np.float32], noise: float) -> Photo:
    """Return the photo: a slight blur, one exposure and tint for all, sensor noise."""
    blurred = cv2.GaussianBlur(canvas, (3, 3), 0.6)
    tint = rng.uniform(0.75, 1.2) * rng.uniform(0.94, 1.06, 3)
    noisy = blurred * tint + rng.normal(0.0, noise, canvas.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
