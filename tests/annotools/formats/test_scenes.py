from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotools.errors import DatasetError, RecipeError
from annotools.formats import read_dataset, scenes
from annotools.formats.scenes import world_dataset
from annotools.records import VOID
from annotools.scenes.world import SCENE_CATEGORIES, Scene, SceneWorld, draw_scene

WORLD = SceneWorld(width=96, height=64, num_train=12, num_val=12)
SCENES = [draw_scene(WORLD, "train", number) for number in range(12)]


def test_a_scene_is_drawn_alike_every_time_whatever_was_drawn_before():
    again = draw_scene(replace(WORLD, num_train=3), "train", 7)
    assert np.array_equal(again.photo, SCENES[7].photo)
    assert np.array_equal(again.segment_map, SCENES[7].segment_map)
    assert again.category_of == SCENES[7].category_of


def test_no_two_scenes_are_the_same_across_numbers_splits_and_seeds():
    scenes = [*SCENES, *(draw_scene(WORLD, "val", number) for number in range(12))]
    scenes += [draw_scene(replace(WORLD, seed=1), "train", number) for number in range(12)]
    assert len({scene.photo.tobytes() for scene in scenes}) == 36
    assert len({scene.segment_map.tobytes() for scene in scenes}) == 36


def test_every_pixel_is_void_or_of_a_listed_segment_with_a_known_category():
    for scene in SCENES:
        present = set(np.unique(scene.segment_map).tolist()) - {VOID}
        assert present == set(scene.category_of)
        for segment_id, category_id in scene.category_of.items():
            is_thing = SCENE_CATEGORIES.by_id(category_id).is_thing
            assert is_thing == (segment_id >= 100)
            assert is_thing or segment_id == category_id


def test_specks_are_void_and_every_instance_is_large_enough_to_mark():
    areas = [
        int((scene.segment_map == segment_id).sum())
        for scene in SCENES
        for segment_id in scene.category_of
        if segment_id >= 100
    ]
    assert min(areas) >= 16
    assert any((scene.segment_map == VOID).any() for scene in SCENES)
    assert all((scene.segment_map == VOID).mean() < 0.05 for scene in SCENES)


def test_objects_of_all_categories_appear_and_the_border_cuts_some():
    things = [
        (scene.category_of[segment_id], scene.segment_map == segment_id)
        for scene in SCENES
        for segment_id in scene.category_of
        if segment_id >= 100
    ]
    assert {category_id for category_id, _ in things} == {11, 12, 13, 14}
    touching = [mask for _, mask in things if mask[:, 0].any() or mask[:, -1].any()]
    assert 0 < len(touching) < len(things)


def test_a_world_without_things_has_stuff_alone():
    scene = draw_scene(replace(WORLD, min_things=0, max_things=0), "train", 0)
    assert set(scene.category_of) <= {1, 2, 3, 4, 5}
    assert (scene.segment_map != VOID).all()


def test_without_texture_and_noise_a_surface_is_flat():
    flat = draw_scene(
        replace(WORLD, texture=0.0, noise=0.0, min_things=0, max_things=0), "train", 0
    )
    sky = flat.photo[:2][flat.segment_map[:2] == 5]
    assert (sky == sky[0]).all()
    textured = draw_scene(replace(WORLD, min_things=0, max_things=0), "train", 0)
    assert np.array_equal(flat.segment_map, textured.segment_map)
    assert textured.photo[:2][flat.segment_map[:2] == 5].std() > 1


