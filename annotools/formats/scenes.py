"""The format `scenes` is a world of procedural street scenes, drawn when they are asked for.

ROOT is a TOML file with the knobs of `annotools.scenes.world.SceneWorld` (all optional). Splits are
`train` and `val`; they share no scene.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

from annotools.errors import DatasetError
from annotools.label_maps import build_label
from annotools.records import Dataset, FullLabel, Image, Photo
from annotools.scenes.world import SCENE_CATEGORIES, Scene, SceneWorld, draw_scene
from annotools.settings import read_settings, read_toml

KEPT_BYTES = 2**27
"""How much of a split a process keeps once it is drawn: drawing a scene takes longer than most of
what is done with it. A thousand scenes of the default size fit."""


def read(root: Path, split: str, allow_missing: bool = False) -> Dataset:  # noqa: ARG001
    """Return one split of the world that the TOML file `root` describes.

    Nothing of a world can be missing, so `allow_missing` changes nothing.

    Raises:
        DatasetError: when the file is missing or the split is not `train` or `val`.
        RecipeError: when a knob is unknown or of the wrong type.
    """
    if not root.is_file():
        raise DatasetError(f"{root}: no such file; a scene world is a TOML file of knobs")
    world = read_settings(SceneWorld, read_toml(root, DatasetError), where=str(root))
    return world_dataset(world, split)


def world_dataset(world: SceneWorld, split: str) -> Dataset:
    """Return one split of a world.

    Raises:
        DatasetError: when the split is not `train` or `val`.
    """
    counts = {"train": world.num_train, "val": world.num_val}
    if split not in counts:
        raise DatasetError(f"scenes have no split {split!r}: use train or val")
    images = tuple(
        Image(
            image_id=number,
            file_name=f"{split}_{number:06d}.png",
            width=world.width,
            height=world.height,
        )
        for number in range(counts[split])
    )
    return Dataset(
        name="scenes",
        split=split,
        categories=SCENE_CATEGORIES,
        images=images,
        read_label=partial(_read_label, world, split),
        read_photo=partial(_read_photo, world, split),
        draws_photos=True,
    )


@lru_cache(maxsize=4)
def _drawer(world: SceneWorld, split: str) -> Callable[[int], Scene]:
    """Return what draws a scene of a split by its number, once while there is room for it."""
    scene_bytes = world.width * world.height * 7  # a photo in 8 bits, segment ids in 32
    most = max(4, KEPT_BYTES // scene_bytes)
    return lru_cache(maxsize=most)(partial(draw_scene, world, split))


def _read_label(world: SceneWorld, split: str, image: Image) -> FullLabel:
    scene = _drawer(world, split)(int(image.image_id))
    # Scenes are kept, so callers get copies, which they may change.
    return build_label(image.image_id, scene.segment_map.copy(), scene.category_of)


def _read_photo(world: SceneWorld, split: str, image: Image) -> Photo:
    return _drawer(world, split)(int(image.image_id)).photo.copy()