def test_contrast_is_how_far_things_stand_out_and_changes_no_label():
    knobs = {"texture": 0.0, "noise": 0.0, "min_things": 1, "max_things": 1}
    drawn = {
        contrast: draw_scene(replace(WORLD, **knobs, contrast=contrast), "train", 5)
        for contrast in (0.0, 0.5, 1.0)
    }
    hidden, half, full = (drawn[contrast].photo.astype(float) for contrast in (0.0, 0.5, 1.0))
    assert np.abs(full - hidden).max() > 50
    # Rounding to whole grey levels leaves up to one either way.
    assert np.abs((half - hidden) - (full - hidden) / 2).max() <= 1
    maps = [scene.segment_map for scene in drawn.values()]
    assert all(np.array_equal(maps[0], one) for one in maps)
    assert drawn[1.0].category_of == drawn[0.0].category_of


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"width": 31}, "scene of 31 x 96 pixels: at least 32 x 32"),
        ({"width": 1_000_000}, "scene of 1000000 x 96 pixels: .* at most 4096 x 4096"),
        ({"height": 4097}, "at most 4096 x 4096"),
        ({"seed": -1}, "seed = -1: give 0 or more"),
        ({"min_things": 3, "max_things": 2}, "min_things must lie between"),
        ({"max_things": 10_001}, "max_things not be over 10000"),
        ({"num_train": -1}, "num_train and num_val must lie"),
        ({"num_val": 10**9}, "num_train and num_val must lie"),
        ({"noise": -1.0}, "texture and noise must lie"),
        ({"texture": float("inf")}, "texture and noise must lie"),
        ({"noise": float("nan")}, "texture and noise must lie"),
        ({"contrast": 1.1}, "contrast = 1.1: give 0 to 1"),
        ({"contrast": float("nan")}, "contrast = nan: give 0 to 1"),
    ],
)
def test_an_impossible_world_is_refused(knobs: dict[str, Any], message: str):
    with pytest.raises(DatasetError, match=message):
        SceneWorld(**knobs)


def test_the_dataset_gives_scenes_that_a_caller_may_change():
    dataset = world_dataset(WORLD, "val")
    image = dataset.images[5]
    expected = draw_scene(WORLD, "val", 5)
    for _ in range(2):
        label, photo = dataset.read_label(image), dataset.read_photo(image)
        assert np.array_equal(photo, expected.photo)
        assert np.array_equal(label.segment_map, expected.segment_map)
        photo[:], label.segment_map[:] = 0, 0
    assert {s.segment_id: s.category_id for s in label.segments} == expected.category_of
    assert (image.width, image.height) == photo.shape[1::-1]


def test_a_scene_is_drawn_once_while_there_is_room_for_it(monkeypatch: pytest.MonkeyPatch):
    drawn = []

    def count(world: SceneWorld, split: str, number: int) -> Scene:
        drawn.append(number)
        return draw_scene(world, split, number)

    monkeypatch.setattr(scenes, "draw_scene", count)
    for seed, kept_bytes, times in ((7, 12 * 96 * 64 * 7, 1), (8, 0, 2)):
        monkeypatch.setattr(scenes, "KEPT_BYTES", kept_bytes)
        dataset = world_dataset(replace(WORLD, seed=seed), "train")
        for read in (dataset.read_label, dataset.read_photo):
            for image in dataset.images:
                read(image)
        assert sorted(drawn) == sorted([*range(12)] * times)
        drawn.clear()


def test_a_world_file_is_read_and_its_mistakes_are_named(tmp_path: Path):
    path = tmp_path / "wörld.toml"
    path.write_text("width = 64\nheight = 32\nnum_val = 3\n")
    dataset = read_dataset("scenes", path, "val")
    assert len(dataset.images) == 3
    assert dataset.read_photo(dataset.images[0]).shape == (32, 64, 3)
    with pytest.raises(DatasetError, match="no split 'test': use train or val"):
        read_dataset("scenes", path, "test")
    path.write_text("widht = 64\n")
    with pytest.raises(RecipeError, match=r"rld\.toml: unknown setting widht"):
        read_dataset("scenes", path, "val")
    path.write_text("width = 16\n")
    with pytest.raises(DatasetError, match=r"rld\.toml: scene of 16 x 96 pixels"):
        read_dataset("scenes", path, "val")
    path.write_text("width =\n")
    with pytest.raises(DatasetError, match="not valid TOML"):
        read_dataset("scenes", path, "val")
    with pytest.raises(DatasetError, match="no such file"):
        read_dataset("scenes", tmp_path / "none.toml", "val")
    with pytest.raises(DatasetError, match=r"unknown format .kitti.: use .*scenes"):
        read_dataset("kitti", path, "val")
